from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.db.models.signals import post_migrate


class ContextsConfig(AppConfig):
    name = "contexts"

    def ready(self) -> None:
        from contexts import recorder
        from contexts.checks import check_encoding
        from contexts.discovery import load_definitions
        from contexts.queries import traced_queries
        from features.signals import features_read
        from retrieval.queries import remembers_queries
        from retrieval.signals import retrieved, searched

        remembers_queries(traced_queries)
        features_read.connect(recorder.on_features_read)
        searched.connect(recorder.on_searched)
        retrieved.connect(recorder.on_retrieved)
        checks.register(check_encoding)
        post_migrate.connect(_mirror, sender=self)
        load_definitions()


def _mirror(**kwargs: Any) -> None:
    from contexts.mirror import mirror_contexts

    if not settings.FABRA_STANDALONE:
        mirror_contexts()
