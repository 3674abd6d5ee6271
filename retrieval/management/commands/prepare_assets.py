from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from retrieval import encodings
from retrieval.embedders import minilm
from retrieval.errors import RerankerUnavailable
from retrieval.rerankers.local import fetch


class Command(BaseCommand):
    help = "Write the embedding model and the token encodings into the data folder, their hashes checked."

    # They are needed before there is a database.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for path in encodings.prepare():
            self.stdout.write(f"encoding {path.name[:12]}… ready")
        if settings.FABRA_RERANK_MODEL and not settings.FABRA_RERANK_PATH:
            try:
                fetch(settings.FABRA_RERANK_MODEL)
            except RerankerUnavailable as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"{settings.FABRA_RERANK_MODEL} ready")
        if settings.FABRA_EMBEDDING_MODEL != minilm.MODEL:
            self.stdout.write(f"{settings.FABRA_EMBEDDING_MODEL} is loaded at its first use")
            return
        try:
            path = minilm.prepare()
        except (ValueError, FileNotFoundError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{minilm.MODEL} ready in {path.name}")
