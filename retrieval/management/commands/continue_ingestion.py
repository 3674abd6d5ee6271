from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.termination import stop_when_asked
from retrieval.ingestion.work import execute_run
from retrieval.models import IngestionRun


class Command(BaseCommand):
    help = "Execute an unfinished ingestion run, together with other workers; several may run at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int)

    def handle(self, *args: Any, run: int, **options: Any) -> None:
        if not IngestionRun.objects.filter(pk=run).exists():
            raise CommandError(f"There is no run {run}.")
        with stop_when_asked() as stop:
            is_finished = execute_run(run, until=lambda: stop.is_asked)
        if stop.is_asked and not is_finished:
            raise CommandError("Interrupted.", returncode=130)
