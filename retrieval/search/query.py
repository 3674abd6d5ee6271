"""Check a query to an index, and complete its options with the index's configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
from pgvector import Vector

from common.errors import InvalidInput
from common.validation import check_text, is_blank
from retrieval.errors import IndexNotFound
from retrieval.models import Index
from retrieval.search.audience import completed
from retrieval.search.filters import Audience, Conditions, check_audience, conditions
from retrieval.search.history import MAX_QUESTIONS
from retrieval.search.questions import EarlierQuestion, Embedding
from retrieval.search.ranking import Ranking
from retrieval.search.spellings import other_spellings, query_words

MAX_TOP_K = 200
MAX_EXPAND = 5
MAX_LEXICAL_WEIGHT = 10
QUERY_MAX_CHARS = 8000
_LIMITS = {
    "lexical_weight": (0, MAX_LEXICAL_WEIGHT),
    "max_per_document": (1, MAX_TOP_K),
    "expand": (0, MAX_EXPAND),
}

Mode = Literal["hybrid", "semantic", "lexical"]
Fusion = Literal["weighted", "rrf"]


class SearchOptions(TypedDict, total=False):
    """How to search; an option that is left out is taken from the index."""

    audience: Audience
    """Find also documents for this audience. Without it, in a context that is assembled for a user: for the user's; and
    elsewhere, as with an empty one, only documents for everyone."""
    mode: Mode | None
    fusion: Fusion | None
    lexical_weight: float | None
    """The weight of a perfect lexical score, where a cosine of 1 weighs 1; from 0 to 10."""
    max_per_document: int | None
    expand: int
    """The number of neighbours on each side to join to a hit's content, 0 to 5."""
    rerank: bool | None
    history: Sequence[str | EarlierQuestion] | None
    """Earlier questions of the conversation, the oldest first: a follow-up is ranked by them too. One without its
    vector is embedded, and remembered by the process; so is the first one if this is empty. None where none follow."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A checked query to one index, with its ranking options."""

    index: Index
    text: str
    top_k: int
    filters: dict[str, Any]
    where: Conditions
    audience: list[str] | str
    mode: Mode
    fusion: Fusion
    lexical_weight: float
    max_per_document: int | None
    expand: int
    rerank: bool
    history: tuple[EarlierQuestion, ...] | None = None
    weights: tuple[float, ...] = (1.0,)
    """The weight of each earlier question and of the query itself, once they are known."""
    embedding: Embedding | None = None
    """The embedding of the query's own text, once it is known."""
    agreement: float = 1.0
    """See retrieval.search.history; the ranking's cosine is not multiplied by it, so the lexical score is divided."""

    @property
    def texts(self) -> list[str]:
        """The texts of the earlier questions, and that of the query itself."""
        return [*(question.text for question in self.history or ()), self.text]

    def ranking(self, vector: np.ndarray | None, *, is_exact: bool, limit: int, candidates: int) -> Ranking:
        generation = self.index.generation
        assert generation is not None
        return Ranking(
            generation_id=generation.pk,
            dimension=generation.dimension,
            language=self.index.language,
            queries=[
                (query_words(text), weight) for text, weight in zip(self.texts, self.weights, strict=True) if weight
            ],
            other_spellings=[spelling for text in self.texts for spelling in other_spellings(text)],
            vector=None if vector is None else Vector(vector).to_text(),
            mode=self.mode,
            fusion=self.fusion,
            lexical_weight=self.lexical_weight / self.agreement,
            where=self.where.sql,
            where_parameters=self.where.parameters,
            is_exact=is_exact,
            candidates=candidates,
            limit=limit,
            max_per_document=self.max_per_document,
        )

    def threshold(self) -> float | None:
        """Return the index's threshold if it was made for scores like this query's, otherwise None."""
        index = self.index
        if index.threshold is None or index.threshold_basis != index.score_basis(
            self.mode, self.fusion, self.lexical_weight
        ):
            return None
        return index.threshold

    def options(self) -> dict[str, Any]:
        names = ("audience", "mode", "fusion", "lexical_weight", "max_per_document", "expand", "rerank")
        found = {name: getattr(self, name) for name in names}
        if not self.history:
            return found
        earlier = zip(self.history, self.weights, strict=False)
        return found | {"history": [_shown(question, weight) for question, weight in earlier]}


def check_query(
    index_name: str,
    query: str,
    top_k: int = 5,
    filters: dict[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> Query:
    """Return the query, with the index's configuration for options that are left out; raise as `search` does."""
    if is_blank(check_text(query, "query")):
        raise InvalidInput("query must not be empty.")
    if len(query) > QUERY_MAX_CHARS:
        raise InvalidInput(f"query must have at most {QUERY_MAX_CHARS} characters.")
    audience = completed(options.get("audience"))
    where = conditions(filters, audience)
    _check_number("top_k", top_k, 1, MAX_TOP_K)
    for name, (least, most) in _LIMITS.items():
        if options.get(name) is not None:
            _check_number(name, options[name], least, most)  # type: ignore[literal-required]
    if unknown := set(options) - set(SearchOptions.__annotations__):
        raise InvalidInput(f"Unknown options of a search: {', '.join(sorted(unknown))}.")
    index = Index.objects.named(index_name)
    if index is None or index.generation is None:
        raise IndexNotFound(f"There is no index {str(index_name)[:100]!r}; index a document into it first.")
    weight = options.get("lexical_weight")
    return Query(
        index=index,
        text=query,
        top_k=top_k,
        filters=filters or {},
        where=where,
        audience=check_audience(audience),
        mode=_one_of("mode", options.get("mode") or index.mode, Index.Mode.values),
        fusion=_one_of("fusion", options.get("fusion") or index.fusion, Index.Fusion.values),
        lexical_weight=index.lexical_weight if weight is None else weight,
        max_per_document=options.get("max_per_document"),
        expand=options.get("expand") or 0,
        history=_history(options.get("history")),
        rerank=index.rerank if options.get("rerank") is None else bool(options.get("rerank")),
    )


def _history(questions: Sequence[str | EarlierQuestion] | None) -> tuple[EarlierQuestion, ...] | None:
    """Return the questions that count; raise InvalidInput for what is no list of questions."""
    if questions is None:
        return None
    if isinstance(questions, str) or not isinstance(questions, Sequence):
        raise InvalidInput("history must be a list of the earlier questions.")
    newest = [_earlier_question(question) for question in questions[-(MAX_QUESTIONS - 1) :]]
    return tuple(question for question in newest if not is_blank(question.text))


def _earlier_question(given: str | EarlierQuestion) -> EarlierQuestion:
    question = given if isinstance(given, EarlierQuestion) else EarlierQuestion(given)
    if len(check_text(question.text, "history")) <= QUERY_MAX_CHARS:
        return question
    return replace(question, text=question.text[:QUERY_MAX_CHARS], embedding=None)  # it was that of the whole text


def _shown(question: EarlierQuestion, weight: float) -> dict[str, Any]:
    shown = {"question": question.text, "weight": weight}
    return shown | {"rewritten": True} if question.is_rewritten else shown


def _check_number(name: str, value: Any, least: int, most: int) -> None:
    kind, words = (int | float, "number") if name == "lexical_weight" else (int, "whole number")
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        raise InvalidInput(f"{name} must be a {words} from {least} to {most}.")


def _one_of(name: str, value: Any, known: list[str]) -> Any:
    if value not in known:
        raise InvalidInput(f"{name} must be one of {', '.join(known)}.")
    return value
