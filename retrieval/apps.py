from datetime import timedelta
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate, post_save

_MERGE_EVERY = timedelta(seconds=30)


class RetrievalConfig(AppConfig):
    name = "retrieval"

    def ready(self) -> None:
        from retrieval import handlers
        from retrieval.models import Document

        handlers.register()
        post_migrate.connect(_mirror, sender=self)
        post_save.connect(handlers.publish_saved, sender=Document)


def _mirror(**kwargs: Any) -> None:
    from features.schedule import keep_entry
    from retrieval.mirror import mirror_retrievers

    if not settings.FABRA_STANDALONE:
        mirror_retrievers()
        keep_entry("merge document frequencies", "retrieval.tasks.merge_counts", _MERGE_EVERY)
