"""Measure how often the answer without a model holds the answer of a file of questions and answers."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chat.citations import citation_of
from chat.definitions import passages
from chat.extracts.selection import count_words
from chat.providers.extractive import extract
from chat.providers.protocol import Prompt
from common.errors import InvalidInput
from common.markdown_units import units
from contexts.budget import apply_budget
from contexts.tokens import Tokenizer
from retrieval.evaluation import metrics
from retrieval.evaluation.beir import read_objects, text_of
from retrieval.search.execute import search_sync

_CITATION = re.compile(r"\s*\[\d{1,3}\]")


@dataclass(frozen=True, kw_only=True)
class AnsweredQuestion:
    text: str
    answers: tuple[str, ...]
    """Any of them is right."""


@dataclass(frozen=True, kw_only=True)
class ExtractResult:
    questions: int
    in_context: float
    """The share of the questions of which an answer is in the passages that the token budget keeps."""
    in_extract: float
    """The share of which an answer is in the extract."""
    interval: tuple[float, float]
    """The 95 % confidence interval of `in_extract`."""
    words_mean: float
    words_p95: float
    latency_ms_p50: float
    """The time to choose the sentences, without the search."""
    latency_ms_p95: float


def read_questions(path: Path) -> list[AnsweredQuestion]:
    """Return the questions of a JSON Lines file with `text` and `answers`, or `metadata.answers`.

    Rows without an answer are left out. Raise InvalidInput that names the line.
    """
    found = [
        AnsweredQuestion(text=text_of(row, "text", location), answers=answers)
        for location, row in read_objects(path)
        if (answers := tuple(_answers(row, location)))
    ]
    if not found:
        raise InvalidInput(f"{path} has no question with answers.")
    return found


def measure_extracts(
    index_name: str,
    questions: Sequence[AnsweredQuestion],
    *,
    top_k: int,
    max_tokens: int,
    tokenizer: Tokenizer,
    on_done: Callable[[], object] = lambda: None,
) -> ExtractResult:
    """Answer every question from `top_k` passages within a budget of `max_tokens`; `on_done` follows each.

    An answer counts as found if it stands in the text as a reader sees it; case and white space do not count.
    """
    contexts: list[float] = []
    extracts: list[float] = []
    words: list[int] = []
    latencies_ms: list[float] = []
    for question in questions:
        hits = search_sync(index_name, question.text, top_k, history=()).hits
        decisions = apply_budget(passages(hits), max_tokens, tokenizer.count).decisions
        kept = [
            citation_of(number, hit.to_dict())
            for number, (hit, decision) in enumerate(zip(hits, decisions, strict=True), 1)
            if decision.is_kept
        ]
        started = time.perf_counter()
        text, _ = extract(Prompt(messages=[], question=question.text, passages=kept))
        latencies_ms.append((time.perf_counter() - started) * 1000)
        shown = _CITATION.sub("", _shown(text))
        words.append(count_words(shown))
        contexts.append(_holds("\n".join(_shown(source.content) for source in kept), question.answers))
        extracts.append(_holds(shown, question.answers))
        on_done()
    return ExtractResult(
        questions=len(questions),
        in_context=metrics.mean(contexts),
        in_extract=metrics.mean(extracts),
        interval=metrics.confidence_interval(extracts),
        words_mean=metrics.mean(words),
        words_p95=metrics.percentile(words, 95),
        latency_ms_p50=metrics.percentile(latencies_ms, 50),
        latency_ms_p95=metrics.percentile(latencies_ms, 95),
    )


def _answers(row: dict[str, Any], location: str) -> Iterator[str]:
    metadata = row.get("metadata")
    answers = row.get("answers", metadata.get("answers", []) if isinstance(metadata, dict) else [])
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise InvalidInput(f"{location}: answers must be a list of texts.")
    return (answer for answer in answers if answer.strip())


def _shown(markdown: str) -> str:
    return " ".join(unit.text for unit in units(markdown))


def _holds(text: str, answers: Sequence[str]) -> float:
    normalised = " ".join(text.casefold().split())
    return float(any(" ".join(answer.casefold().split()) in normalised for answer in answers))
