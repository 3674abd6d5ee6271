import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from common.errors import FabraError
from common.termination import stop_when_asked
from retrieval.model_sources.comparison import differences
from retrieval.model_sources.declaration import ModelSourceSpec, model_sources
from retrieval.model_sources.sync import sync, withdraw_documents
from retrieval.models import ModelSource, SourcedObject
from retrieval.sync_definitions import sync_model_sources

_SHOWN = 20
_INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Compare the objects of model sources with their documents, and index or withdraw what differs. It goes on "
        "where an earlier comparison was interrupted. With --check it changes nothing, and exits with 1 if they differ."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="*", help="Such as 'shop.article in help' (default: all).")
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--check", action="store_true", help="Print where they differ, and change nothing.")
        group.add_argument(
            "--withdraw", metavar="SOURCE", help="Delete the documents of a source that is gone or switched off."
        )

    def handle(self, *args: Any, source: list[str], check: bool, withdraw: str | None, **options: Any) -> None:
        if not check:  # the terminal may lack an app that the workers have, whose sources are not gone
            sync_model_sources(is_complete=False)
        try:
            if withdraw:
                self.stdout.write(f"{withdraw_documents(withdraw)} documents of {withdraw} are withdrawn.")
            elif check:
                self._check([model_sources.require(name) for name in source or model_sources])
            else:
                self._sync([model_sources.require(name) for name in source or model_sources])
        except FabraError as error:
            raise CommandError(str(error)) from error

    def _check(self, sources: list[ModelSourceSpec]) -> None:
        count, failed = 0, []
        for source in sources:
            try:
                count += self._check_one(source)
            except FabraError as error:
                self.stderr.write(str(error))
                failed.append(source.name)
        gone = ModelSource.objects.exclude(gone_at=None).filter(sourced__isnull=False).distinct()
        for row in gone:
            self.stdout.write(f"{row.name}: its code is gone, and its documents are there: see --withdraw")
        if count or gone or failed:
            raise CommandError(
                f"{count:,} differ."
                + (" Documents of gone sources: see --withdraw." if gone else "")
                + (f" Not compared: {', '.join(failed)}." if failed else "")
            )

    def _check_one(self, source: ModelSourceSpec) -> int:
        """Print where a source differs, and return how often."""
        row = ModelSource.objects.filter(name=source.name).first()
        if row is not None and not row.is_enabled:
            self.stdout.write(f"{source.name}: switched off")
            return 0
        if row is None:
            self.stdout.write(f"{source.name}: it was never compared; run sync_models without --check")
            return 1
        found = 0
        for found, difference in enumerate(differences(source, row), 1):
            if found <= _SHOWN:
                self.stdout.write(difference)
        if found > _SHOWN:
            self.stdout.write(f"... and {found - _SHOWN:,} more")
        self.stdout.write(f"{source.name}: {f'{found:,} differ' if found else 'no difference'}")
        return found

    def _sync(self, sources: list[ModelSourceSpec]) -> None:
        if not sources:
            self.stdout.write("No source is declared: see @index_model in docs/documents.md.")
        failed = []
        for source in sources:
            if not ModelSource.objects.enabled().filter(name=source.name).exists():
                self.stdout.write(f"{source.name}: switched off")
                continue
            try:
                self._sync_one(source)
            except FabraError as error:
                self.stderr.write(str(error))
                failed.append(source.name)
        if failed:
            raise CommandError(f"Not compared: {', '.join(failed)}.")

    def _sync_one(self, source: ModelSourceSpec) -> None:
        started = time.monotonic()
        with stop_when_asked() as stop, _Bar(source) as bar:
            is_finished = sync(source, on_progress=bar.show, until=lambda: stop.is_asked)
        row = ModelSource.objects.get(name=source.name)
        self.stdout.write(
            f"{source.name}: {row.compared:,} compared, {row.changed:,} indexed, {row.withdrawn:,} withdrawn, "
            f"{row.failed:,} failed in {time.monotonic() - started:.1f} s"
        )
        if not is_finished:
            raise CommandError("Interrupted; run it again to go on.", returncode=_INTERRUPTED)
        if row.warning:
            self.stderr.write(f"{source.name}: {row.warning}")
        for failed in SourcedObject.objects.filter(source=row).exclude(error="")[:_SHOWN]:
            self.stderr.write(f"{failed}: {failed.error}")
        for warned in SourcedObject.objects.filter(source=row).exclude(warnings=[])[:_SHOWN]:
            self.stderr.write(f"{warned}: {' '.join(warning['message'] for warning in warned.warnings)}")


class _Bar:
    """Shows on a terminal how many objects of a source were compared."""

    def __init__(self, source: ModelSourceSpec) -> None:
        self.bar = tqdm(desc=source.name, unit=" objects", disable=not sys.stderr.isatty())

    def __enter__(self) -> "_Bar":
        return self

    def show(self, row: ModelSource) -> None:
        self.bar.total = row.total
        self.bar.update(row.compared - self.bar.n)

    def __exit__(self, *error: object) -> None:
        self.bar.close()
