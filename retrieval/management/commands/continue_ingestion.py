from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.termination import stopped_as_by_ctrl_c
from retrieval.ingestion.work import execute_run
from retrieval.models import IngestionRun


class Command(BaseCommand):
    help = "Execute an unfinished ingestion run, together with other workers; several may run at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int)

    def handle(self, *args: Any, run: int, **options: Any) -> None:
        if not IngestionRun.objects.filter(pk=run).exists():
            raise CommandError(f"There is no run {run}.")
        try:
            with stopped_as_by_ctrl_c():
                execute_run(run)
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=130) from None
