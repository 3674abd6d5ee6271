import sys
import time
from argparse import ArgumentTypeError
from collections import deque
from datetime import datetime
from threading import Event, Thread
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from common.admin.html import duration
from common.errors import FabraError
from common.termination import stop_when_asked
from features.known_keys import found_none, no_keys_message
from features.materialization.requests import WAIT_S, request_run
from features.materialization.runs import execute_run
from features.models import MaterializationRun

_UPDATE_S = 0.5
_LINE_EVERY_S = 5.0
_BAR_CHARS = 30
_RATE_SAMPLES = 20
"""The number of recent updates from which the rate is computed."""


class Command(BaseCommand):
    help = "Compute and store a feature for its entities, backfill a range of past time, or resume a run."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("feature", nargs="?", help="The feature's name.")
        parser.add_argument("--entity-ids", nargs="+", metavar="ID", help="Only these entities; default: all known.")
        parser.add_argument("--start", type=_moment, help="The beginning of a range, such as 2026-01-31.")
        parser.add_argument("--end", type=_moment, help="Its end, included; default: now.")
        parser.add_argument(
            "--every",
            help="Backfill: compute as of each such moment of the range (such as 1h). Without: load the range online.",
        )
        parser.add_argument("--resume", type=int, metavar="RUN", help="Continue a run where it stopped.")

    def handle(self, *args: Any, **options: Any) -> None:
        run = self._run(options)
        failure: Exception | None = None
        with stop_when_asked() as stop, ProgressDisplay(run.pk, self.stdout):
            try:
                execute_run(run.pk, wait_s=WAIT_S, until=lambda: stop.is_asked)
            except Exception as error:  # a declaration may raise anything; `--traceback` shows where
                failure = error
        run.refresh_from_db()
        if failure and run.state != MaterializationRun.State.FAILED:  # it is no failure of the run
            raise failure
        if stop.is_asked and not run.is_finished:
            MaterializationRun.objects.filter(pk=run.pk).stop()
            raise CommandError(f"Stopped; go on with: manage.py materialize --resume {run.pk}", returncode=130)
        for found in run.errors[:5]:
            self.stderr.write(": ".join(filter(None, [found.get("entity_key"), found["error"]])))
        if found_none(run):
            self.stderr.write(no_keys_message(run.feature))
        if run.state != MaterializationRun.State.DONE:
            raise CommandError(f"The run {run} is {run.state}.") from failure

    def _run(self, options: dict[str, Any]) -> MaterializationRun:
        if options["resume"]:
            run = MaterializationRun.objects.filter(pk=options["resume"]).first()
            if run is None:
                raise CommandError(f"There is no run {options['resume']}.")
            MaterializationRun.objects.filter(pk=run.pk).resume()
            run.refresh_from_db()
            if run.is_finished:
                raise CommandError(f"The run {run} is {run.state}; there is nothing left to do.")
            return run
        if not options["feature"]:
            raise CommandError("Name a feature, or a run to --resume.")
        try:
            return request_run(
                options["feature"], options["entity_ids"], options["start"], options["end"], options["every"]
            )
        except FabraError as error:
            raise CommandError(str(error)) from None


class ProgressDisplay:
    """Shows the progress of a run while the main thread executes it: a bar on a terminal, else lines."""

    def __init__(self, run_id: int, out: Any) -> None:
        self.run_id, self.out = run_id, out
        self.is_terminal = sys.stdout.isatty()
        self._is_over = Event()
        self._samples: deque[tuple[float, int]] = deque(maxlen=_RATE_SAMPLES)
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._line(MaterializationRun.objects.get(pk=self.run_id))  # the first sample of the rate
        self._thread.start()

    def __exit__(self, *args: Any) -> None:
        self._is_over.set()
        self._thread.join()
        self._show(is_last=True)

    def _watch(self) -> None:
        try:
            while not self._is_over.wait(_UPDATE_S if self.is_terminal else _LINE_EVERY_S):
                self._show()
        finally:
            connection.close()

    def _show(self, *, is_last: bool = False) -> None:
        run = MaterializationRun.objects.defer("entity_keys", "errors").get(pk=self.run_id)
        line = self._line(run)
        if self.is_terminal:
            self.out.write(f"\r\x1b[K{line}", ending="\n" if is_last else "")
            self.out.flush()
        else:
            self.out.write(line)

    def _line(self, run: MaterializationRun) -> str:
        if found_none(run):
            return f"{run}: nothing is known to compute it for"
        self._samples.append((time.monotonic(), run.worked))
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        rate = (last - first) / (last_at - first_at) if last_at > first_at else 0.0
        if run.is_finished and run.started_at:
            seconds = ((run.finished_at or timezone.now()) - run.started_at).total_seconds()
            pace = f"{run.state} in {duration(seconds)}" + (f", {run.worked / seconds:,.0f}/s" if seconds else "")
        elif run.state == MaterializationRun.State.QUEUED:
            pace = "waits for another run of this feature"
        else:
            left = f", {duration((run.total - last) / rate)} left" if rate else ""
            pace = f"{rate:,.0f}/s{left}"
        share = run.worked / run.total if run.total else float(run.state == MaterializationRun.State.DONE)
        filled = round(_BAR_CHARS * share)
        counts = f"{run.worked:,}/{run.total:,}" + (f", {run.failed:,} failed" if run.failed else "")
        return f"{run} [{'█' * filled}{'·' * (_BAR_CHARS - filled)}] {share:4.0%}  {counts}  {pace}"


def _moment(text: str) -> datetime:
    """Parse a moment; without a timezone it is UTC. Raise ArgumentTypeError."""
    try:
        day = parse_date(text)
        moment = datetime(day.year, day.month, day.day) if day else parse_datetime(text)  # noqa: DTZ001
    except ValueError:  # such as the 31st of February
        moment = None
    if moment is None:
        raise ArgumentTypeError(f"{text!r} is no moment; write 2026-01-31 or 2026-01-31T12:00:00Z")
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.get_default_timezone())
