import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from features.errors import FabraError, InvalidInput
from retrieval.errors import EmbedderUnavailable
from retrieval.indexing import index_document
from retrieval.readers import SUFFIXES, Unreadable, read
from retrieval.sources import open_source


class Command(BaseCommand):
    help = f"Index the documents of a folder ({', '.join(SUFFIXES)}); what has not changed is skipped."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("path")
        parser.add_argument("--index", required=True)

    def handle(self, *args: Any, path: str, index: str, **options: Any) -> None:
        try:
            source = open_source(path)
            entries = list(source.entries())
        except FabraError as error:
            raise CommandError(str(error)) from error
        if not entries:
            raise CommandError(f"There are no {', '.join(SUFFIXES)} files in {path}.")
        counts = {"indexed": 0, "unchanged": 0}
        unreadable: list[tuple[str, str]] = []
        started = time.monotonic()
        for number, entry in enumerate(entries, 1):
            try:
                if entry.refused:
                    raise Unreadable(entry.refused)
                for document in read(source.fetch(entry.path)):
                    result = index_document(
                        index,
                        document.entity_id,
                        document.text,
                        document.metadata,
                        title=document.title,
                        source=f"index_documents {entry.path}",
                    )
                    counts["indexed" if result.is_changed else "unchanged"] += 1
            except (Unreadable, InvalidInput) as error:
                unreadable.append((entry.path, str(error)))
            except EmbedderUnavailable as error:
                raise CommandError(f"{error} {number - 1} of {len(entries)} files are done; run it again.") from error
            self._show_progress(number, len(entries), started)
        for file, reason in unreadable:
            self.stderr.write(f"could not read {file}: {reason}")
        seconds = time.monotonic() - started
        self.stdout.write(
            f"{counts['indexed']} indexed, {counts['unchanged']} unchanged, {len(unreadable)} unreadable "
            f"in {seconds:.1f} s, in the index {index}."
        )

    def _show_progress(self, done: int, total: int, started: float) -> None:
        if not sys.stderr.isatty():
            if done % 50 == 0 and done < total:
                self.stderr.write(f"{done} of {total}")
            return
        filled = 30 * done // total
        rate = done / max(time.monotonic() - started, 1e-9)
        left = (total - done) / rate
        bar = "█" * filled + "░" * (30 - filled)
        self.stderr.write(f"\r{bar} {done}/{total}  {rate:.1f}/s  {left:.0f} s left ", ending="")
        if done == total:
            self.stderr.write("")
