from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from common.locks import held
from common.models import PrunedKind
from common.retention import clock, kinds
from common.retention.pruning import LOCK, begin_anew, prune
from common.signals import operator_acted

_WAIT_S = 60.0
"""By then a worker's slice of the same is over."""


class Command(BaseCommand):
    help = "Remove now what is older than it is kept, as the task of each hour does."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--clock-is-right", action="store_true",
            help="Go on although days have passed since rows were last removed.",
        )  # fmt: skip
        parser.add_argument(
            "--wait", type=float, default=_WAIT_S, metavar="SECONDS",
            help="For how long to wait for another process that removes rows. Default: %(default)s.",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        if options["clock_is_right"]:
            clock.believe()
            operator_acted.send(None, command="prune", action="prune", target="the clock is right", detail="")
        if clock.trusted_now() is None:
            raise CommandError(
                "Days have passed since rows were last removed. If the clock is right, say so with --clock-is-right."
            )
        with held(LOCK, wait_s=options["wait"]) as is_alone:
            if not is_alone:
                raise CommandError("Another process is removing rows; try again later.")
            self._prune()

    def _prune(self) -> None:
        begin_anew()
        with tqdm(unit=" batches", disable=not self.stderr.isatty()) as bar:
            prune(on_batch=bar.update)
        failed = []
        for state in PrunedKind.objects.filter(name__in=[kind.name for kind in kinds]).order_by("name"):
            if state.last_removed:
                self.stdout.write(f"{state.last_removed:>10,} {state.name}")
            if state.error:
                failed.append(f"{state.name}: {state.error}")
        if failed:
            raise CommandError("Not all could be removed.\n" + "\n".join(failed))
        self.stdout.write(self.style.SUCCESS("Nothing is left that is past its time and may go."))
