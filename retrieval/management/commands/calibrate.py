import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from common.errors import FabraError
from common.termination import CommandStopped, stop_when_asked
from retrieval.evaluation.asked import AskedQuestion, golden_questions, read_questions, without_conditions
from retrieval.evaluation.calibration import MOST_REFUSED, Questions, calibrate, questions_for
from retrieval.evaluation.temporary_index import PREFIX
from retrieval.models import CalibrationRun, Index

_COULD_NOT = 2


class Command(BaseCommand):
    help = (
        "Set the score below which a search of an index found no answer, from its golden questions and from questions "
        "that it cannot answer: by default the golden questions of all other indexes. Exits with 1 if no threshold "
        "tells them apart, and with 2 if nothing could be measured."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("index")
        parser.add_argument(
            "--unanswerable",
            type=Path,
            metavar="FILE",
            help="Questions that it cannot answer: one on each line, or CSV, JSON or JSON Lines with `question`.",
        )
        parser.add_argument(
            "--from-index", action="append", default=[], metavar="INDEX", help="Take the golden questions of this one."
        )
        parser.add_argument("--tag", default="", help="Ask only its golden questions with this tag.")
        parser.add_argument(
            "--rule",
            choices=CalibrationRun.Rule.values,
            default=CalibrationRun.Rule.REFUSALS,
            help="refusals (default): refuse as many as possible, but few of the answerable; youden: Youden's J.",
        )
        parser.add_argument(
            "--most-refused",
            type=float,
            metavar="SHARE",
            help=f"Of the answerable questions, with the rule refusals ({MOST_REFUSED:g}).",
        )
        parser.add_argument("--measure-only", action="store_true", help="Keep the run, and leave the threshold.")
        parser.add_argument("--json", action="store_true", help="Print JSON, and nothing else.")

    def handle(self, *args: Any, index: str, rule: str, most_refused: float | None, **options: Any) -> None:
        if most_refused is not None and (rule != CalibrationRun.Rule.REFUSALS or not 0 <= most_refused < 1):
            raise CommandError(
                "--most-refused must be from 0 to below 1, and belongs to the rule refusals.", returncode=_COULD_NOT
            )
        try:
            unanswerable, sources = _unanswerable(index, options["unanswerable"], options["from_index"])
            questions = questions_for(index, unanswerable, sources, tag=options["tag"])
            run = self._calibrate(
                questions,
                rule=CalibrationRun.Rule(rule),
                most_refused=MOST_REFUSED if most_refused is None else most_refused,
                is_applied=not options["measure_only"],
            )
        except FabraError as error:
            raise CommandError(str(error), returncode=_COULD_NOT) from error
        except CommandStopped:
            raise CommandError("Interrupted; the threshold is as it was.", returncode=130) from None
        is_set = run.threshold is not None and not options["measure_only"]
        if options["json"]:
            self.stdout.write(json.dumps(_to_dict(run, is_set=is_set), ensure_ascii=False, indent=2))
        else:
            self._print(run, is_set=is_set)
        if run.threshold is None:
            raise CommandError("No threshold tells these questions apart; it is as it was.", returncode=1)

    def _calibrate(self, questions: Questions, **options: Any) -> CalibrationRun:
        # In a log the progress is a line every 15 seconds, on a terminal a moving bar.
        interval_s = 0.1 if sys.stderr.isatty() else 15
        with (
            stop_when_asked() as stop,
            tqdm(
                total=len(questions), desc="asking", unit=" questions", file=sys.stderr, mininterval=interval_s
            ) as progress,
        ):

            def on_done() -> None:
                progress.update()
                stop.check()

            return calibrate(questions, started_by="manage.py calibrate", on_done=on_done, **options)

    def _print(self, run: CalibrationRun, *, is_set: bool) -> None:
        self.stdout.write(
            self.style.MIGRATE_HEADING(
                f"{run.index}: {run.answerable_count} golden questions, {run.unanswerable_count} unanswerable ({run})"
            )
        )
        self.stdout.write(f"  AUC          {run.auc:.4f}")
        if run.threshold is None:
            return
        self.stdout.write(f"  threshold    {run.threshold:.4f}  {'is set' if is_set else 'is not set'}")
        self.stdout.write(f"  refused      {run.refused_answerable:.1%} of the golden questions")
        self.stdout.write(f"               {run.refused_unanswerable:.1%} of the unanswerable")
        for title, rows in _wrong(run).items():
            for row in rows:
                self.stdout.write(f"  {title:<9}  {row['score']:.3f}  {row['question']}  [{row['document_id']}]")


def _unanswerable(index: str, file: Path | None, others: list[str]) -> tuple[list[AskedQuestion], list[str]]:
    """Return the questions that the index cannot answer, and where they are from."""
    known = set(Index.objects.exclude(name__startswith=PREFIX).values_list("name", flat=True))
    for name in others:
        if name not in known or name == index:
            raise CommandError(f"--from-index: there is no other index {name!r}.", returncode=_COULD_NOT)
    if file is None and not others:
        others = sorted(known - {index})
    found = read_questions(file) if file else []
    found += without_conditions(golden_questions(others))
    return found, ([file.name] if file else []) + [f"golden questions of {name}" for name in others]


def _wrong(run: CalibrationRun) -> dict[str, list[dict[str, Any]]]:
    """Return the golden questions that the threshold refuses, and the unanswerable ones that it lets through."""
    threshold = run.threshold or 0.0
    return {
        "refused": [row for row in run.answerable if row["score"] < threshold],
        "let pass": [row for row in run.unanswerable if row["score"] >= threshold],
    }


def _to_dict(run: CalibrationRun, *, is_set: bool) -> dict[str, Any]:
    wrong = _wrong(run)
    return {
        "run": run.pk,
        "index": run.index.name,
        "answerable": run.answerable_count,
        "unanswerable": run.unanswerable_count,
        "sources": run.sources,
        "auc": round(run.auc, 6),
        "rule": run.rule,
        "most_refused": run.most_refused,
        "threshold": run.threshold,
        "is_set": is_set,
        "refused_answerable": round(run.refused_answerable, 6),
        "refused_unanswerable": round(run.refused_unanswerable, 6),
        "basis": run.basis,
        "config": run.config,
        "refused": wrong["refused"],
        "let_pass": wrong["let pass"],
    }
