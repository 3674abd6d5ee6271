import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from common.errors import FabraError
from common.termination import CommandStopped, StopRequest, stop_when_asked
from retrieval.evaluation import beir, temporary_index
from retrieval.evaluation.benchmark import (
    MEASURES,
    MODES,
    JudgedQuery,
    ModeResult,
    judged_queries,
    measure,
    why_missing,
)
from retrieval.evaluation.conversations import after_conversations, read_follow_ups
from retrieval.models import Index
from retrieval.search.lexemes import languages

_MAX_REPORTED = 20


class Command(BaseCommand):
    help = "Measure retrieval on a collection in the BEIR format, in an index of its own that is removed at the end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--corpus", type=Path, required=True, help="corpus.jsonl: _id, title, text")
        parser.add_argument("--queries", type=Path, help="queries.jsonl: _id, text")
        parser.add_argument("--qrels", type=Path, help="query-id, corpus-id and score, tabs between; or TREC's four")
        parser.add_argument(
            "--conversations", type=Path, help="Instead of these: follow-ups, as JSON Lines of _id, turns and relevant."
        )
        parser.add_argument(
            "--after", type=Path, help="Ask each question after a conversation of this file, on another subject."
        )
        parser.add_argument("--modes", default=",".join(MODES), help=f"Some of {','.join(MODES)} (all).")
        parser.add_argument("--top-k", type=int, default=100, help="Documents to find for each question (100).")
        parser.add_argument("--limit", type=int, help="Ask only the first so many questions.")
        parser.add_argument("--index", help="Fill and keep this index; the next run with it embeds only what is new.")
        parser.add_argument("--language", default="", help="What the words of the corpus are read as (english).")
        parser.add_argument("--json", action="store_true", help="Print JSON, and nothing else.")

    def handle(self, *args: Any, corpus: Path, index: str | None, **options: Any) -> None:
        modes = [mode.strip() for mode in options["modes"].split(",")]
        if unknown := [mode for mode in modes if mode not in MODES]:
            raise CommandError(f"There is no mode {unknown[0]!r}; there are {', '.join(MODES)}.")
        if not 10 <= options["top_k"] <= 100 or (options["limit"] is not None and options["limit"] < 1):
            raise CommandError("--top-k must be from 10 to 100, and --limit at least 1.")
        try:
            documents = beir.read_corpus(corpus)
            judged = self._judged(documents, **options)
            language = self._language(options["language"], index)
            ids = {document.id for document in documents}
            with (
                stop_when_asked() as stop,
                temporary_index.kept_index(index, ids, language)
                if index
                else temporary_index.own_index(language) as name,
            ):
                self._fill(name, documents, stop)
                results = {}
                for mode in modes:
                    if reason := why_missing(mode):
                        self.stderr.write(f"{mode}: skipped: {reason}")
                        continue
                    with self._progress(len(judged), mode, "question") as progress:
                        results[mode] = measure(
                            name, judged, mode, top_k=options["top_k"], on_done=_followed(progress, stop)
                        )
        except FabraError as error:
            raise CommandError(str(error)) from error
        except CommandStopped:
            raise CommandError("Interrupted.", returncode=130) from None
        if options["json"]:
            self.stdout.write(json.dumps({mode: _to_dict(result) for mode, result in results.items()}, indent=2))
        else:
            self._print(results, len(documents))

    def _judged(self, documents: list[beir.CorpusDocument], **options: Any) -> list[JudgedQuery]:
        files = (options["queries"], options["qrels"])
        if conversations := options["conversations"]:
            if any(files) or options["after"]:
                raise CommandError("Give --conversations, or --queries and --qrels, not both.")
            return read_follow_ups(conversations)[: options["limit"]]
        if not all(files):
            raise CommandError("Give --queries and --qrels, or --conversations.")
        judged = judged_queries(beir.read_queries(files[0]), beir.read_qrels(files[1]), documents, options["limit"])
        return after_conversations(judged, options["after"]) if options["after"] else judged

    def _language(self, language: str, index: str | None) -> str:
        if language and index and Index.objects.filter(name=index).exclude(language=language).exists():
            raise CommandError(f"The index {index!r} is in another language; leave --language out, or name another.")
        if language and language not in (known := languages()):
            raise CommandError(f"There is no language {language!r}; there are {', '.join(known)}.")
        return language or "english"

    def _fill(self, name: str, documents: list[beir.CorpusDocument], stop: StopRequest) -> None:
        with self._progress(len(documents), "indexing", "document") as progress:
            refused = temporary_index.fill(name, documents, _followed(progress, stop))
        for document_id, reason in refused[:_MAX_REPORTED]:
            self.stderr.write(f"left out {document_id!r}: {reason}")
        if len(refused) > _MAX_REPORTED:
            self.stderr.write(f"and {len(refused) - _MAX_REPORTED:,} more")

    def _progress(self, total: int, activity: str, unit: str) -> "tqdm[Any]":
        # In a log the progress is a line every 15 seconds, on a terminal a moving bar.
        interval_s = 0.1 if sys.stderr.isatty() else 15
        return tqdm(total=total, desc=f"{activity:>13}", unit=f" {unit}s", file=sys.stderr, mininterval=interval_s)

    def _print(self, results: dict[str, ModeResult], document_count: int) -> None:
        for mode, result in results.items():
            self.stdout.write(
                self.style.MIGRATE_HEADING(f"{mode}: {result.queries} questions, {document_count} documents")
            )
            for name, value in result.means.items():
                low, high = result.intervals[name]
                self.stdout.write(f"  {name:<11} {value:.4f}   95 % interval {low:.4f} to {high:.4f}")
            self.stdout.write(f"  latency     p50 {result.latency_ms_p50:.1f} ms, p95 {result.latency_ms_p95:.1f} ms")
            for flag, count in result.flags.items():
                self.stdout.write(self.style.WARNING(f"  {flag}: {count} of {result.queries} searches"))
            if result.refused:
                self.stdout.write(self.style.WARNING(f"  {result.refused} questions were refused and count as 0"))


def _followed(progress: "tqdm[Any]", stop: StopRequest) -> Callable[..., None]:
    """Return a callback that moves the bar, and raises CommandStopped where the command was asked to stop."""

    def on_done(count: int = 1) -> None:
        progress.update(count)
        stop.check()

    return on_done


def _to_dict(result: ModeResult) -> dict[str, Any]:
    return {
        **{name: round(result.means[name], 6) for name in MEASURES},
        "latency_ms_p50": round(result.latency_ms_p50, 3),
        "latency_ms_p95": round(result.latency_ms_p95, 3),
        "questions": result.queries,
        "refused": result.refused,
        "flags": dict(result.flags),
        "confidence_95": {name: [round(bound, 6) for bound in result.intervals[name]] for name in MEASURES},
    }
