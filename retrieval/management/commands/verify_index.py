import json
import sys
from dataclasses import asdict
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from common.errors import FabraError
from retrieval.generations.lifecycle import find_index
from retrieval.generations.verification import Finding, VerificationProgress, repair, step_count, verify
from retrieval.models import Index

_MAX_FINDINGS = 10_000
"""Findings that are reported and repaired in one run, so that memory is bounded if everything is wrong."""
_COULD_NOT = 2


class Command(BaseCommand):
    help = (
        "Prove that the documents, versions, chunks, embeddings and counts of an index agree. "
        "Exits with 1 if they do not, and with 2 if it could not be seen."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("index")
        parser.add_argument("--repair", action="store_true", help="Repair what disagrees, then verify again.")
        parser.add_argument("--sample", type=int, default=0, help="Embed this many chunks again and compare.")
        parser.add_argument("--json", action="store_true", help="Print JSON, and nothing else.")

    def handle(self, *args: Any, index: str, **options: Any) -> None:
        try:
            found_index = find_index(index)
            findings = self._verify(found_index, options["sample"])
            first = findings
            if findings and options["repair"]:
                with _bar(len(findings), "repairing", " findings") as progress:
                    repair(found_index, findings, progress.update)
                findings = self._verify(found_index, options["sample"])
        except FabraError as error:
            raise CommandError(str(error), returncode=_COULD_NOT) from error
        if options["json"]:
            report = {
                "index": index,
                "found": [asdict(finding) for finding in first],
                "left": [asdict(finding) for finding in findings],
            }
            self.stdout.write(json.dumps(report, indent=2))
        else:
            self._print(found_index, first, findings, is_repaired=options["repair"])
        if findings:
            raise CommandError(f"{len(findings)} disagreements in the index {index}.", returncode=1)

    def _verify(self, index: Index, sample: int) -> list[Finding]:
        with _bar(step_count(index, sample=sample), "verifying", " documents") as bar:
            progress = VerificationProgress(
                on_phase=lambda name: bar.set_description(f"verifying {name}"), on_done=bar.update
            )
            return list(islice(verify(index, sample=sample, progress=progress), _MAX_FINDINGS))

    def _print(self, index: Index, found: list[Finding], left: list[Finding], *, is_repaired: bool) -> None:
        for finding in found:
            was_repaired = is_repaired and finding not in left
            self.stdout.write(f"{finding}{'  (repaired)' if was_repaired else ''}")
        for finding in left:
            if finding not in found:
                self.stdout.write(str(finding))
        if not left:
            self.stdout.write(self.style.SUCCESS(f"The index {index.name} agrees in all its parts."))


def _bar(total: int, text: str, unit: str) -> Any:
    interval_s = 0.1 if sys.stderr.isatty() else 15
    return tqdm(total=total, desc=text, unit=unit, file=sys.stderr, mininterval=interval_s)
