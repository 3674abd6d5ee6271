from datetime import timedelta

from django.conf import settings
from django.core import checks

from common import app_config


class ContextsConfig(app_config.BotAppConfig):
    name = "contexts"

    def ready(self) -> None:
        from common.retention import retain, stays
        from contexts import recorder
        from contexts.checks import check_encoding
        from contexts.discovery import load_definitions
        from contexts.purge import count_copies, erase_copies
        from contexts.recent_queries import traced_queries
        from contexts.retention import KINDS, STAYS, unused_versions
        from features.signals import features_read
        from retrieval.indexing.purge import Store, register_store
        from retrieval.retention import keep_versions
        from retrieval.search.recent_queries import register_query_source
        from retrieval.signals import retrieved, searched

        register_query_source(traced_queries)
        register_store(Store(name="copies of traces in Redis", erase=erase_copies, count=count_copies))
        features_read.connect(recorder.on_features_read)
        searched.connect(recorder.on_searched)
        retrieved.connect(recorder.on_retrieved)
        checks.register(check_encoding)
        retain(*KINDS)
        stays(*STAYS)
        keep_versions(unused_versions)
        self.when_migrated(_sync)
        load_definitions()


def _sync() -> None:
    from common.periodic_tasks import keep_entry
    from contexts.sync_definitions import sync_contexts

    if not settings.FABRA_STANDALONE:
        sync_contexts()
        keep_entry("erase copies of erased traces", "contexts.tasks.erase_copies", timedelta(minutes=1))
