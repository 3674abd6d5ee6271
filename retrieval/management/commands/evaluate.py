import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from common.errors import FabraError
from retrieval.evaluation import golden
from retrieval.evaluation.benchmark import MODES
from retrieval.evaluation.runs import MEASURES, execute_run, open_run
from retrieval.models import EvaluationOutcome, EvaluationRun, Index

_COULD_NOT = 2


class Command(BaseCommand):
    help = (
        "Ask an index's golden questions and keep the run. Exits with 1 if the metric is below --fail-under, "
        "and with 2 if nothing could be measured."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--index", required=True)
        parser.add_argument(
            "--import", type=Path, dest="file", help="Take over these questions first (CSV, JSON Lines)."
        )
        parser.add_argument("--fail-under", type=float, help="From 0 to 1.")
        parser.add_argument("--metric", default="hit_rate@5", choices=MEASURES, help="What --fail-under is about.")
        parser.add_argument("--mode", default="hybrid", choices=MODES)
        parser.add_argument("--tag", default="", help="Ask only the questions with this tag.")
        parser.add_argument("--json", action="store_true", help="Print JSON, and nothing else.")

    def handle(self, *args: Any, index: str, file: Path | None, **options: Any) -> None:
        threshold = options["fail_under"]
        if threshold is not None and not 0 <= threshold <= 1:
            raise CommandError("--fail-under must be from 0 to 1.", returncode=_COULD_NOT)
        try:
            if file:
                self._import(index, file)
            run = open_run(index, mode=options["mode"], tag=options["tag"], started_by="manage.py evaluate")
        except FabraError as error:
            raise CommandError(str(error), returncode=_COULD_NOT) from error
        interval_s = 0.1 if sys.stderr.isatty() else 15
        with tqdm(
            total=run.total, desc="asking", unit=" questions", file=sys.stderr, mininterval=interval_s
        ) as progress:
            execute_run(run.pk, progress.update)
        run.refresh_from_db()
        if run.state != EvaluationRun.State.DONE:
            raise CommandError(f"{run} is {run.state}. {run.error}", returncode=_COULD_NOT)
        missed = [outcome for outcome in run.outcomes.all() if outcome.metrics[options["metric"]] < 1]
        if options["json"]:
            self.stdout.write(json.dumps(_to_dict(run, missed), ensure_ascii=False, indent=2))
        else:
            self._print(run, missed)
        value = run.metrics[options["metric"]]
        if threshold is not None and value < threshold:
            raise CommandError(f"{options['metric']} is {value:.4f}, below {threshold:g}.", returncode=1)

    def _import(self, index_name: str, file: Path) -> None:
        index = Index.objects.filter(name=index_name).first()
        if index is None:
            raise CommandError(f"There is no index {index_name!r}.", returncode=_COULD_NOT)
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.", returncode=_COULD_NOT) from error
        added, changed = golden.save_golden(index, golden.read_golden(raw, file.name))
        self.stderr.write(f"{added} golden questions added, {changed} changed.")

    def _print(self, run: EvaluationRun, missed: list[EvaluationOutcome]) -> None:
        for outcome in missed:
            self.stdout.write(self.style.WARNING(outcome.question))
            self.stdout.write(f"  expected  {outcome.expected}")
            self.stdout.write(f"  found at  {outcome.rank or 'no place'}" + f" ({outcome.error})" * bool(outcome.error))
            for rank, hit in enumerate(outcome.found, 1):
                where = " > ".join(part for part in (hit["title"], hit["heading_path"]) if part)
                mark = "✓" if hit["is_right"] else "~" if hit["is_expected_document"] else " "
                self.stdout.write(f"  {mark} {rank}. {hit['score']:.3f}  {hit['document_id']}  {where}")
        self.stdout.write(self.style.MIGRATE_HEADING(f"{run.index}, {run.mode}, {run.done} questions ({run})"))
        for name, value in run.metrics.items():
            self.stdout.write(f"  {name:<11} {value:.4f}")
        for flag, count in run.flags.items():
            self.stdout.write(self.style.WARNING(f"  {flag}: {count} searches"))


def _to_dict(run: EvaluationRun, missed: list[EvaluationOutcome]) -> dict[str, Any]:
    return {
        "run": run.pk,
        "index": run.index.name,
        "mode": run.mode,
        "questions": run.done,
        **{name: round(value, 6) for name, value in run.metrics.items()},
        "config": run.config,
        "flags": run.flags,
        "missed": [
            {
                "question": outcome.question,
                "expected": outcome.expected,
                "rank": outcome.rank,
                "error": outcome.error,
                "found": outcome.found,
            }
            for outcome in missed
        ],
    }
