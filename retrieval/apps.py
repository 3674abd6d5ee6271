from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import checks
from django.db.backends.signals import connection_created
from django.db.models.signals import post_save, pre_save

from common import app_config

_MERGE_EVERY = timedelta(seconds=30)
_RESUME_EVERY = timedelta(minutes=1)
_COMPARE_EVERY = timedelta(minutes=1)
_SWEEP_EVERY = timedelta(seconds=30)
_PICK_UP_EVERY = timedelta(seconds=5)


class RetrievalConfig(app_config.BotAppConfig):
    name = "retrieval"

    def ready(self) -> None:
        from common.retention import retain, stays
        from events.handlers import register_handlers
        from retrieval import event_handlers
        from retrieval.checks import check_chunk_limit, check_generations, check_model_sources
        from retrieval.document_events import check_saved
        from retrieval.model_sources import changes, handler
        from retrieval.models import Document
        from retrieval.retention import KINDS, STAYS

        event_handlers.register()
        retain(*KINDS)
        stays(*STAYS)
        register_handlers(handler.handlers)
        changes.connect()
        self.when_migrated(_sync)
        checks.register(check_chunk_limit)
        checks.register(check_model_sources)
        checks.register(check_generations, checks.Tags.database)
        if not settings.FABRA_OWN_PROJECT:  # whose settings say it when connecting, at no cost
            connection_created.connect(_keep_recall)
        pre_save.connect(check_saved, sender=Document)
        post_save.connect(event_handlers.publish_saved, sender=Document)


def _keep_recall(connection: Any, **kwargs: Any) -> None:
    """Have searches by the HNSW go on until enough rows pass their filters."""
    if connection.vendor == "postgresql" and "hnsw.iterative_scan" not in str(connection.settings_dict["OPTIONS"]):
        with connection.cursor() as cursor:
            cursor.execute("SET hnsw.iterative_scan = strict_order")


def _sync() -> None:
    from common.periodic_tasks import keep_entry
    from retrieval.sync_definitions import sync_model_sources, sync_retrievers

    if not settings.FABRA_STANDALONE:
        sync_retrievers()
        sync_model_sources()
        keep_entry("resume evaluation runs", "retrieval.tasks.resume_evaluations", _RESUME_EVERY)
        keep_entry("merge document frequencies", "retrieval.tasks.merge_counts", _MERGE_EVERY)
        keep_entry("retry documents, builds and drops", "retrieval.tasks.pick_up", _PICK_UP_EVERY)
        keep_entry("compare model sources", "retrieval.tasks.sync_model_sources", _COMPARE_EVERY)
        keep_entry("go on with ingestion", "retrieval.tasks.sweep_ingestion", _SWEEP_EVERY)
