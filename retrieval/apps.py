from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate, post_save


class RetrievalConfig(AppConfig):
    name = "retrieval"

    def ready(self) -> None:
        from retrieval import handlers
        from retrieval.models import Document

        handlers.register()
        post_migrate.connect(_mirror, sender=self)
        post_save.connect(handlers.publish_saved, sender=Document)


def _mirror(**kwargs: Any) -> None:
    from retrieval.mirror import mirror_retrievers

    if not settings.FABRA_STANDALONE:
        mirror_retrievers()
