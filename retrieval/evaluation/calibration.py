"""Calibrate an index: find the best score below which a search found no answer.

The score is that of the best hit, before reranking. On 208 tasks of real support conversations it tells answerable from
unanswerable questions better (AUC 0.90) than its parts do, the cosine (0.83) and BM25 (0.82); docs/evaluation.md
compares it with others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from django.db import transaction

from common.errors import InvalidInput
from retrieval.errors import EmbedderUnavailable, GenerationConflict, IndexNotFound
from retrieval.evaluation import thresholds
from retrieval.evaluation.asked import AskedQuestion, golden_questions, unlike
from retrieval.models import CalibrationRun, Index
from retrieval.search.execute import search_sync
from retrieval.search.filters import EVERYONE

LEAST_QUESTIONS = 10
"""The fewest questions of each kind; fewer tell nothing about the next question."""
MOST_QUESTIONS = 2000
"""The most questions of each kind; more take longer and change nothing."""
MOST_REFUSED = 0.05


@dataclass(frozen=True, kw_only=True)
class ScoredQuestion:
    """A question with the score of its best hit, 0 without a hit, and the document of that hit."""

    question: str
    score: float
    document_id: str = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What an index is calibrated with."""

    index: Index
    answerable: list[AskedQuestion]
    unanswerable: list[AskedQuestion]
    sources: list[str]
    """Where the unanswerable ones are from."""

    def __len__(self) -> int:
        return len(self.answerable) + len(self.unanswerable)


def questions_for(
    index_name: str, unanswerable: Sequence[AskedQuestion], sources: Sequence[str], *, tag: str = ""
) -> Questions:
    """Return what there is to ask; raise IndexNotFound, or InvalidInput if it is too little to tell anything.

    A question that the index is known to answer is not taken for unanswerable.
    """
    index = Index.objects.named(index_name)
    if index is None or index.generation is None:
        raise IndexNotFound(f"There is no index {index_name!r} with a document.")
    if reason := why_not(index):
        raise InvalidInput(reason)
    answerable = unlike(golden_questions([index_name], tag), ())
    refused = unlike(unanswerable, answerable)
    tagged = f" tagged {tag!r}" if tag else ""
    _require(
        answerable, f"enabled golden questions{tagged}", "Add some in the admin, or by manage.py evaluate --import."
    )
    _require(refused, "questions that it cannot answer", "Name a file by --unanswerable, or an index by --from-index.")
    return Questions(index=index, answerable=_spread(answerable), unanswerable=_spread(refused), sources=[*sources])


def _require(questions: Sequence[AskedQuestion], kind: str, hint: str) -> None:
    if len(questions) < LEAST_QUESTIONS:
        raise InvalidInput(f"There are {len(questions)} {kind}, and {LEAST_QUESTIONS} are needed. {hint}")


def why_not(index: Index) -> str:
    """Return why an index's scores can't have a threshold, or ""."""
    if index.mode == Index.Mode.HYBRID and index.fusion == Index.Fusion.RRF:
        return (
            "Reciprocal ranks tell nothing about the question: the best hit of any question has the same. "
            "Rank by the weighted sum of both scores."
        )
    return ""


def calibrate(
    questions: Questions,
    *,
    rule: CalibrationRun.Rule = CalibrationRun.Rule.REFUSALS,
    most_refused: float = MOST_REFUSED,
    started_by: str,
    is_applied: bool = True,
    on_done: Callable[[], object] = lambda: None,
) -> CalibrationRun:
    """Ask all questions, keep the run, and set the index's threshold by it; `on_done` is called after each question.

    Raise EmbedderUnavailable, or GenerationConflict if the index changed its ranking meanwhile; nothing is kept then.
    The threshold stays as it was if the run finds none, or if not `is_applied`.
    """
    index = questions.index
    basis = index.score_basis()
    answerable = list(_ask(index.name, questions.answerable, on_done))
    unanswerable = list(_ask(index.name, questions.unanswerable, on_done))
    scores = [row.score for row in answerable], [row.score for row in unanswerable]
    if not all(scores):
        raise InvalidInput(f"The index {index.name!r} refuses all of these questions: their filters do not work.")
    is_by_refusals = rule == CalibrationRun.Rule.REFUSALS
    chosen = thresholds.choose_within(*scores, most_refused) if is_by_refusals else thresholds.choose_by_youden(*scores)
    with transaction.atomic():
        now = Index.objects.select_for_update(of=("self",), no_key=True).select_related("generation").get(pk=index.pk)
        if now.score_basis() != basis:
            raise GenerationConflict(f"The index {index.name!r} changed its ranking meanwhile; calibrate it again.")
        run = CalibrationRun.objects.create(
            index=index,
            started_by=started_by[:200],
            rule=rule,
            most_refused=most_refused if is_by_refusals else None,
            sources=questions.sources,
            auc=thresholds.auc(*scores),
            threshold=chosen.threshold if chosen else None,
            refused_answerable=chosen.answerable if chosen else 0.0,
            refused_unanswerable=chosen.unanswerable if chosen else 0.0,
            answerable_count=len(answerable),
            unanswerable_count=len(unanswerable),
            answerable=[asdict(row) for row in answerable],
            unanswerable=[asdict(row) for row in unanswerable],
            basis=basis,
            config={"index_version": index.version, "generation": index.generation_id},
        )
        if chosen and is_applied:
            index.set_threshold(chosen.threshold, basis, by=started_by, run=run)
    return run


def _ask(
    index_name: str, questions: Sequence[AskedQuestion], on_done: Callable[[], object]
) -> Iterator[ScoredQuestion]:
    for question in questions:
        with suppress(InvalidInput):  # only this question is left out: its filter no longer works
            yield _scored(index_name, question)
        on_done()


def _scored(index_name: str, question: AskedQuestion) -> ScoredQuestion:
    record = search_sync(
        index_name,
        question.text,
        1,
        question.filters,
        audience=question.audience or EVERYONE,
        history=question.history or None,
        rerank=False,
    )
    if "semantic_unavailable" in record.flags:
        raise EmbedderUnavailable("The embedding model does not answer: by words alone the scores are others.")
    if not record.hits:
        return ScoredQuestion(question=question.text, score=0.0)
    best = record.hits[0]
    return ScoredQuestion(question=question.text, score=best.score, document_id=best.document_id, title=best.title)


def _spread(questions: list[AskedQuestion]) -> list[AskedQuestion]:
    """Return at most as many as matter, evenly from all."""
    step = max(1.0, len(questions) / MOST_QUESTIONS)
    return [questions[int(number * step)] for number in range(int(len(questions) / step))]
