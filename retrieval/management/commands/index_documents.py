import json
import subprocess
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from common.errors import FabraError
from common.termination import StopRequest, stop_when_asked
from retrieval.dispatch import start_ingestion
from retrieval.errors import EmbedderUnavailable
from retrieval.ingestion import dry_run, runs
from retrieval.ingestion.work import execute_run
from retrieval.models import IngestionFile, IngestionRun
from retrieval.readers import SUFFIXES

_POLL_S = 0.5
_REPORT_EVERY = 50
_TAKEN_WITHIN_S = 10
_WARNED_SHOWN = 5
_FIELDS = ("path", "state", "reason", "warnings", "documents", "chunks", "embedded")


class Command(BaseCommand):
    help = (
        f"Index the documents of a folder, file or zip archive ({', '.join(SUFFIXES)}), or the pages of a sitemap's "
        "URL. What has not changed is skipped, what cannot be read is reported with the reason, and an interrupted run "
        "goes on where it was. Of a file that could not be read in full it tells what was left out. The exit code is "
        "0 when the run is done, also if some files could not be read, and 1 "
        "when it is not: nothing to read, the embedding model is down, or pruning was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path", help="A folder, a file, a zip archive, or the address of a sitemap, a feed or a list of addresses."
        )
        parser.add_argument("--index", required=True)
        parser.add_argument("--source", default="", help="What the documents' origin is called (default: the path).")
        parser.add_argument("--id-prefix", default="", help="Put before the documents' ids, to tell sources apart.")
        parser.add_argument("--prune", action="store_true", help="Remove what this source had and has no more.")
        parser.add_argument("--force", action="store_true", help="Prune even if most of the source's documents go.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would change, and change nothing.")
        parser.add_argument(
            "--map", default="", metavar="ROLE=COLUMN,...", help="For tables: text=body,title=headline,id=sku"
        )
        parser.add_argument("--base-url", default="", help="The address of the pages, for the links back to them.")
        parser.add_argument("--audience", action="append", default=[], help="Who may find them; several times.")
        parser.add_argument("--allow-private", action="store_true", help="Fetch from private addresses too.")
        parser.add_argument(
            "--json", action="store_true", help="Print the outcome and the warnings of each file as JSON, at the end."
        )
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--workers", type=int, default=1, help="Processes that share the files.")
        group.add_argument("--celery", action="store_true", help="Let the Celery workers do it, and watch.")

    def handle(self, *args: Any, path: str, index: str, **options: Any) -> None:
        if options["json"] and options["dry_run"]:
            raise CommandError("--json reports the files of a run, and --dry-run makes none.")
        try:
            run_options = runs.RunOptions(
                mapping=runs.parse_mapping(options["map"]), base_url=options["base_url"],
                audience=sorted(options["audience"]),
                prune=options["prune"], force=options["force"], allow_private=options["allow_private"],
                id_prefix=options["id_prefix"],
            )  # fmt: skip
            if options["dry_run"]:
                for line in dry_run.compare(index, path, run_options, source=options["source"]):
                    self.stdout.write(line)
                return
            run = runs.open_run(index, path, run_options, source=options["source"], started_by="index_documents")
        except FabraError as error:
            raise CommandError(str(error)) from error
        seconds = self._execute(run, options["workers"], options["celery"])
        if not run.files.exists() and not run.error:
            raise CommandError(f"There are no {', '.join(SUFFIXES)} files in {path}.")
        if options["json"]:
            self._report_json(run)
        else:
            self._report(run, seconds)
        if run.error:
            raise CommandError(run.error)

    def _execute(self, run: IngestionRun, workers: int, is_celery: bool) -> float:
        """Process the run, and return the seconds that it took."""
        started = time.monotonic()
        helpers: list[subprocess.Popen[bytes]] = []

        def stop_helpers() -> None:
            for helper in helpers:
                helper.terminate()

        with stop_when_asked(stop_helpers) as stop:
            try:
                while not is_celery and len(helpers) < workers - 1:
                    helpers.append(_start_helper(run))
                is_finished = self._watch(run, stop) if is_celery else self._work(run, stop)
            except EmbedderUnavailable as error:
                raise CommandError(f"{error} {_so_far(run)}; run it again.") from error
            finally:
                if stop.is_asked:
                    stop_helpers()  # also the one that was being started
                for helper in helpers:
                    helper.wait()
        if not is_finished:
            others = "the Celery workers go on" if is_celery else "run it again to go on"
            raise CommandError(f"Interrupted. {_so_far(run)}; {others}.", returncode=130)
        run.refresh_from_db()
        return time.monotonic() - started

    def _work(self, run: IngestionRun, stop: StopRequest) -> bool:
        """Return whether the run was finished, and not stopped."""
        bar = _Bar(self, run)
        while not (is_finished := execute_run(run.pk, on_file=lambda _: bar.update(), until=lambda: stop.is_asked)):
            bar.update()
            if stop.is_asked:
                break
            time.sleep(_POLL_S)  # other workers still have files
        bar.close()
        return is_finished

    def _watch(self, run: IngestionRun, stop: StopRequest) -> bool:
        """Return whether the run was finished, and not stopped."""
        start_ingestion(run)
        bar = _Bar(self, run)
        started, is_reported = time.monotonic(), False
        while not run.is_finished and not stop.is_asked:
            time.sleep(_POLL_S)
            run.refresh_from_db()
            bar.update()
            if run.state == run.State.QUEUED and not is_reported and time.monotonic() - started > _TAKEN_WITHIN_S:
                self.stderr.write("No worker has taken it yet: is a Celery worker there that reads the queue ingest?")
                is_reported = True
        bar.close()
        return run.is_finished

    def _report(self, run: IngestionRun, seconds: float) -> None:
        for file in run.files.filter(state=IngestionFile.State.FAILED).iterator():
            self.stderr.write(f"could not read {file.path}: {file.reason}")
        for file in run.files.filter(state=IngestionFile.State.PRUNED).exclude(reason="").iterator():
            self.stdout.write(f"{file.path}: {file.reason}")
        counts = run.counts()
        for file in run.files.warned()[:_WARNED_SHOWN]:
            more = f" (and {len(file.warnings) - 1:,} more of this file)" if len(file.warnings) > 1 else ""
            self.stderr.write(f"warning: {file.path}: {file.warnings[0]['message']}{more}")
        if counts["warned"] > _WARNED_SHOWN:
            hidden = counts["warned"] - _WARNED_SHOWN
            self.stderr.write(f"... and more in {hidden:,} other files: --json or the run's page shows them.")
        also = f", {run.pruned} pruned" if run.options["prune"] else ""
        also += f", {counts['warned']} with warnings" if counts["warned"] else ""
        self.stdout.write(
            f"{counts['indexed']} indexed, {counts['unchanged']} unchanged, {counts['failed']} unreadable{also} "
            f"in {seconds:.1f} s, in the index {run.index.name}."
        )

    def _report_json(self, run: IngestionRun) -> None:
        report = {
            "run": run.pk, "index": run.index.name, "source": run.source, "state": run.state, "error": run.error,
            "counts": run.counts(), "pruned": run.pruned, "files": list(run.files.values(*_FIELDS)),
        }  # fmt: skip
        self.stdout.write(json.dumps(report, ensure_ascii=False, indent=2))


def _start_helper(run: IngestionRun) -> "subprocess.Popen[bytes]":
    """Start a worker that a terminal's Ctrl-C does not reach: the command stops it."""
    return subprocess.Popen([sys.executable, sys.argv[0], "continue_ingestion", str(run.pk)], process_group=0)


def _so_far(run: IngestionRun) -> str:
    done = run.files.exclude(state__in=["waiting", "taken"]).count()
    return f"{done} of {run.files.count()} files are done"


class _Bar:
    """Shows the progress of a run: on a terminal a bar with rate and remaining time, else lines."""

    def __init__(self, command: Command, run: IngestionRun) -> None:
        self.command, self.run = command, run
        self.is_terminal = sys.stderr.isatty()
        self.bar = tqdm(unit="file", disable=not self.is_terminal)
        self.reported = 0
        self.counted_at = 0.0

    def update(self) -> None:
        """Show the files that all workers have done; called for each file, so it counts at most every _POLL_S."""
        if time.monotonic() - self.counted_at >= _POLL_S:
            self._show()

    def _show(self) -> None:
        if not self.run.is_listed:
            self.run.refresh_from_db()
        done = self.run.files.exclude(state__in=["waiting", "taken"]).count()
        if self.is_terminal:
            self.bar.total = self.run.total or None
            self.bar.update(done - self.bar.n)
        elif done // _REPORT_EVERY > self.reported // _REPORT_EVERY and done < self.run.total:
            self.command.stderr.write(f"{done} of {self.run.total}")
            self.reported = done
        self.counted_at = time.monotonic()

    def close(self) -> None:
        self._show()
        self.bar.close()
