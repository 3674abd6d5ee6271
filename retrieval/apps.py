from datetime import timedelta
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db.models.signals import post_migrate, post_save

_MERGE_EVERY = timedelta(seconds=30)
_RESUME_EVERY = timedelta(minutes=1)
_SWEEP_EVERY = timedelta(seconds=30)


class RetrievalConfig(AppConfig):
    name = "retrieval"

    def ready(self) -> None:
        from features.signals import swept
        from retrieval import handlers, sweep
        from retrieval.checks import check_generations
        from retrieval.models import Document

        handlers.register()
        post_migrate.connect(_mirror, sender=self)
        swept.connect(sweep.pick_up)
        checks.register(check_generations, checks.Tags.database)
        post_save.connect(handlers.publish_saved, sender=Document)


def _mirror(**kwargs: Any) -> None:
    from features.schedule import keep_entry
    from retrieval.mirror import mirror_retrievers

    if not settings.FABRA_STANDALONE:
        mirror_retrievers()
        keep_entry("resume evaluation runs", "retrieval.tasks.resume_evaluations", _RESUME_EVERY)
        keep_entry("merge document frequencies", "retrieval.tasks.merge_counts", _MERGE_EVERY)
        keep_entry("go on with ingestion", "retrieval.tasks.sweep_ingestion", _SWEEP_EVERY)
