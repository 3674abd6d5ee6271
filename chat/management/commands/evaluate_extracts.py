import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from chat.evaluation.extracts import ExtractResult, measure_extracts, read_questions
from common.errors import FabraError
from common.termination import CommandStopped, stop_when_asked
from contexts.tokens import tokenizer_for
from retrieval.evaluation import beir, temporary_index
from retrieval.models import Index


class Command(BaseCommand):
    help = "Measure the answers without a model on questions whose answers are known."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queries", type=Path, required=True, help="JSON Lines of text and answers.")
        parser.add_argument("--corpus", type=Path, help="corpus.jsonl: _id, title, text; without it, give --index")
        parser.add_argument("--index", help="Ask this index; with --corpus, fill and keep it.")
        parser.add_argument("--top-k", type=int, default=3, help="Passages for each question (3).")
        parser.add_argument("--max-tokens", type=int, default=4000, help="The token budget of the passages (4000).")
        parser.add_argument("--limit", type=int, help="Ask only the first so many questions.")
        parser.add_argument("--json", action="store_true", help="Print JSON, and nothing else.")

    def handle(self, *args: Any, queries: Path, corpus: Path | None, index: str | None, **options: Any) -> None:
        if not corpus and not (index and Index.objects.filter(name=index).exists()):
            raise CommandError("Give --corpus, or an --index that exists.")
        if min(options["top_k"], options["max_tokens"], options["limit"] or 1) < 1 or options["top_k"] > 50:
            raise CommandError("--top-k must be from 1 to 50, --max-tokens and --limit at least 1.")
        try:
            questions = read_questions(queries)[: options["limit"]]
            documents = beir.read_corpus(corpus) if corpus else []
            ids = {document.id for document in documents}
            with stop_when_asked() as stop:
                if index and not corpus:
                    result = self._measure(index, questions, stop.check, **options)
                else:
                    own = temporary_index.kept_index(index, ids) if index else temporary_index.own_index()
                    with own as name:
                        temporary_index.fill(name, documents, lambda count: stop.check())
                        result = self._measure(name, questions, stop.check, **options)
        except FabraError as error:
            raise CommandError(str(error)) from error
        except CommandStopped:
            raise CommandError("Interrupted.", returncode=130) from None
        self.stdout.write(json.dumps(asdict(result), indent=2) if options["json"] else _lines(result))

    def _measure(self, name: str, questions: Any, check: Any, **options: Any) -> ExtractResult:
        with tqdm(total=len(questions), unit=" questions", file=sys.stderr, disable=options["json"]) as progress:

            def on_done() -> None:
                progress.update()
                check()

            return measure_extracts(
                name, questions, top_k=options["top_k"], max_tokens=options["max_tokens"],
                tokenizer=tokenizer_for(settings.FABRA_CHAT_MODEL), on_done=on_done,
            )  # fmt: skip


def _lines(result: ExtractResult) -> str:
    low, high = result.interval
    return "\n".join(
        [
            f"{result.questions} questions",
            f"  the answer is in the context  {result.in_context:.4f}",
            f"  the answer is in the extract  {result.in_extract:.4f}   95 % interval {low:.4f} to {high:.4f}",
            f"  words of an extract           mean {result.words_mean:.0f}, p95 {result.words_p95:.0f}",
            f"  choosing the sentences        p50 {result.latency_ms_p50:.1f} ms, p95 {result.latency_ms_p95:.1f} ms",
        ]
    )
