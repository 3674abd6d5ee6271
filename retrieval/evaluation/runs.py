"""Run an index's golden questions, store the outcome of each, and compare two runs.

A run can be continued: an outcome is written once for each question. The worker that executes a run holds its advisory
lock, which ends with the process, so that the run of a dead worker is free at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from common.clocks import is_past
from common.errors import FabraError, InvalidInput
from common.locks import held, is_held
from retrieval.errors import IndexNotFound
from retrieval.evaluation import metrics
from retrieval.evaluation.benchmark import MODES, is_available, search_as, why_missing
from retrieval.evaluation.golden import documents_of, expectation, ranking_of
from retrieval.models import EvaluationOutcome, EvaluationRun, GoldenQuestion, Index
from retrieval.search.hits import DEGRADED_FLAGS, Hit

TOP_K = 10
_KEPT_HITS = 5
_STARTED_WITHIN = timedelta(minutes=1)
"""By then the process that opened a run, or the run's task, has started to execute it."""

MEASURES: dict[str, Callable[[list[str], metrics.Grades], float]] = {
    "hit_rate@1": lambda ranking, grades: metrics.hit_rate(ranking, grades, 1),
    "hit_rate@5": lambda ranking, grades: metrics.hit_rate(ranking, grades, 5),
    "mrr@10": lambda ranking, grades: metrics.reciprocal_rank(ranking, grades, 10),
    "ndcg@10": lambda ranking, grades: metrics.ndcg(ranking, grades, 10),
    "recall@10": lambda ranking, grades: metrics.recall(ranking, grades, 10),
}


def open_run(index_name: str, *, mode: str = "hybrid", tag: str = "", started_by: str) -> EvaluationRun:
    """Create a queued run; raise IndexNotFound, or InvalidInput for a wrong mode or if no question is enabled."""
    index = Index.objects.filter(name=index_name).select_related("generation").first()
    if index is None or index.generation is None:
        raise IndexNotFound(f"There is no index {index_name!r} with a document.")
    if mode not in MODES or not is_available(mode):
        raise InvalidInput(f"mode must be one of {', '.join(name for name in MODES if is_available(name))}.")
    total = GoldenQuestion.objects.all().enabled_in(index_name, tag).count()
    if not total:
        raise InvalidInput(f"The index {index_name!r} has no enabled golden question{f' tagged {tag!r}' * bool(tag)}.")
    return EvaluationRun.objects.create(
        index=index,
        mode=mode,
        tag=tag,
        total=total,
        started_by=started_by[:200],
        config={
            "index_version": index.version,
            "generation": index.generation.pk,
            "embedding_model": index.generation.embedding_model,
            "fusion": index.fusion,
            "lexical_weight": index.lexical_weight,
            "top_k": TOP_K,
        },
    )


def lock_name(run_id: int) -> str:
    """Return the name of the advisory lock that the worker of a run holds."""
    return f"evaluation-run-{run_id}"


def is_ended(run_id: int) -> bool:
    """Return whether nothing is left to do of a run, or it is gone."""
    ended = (EvaluationRun.State.DONE, EvaluationRun.State.FAILED)
    return not EvaluationRun.objects.filter(pk=run_id).exclude(state__in=ended).exists()


def execute_run(
    run_id: int, on_done: Callable[[], object] = lambda: None, until: Callable[[], bool] = lambda: False
) -> bool:
    """Evaluate the run's remaining questions, and finish it; return False if another process is executing it.

    Once `until()` is true it leaves the rest to a further call.
    """
    with held(lock_name(run_id)) as is_mine:
        if not is_mine:
            return False
        run = EvaluationRun.objects.select_related("index").get(pk=run_id)
        if run.state in (EvaluationRun.State.DONE, EvaluationRun.State.FAILED):
            return True
        EvaluationRun.objects.filter(pk=run.pk).update(
            state=EvaluationRun.State.RUNNING, started_at=run.started_at or timezone.now()
        )
        why_missing(run.mode)  # loads the reranker; if it fails, each search is flagged
        try:
            if not _evaluate_all(run, on_done, until):
                return True
        except FabraError as error:
            _finish(run, EvaluationRun.State.FAILED, error=str(error))
        else:
            _finish(run, EvaluationRun.State.DONE)
    return True


def abandoned_runs() -> list[int]:
    """Return the unfinished runs that no process is executing: their worker died, or their task was lost."""
    waiting = EvaluationRun.objects.filter(
        is_past("created_at", since=_STARTED_WITHIN),
        state__in=[EvaluationRun.State.QUEUED, EvaluationRun.State.RUNNING],
    )
    return [pk for pk in waiting.values_list("pk", flat=True) if not is_held(lock_name(pk))]


def _evaluate_all(run: EvaluationRun, on_done: Callable[[], object], until: Callable[[], bool]) -> bool:
    """Return whether all are evaluated."""
    evaluated = set(EvaluationOutcome.objects.filter(run=run).values_list("digest", flat=True))
    questions = list(GoldenQuestion.objects.all().enabled_in(run.index.name, run.tag))
    flags: dict[str, int] = run.flags
    for done, golden in enumerate(questions, 1):
        if golden.digest not in evaluated:
            if until():
                return False
            outcome, search_flags = _evaluate(run, golden)
            outcome.save()
            for flag in search_flags:
                flags[flag] = flags.get(flag, 0) + 1
            EvaluationRun.objects.filter(pk=run.pk).update(done=done, total=len(questions), flags=flags)
        on_done()
    return True


def _evaluate(run: EvaluationRun, golden: GoldenQuestion) -> tuple[EvaluationOutcome, tuple[str, ...]]:
    hits: list[Hit] = []
    flags: tuple[str, ...] = ()
    reason = ""
    try:
        record = search_as(
            run.index.name,
            golden.question,
            mode=run.mode,
            top_k=TOP_K,
            filters=golden.filters,
            audience=golden.audience,
            history=golden.history or None,
        )
        hits, flags = record.hits, tuple(DEGRADED_FLAGS.intersection(record.flags))
    except InvalidInput as error:  # only this question fails: its filter no longer works
        reason = str(error)
    ranking, grades = ranking_of(hits, golden)
    right = [rank for rank, target in enumerate(ranking, 1) if target in grades]
    return EvaluationOutcome(
        run=run,
        golden_question=golden,
        digest=golden.digest,
        question=golden.question,
        expected=expectation(golden),
        rank=right[0] if right else None,
        metrics={name: function(ranking, grades) for name, function in MEASURES.items()},
        found=[
            {
                "document_id": hit.document_id, "title": hit.title, "heading_path": hit.heading_path,
                "score": hit.score, "chunk_id": hit.chunk_id, "is_right": rank in right,
                "is_expected_document": not documents_of(hit).isdisjoint(golden.expected_documents),
            }
            for rank, hit in enumerate(hits[:_KEPT_HITS], 1)
        ],
        error=reason,
    ), flags  # fmt: skip


def _finish(run: EvaluationRun, state: EvaluationRun.State, error: str = "") -> None:
    outcomes = list(EvaluationOutcome.objects.filter(run=run).values_list("metrics", flat=True))
    means = {name: metrics.mean([outcome[name] for outcome in outcomes]) for name in MEASURES} if outcomes else {}
    EvaluationRun.objects.filter(pk=run.pk).update(
        state=state, metrics=means, error=error, done=len(outcomes), finished_at=timezone.now()
    )


@dataclass(frozen=True, kw_only=True)
class QuestionChange:
    """One question in two runs."""

    question: str
    before: EvaluationOutcome | None
    after: EvaluationOutcome | None

    @property
    def gain(self) -> float:
        """The difference in nDCG@10; 0 for a question of only one run."""
        if self.before is None or self.after is None:
            return 0.0
        return self.after.metrics["ndcg@10"] - self.before.metrics["ndcg@10"]


def compare(before: EvaluationRun, after: EvaluationRun) -> list[QuestionChange]:
    """Return the questions of two runs, ordered by gain: the greatest loss first."""
    old, new = ({outcome.digest: outcome for outcome in _outcomes(run)} for run in (before, after))
    changes = [
        QuestionChange(
            question=(new.get(digest) or old[digest]).question, before=old.get(digest), after=new.get(digest)
        )
        for digest in {**new, **old}
    ]
    return sorted(changes, key=lambda change: change.gain)


def _outcomes(run: EvaluationRun) -> QuerySet[EvaluationOutcome]:
    return EvaluationOutcome.objects.filter(run=run)
