import json
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.evaluation.grounding.measure import UNCHANGED, Counts, measure
from chat.evaluation.grounding.truths import TrueSentence, quotes, read_passages, read_rows, written_by_people
from common.errors import FabraError


class Command(BaseCommand):
    help = "Measure the check of answers against passages: true sentences are corrupted, and what is found is counted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--corpus", type=Path, required=True, help="corpus.jsonl: _id, title, text")
        parser.add_argument(
            "--conversations", type=Path, help="Judge people's answers too: JSON Lines of _id, turns and relevant."
        )
        parser.add_argument("--half", type=int, choices=(1, 2), help="Only this half of the passages.")
        parser.add_argument("--limit", type=int, default=1000, help="Sentences of the passages, spread evenly (1000).")
        parser.add_argument("--examples", type=int, default=0, help="Print so many errors of each kind.")
        parser.add_argument("--words-only", action="store_true", help="Without the embedder.")
        parser.add_argument("--json", action="store_true", help="Print JSON, and nothing else.")

    def handle(self, *args: Any, corpus: Path, conversations: Path | None, **options: Any) -> None:
        if options["limit"] < 1:
            raise CommandError("--limit must be at least 1.")
        try:
            passages = read_passages(corpus)
            sets = {"sentences of the passages": _spread(list(quotes(passages)), options["limit"])}
            if conversations:
                sets["answers of people"] = list(written_by_people(read_rows(conversations), passages))
        except (FabraError, KeyError, TypeError) as error:
            raise CommandError(f"The files are not as expected: {error}") from error
        uses_meaning = not options["words_only"]
        results = {}
        for name, sentences in sets.items():
            chosen = [s for s in sentences if options["half"] in (None, s.half)]
            results[name] = measure(chosen, uses_meaning=uses_meaning)
        if options["json"]:
            self.stdout.write(json.dumps({name: _to_dict(counts) for name, counts in results.items()}, indent=2))
        else:
            for name, counts in results.items():
                self._print(name, counts, options["examples"])

    def _print(self, name: str, results: dict[str, Counts], examples: int) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(name))
        for kind, counts in results.items():
            what = "false alarms" if kind == UNCHANGED else "found"
            self.stdout.write(
                f"  {kind:<20} {counts.total:>6} sentences  {what:<12} {counts.share:.3f}"
                f"  partly {counts.partly / counts.total:.3f}"
            )
            for example in counts.examples[:examples]:
                self.stdout.write(f"      {example}")
        found, total = _found_of(results)
        if total:
            self.stdout.write(f"  {'all corruptions':<20} {total:>6} sentences  {'found':<12} {found / total:.3f}")


def _spread(sentences: list[TrueSentence], limit: int) -> list[TrueSentence]:
    return list(islice(sentences, 0, None, max(1, -(-len(sentences) // limit))))


def _found_of(results: dict[str, Counts]) -> tuple[int, int]:
    corrupted = [counts for kind, counts in results.items() if kind != UNCHANGED]
    return sum(counts.found for counts in corrupted), sum(counts.total for counts in corrupted)


def _to_dict(results: dict[str, Counts]) -> dict[str, Any]:
    found, total = _found_of(results)
    return {
        "found": round(found / total, 6) if total else None,
        "false_alarms": round(results[UNCHANGED].share, 6) if UNCHANGED in results else None,
        "kinds": {
            kind: {"sentences": c.total, "share": round(c.share, 6), "partly": round(c.partly / c.total, 6)}
            for kind, c in results.items()
        },
    }
