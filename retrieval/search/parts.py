"""Score the parts of passages, such as sentences, by a question: the sentence that answers it, not only its passage.

score = cosine + 0.5 * words + 0.25 * above + 0.2 * number + share

`words` is the share of the question's idf that the part's lexemes have; a code or a number, such as E-4021, counts
three times. `above` is the same of the headings above the part, `share` its passage's score divided by that of the best
passage, `number` 1 where the question asks for a number, a time or a date and the part has one. docs/evaluation.md
tells what each of them is worth.
"""

import hashlib
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.core.cache import cache
from django.db import connection

from retrieval.embedders import Embedder, embedder_of
from retrieval.errors import EmbedderUnavailable, TextRefused
from retrieval.models import Index
from retrieval.search.history import embed_questions, weights_of
from retrieval.search.lexemes import lexical_words
from retrieval.search.questions import EarlierQuestion
from retrieval.search.spellings import other_spellings, query_words

logger = logging.getLogger(__name__)

MOST_EMBEDDED = 8
"""Parts that the model reads for one question; the others are too weak by their words and passages to be chosen."""
_WEIGHT_WORDS = 0.5
_WEIGHT_ABOVE = 0.25
_WEIGHT_NUMBER = 0.2
_WEIGHT_CODE = 3.0
_MAX_CHARS = 2_000
_CACHED_S = 24 * 3600
_DIGIT = re.compile(r"\d")
_CODE = re.compile(r"(?=.*[^\W\d_])(?:.*\d){3}")
"""A lexeme such as e4021: where a part has it, one without it is no answer."""
# In English and German; in other languages a question for a number is a question like another.
_ASKS_FOR_NUMBER = re.compile(
    r"\b(?:how (?:long|often|many|much|old|far|fast|soon|big|large)|when|what (?:year|date|time|percentage|number)"
    r"|wie (?:lange|oft|viele?|teuer|alt|gro(?:ß|ss))|wann)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|once|twice"
    r"|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|einmal)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Part:
    text: str
    above: str = ""
    """The headings above it."""
    heading: str = ""
    """The last of them, which the model reads with the text."""
    share: float = 1.0
    """The score of its passage, as a share of the best passage's; 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class PartScore:
    score: float
    """Compares the parts of one question."""
    relevance: float
    """Without the passage's share: near 0 for a part that has nothing to do with the question."""


def score_parts(
    index: Index, earlier: Sequence[EarlierQuestion], question: str, parts: Sequence[Part]
) -> list[PartScore]:
    """Return the score of each part of an index's passages; the question counts most, the earlier ones less.

    If the embedding model is down the words alone decide. It reads the parts in one run, unless it has read them
    before; PostgreSQL is asked twice.
    """
    if index.generation is None or not parts:
        return [PartScore(score=part.share, relevance=0.0) for part in parts]
    vectors: list[np.ndarray] | None = None
    try:
        embedder = embedder_of(index.generation)
        vectors = embed_questions(embedder, earlier, question)
    except (EmbedderUnavailable, TextRefused) as error:
        logger.warning("Choosing sentences by words alone: %s", error)
    weights = weights_of(earlier, question, vectors, index.language)
    texts = [*(asked.text for asked in earlier), question]
    by_words, is_other_code = _by_words(index, texts, weights, parts)
    cosines: dict[int, float] = {}
    if vectors is not None:
        strongest = sorted(range(len(parts)), key=lambda n: -by_words[n] - parts[n].share)[:MOST_EMBEDDED]
        try:
            read = np.stack(_embed(embedder, [_read_as(parts[n]) for n in strongest]))
            means = np.asarray(weights) @ np.stack(vectors) @ read.T / sum(weights)
            cosines = dict(zip(strongest, means.tolist(), strict=True))
        except (EmbedderUnavailable, TextRefused) as error:
            logger.warning("Choosing sentences by words alone: %s", error)
    unread = min(cosines.values(), default=0.0)
    asks_for_number = bool(_ASKS_FOR_NUMBER.search(question))
    scores = []
    for n, part in enumerate(parts):
        if is_other_code[n]:
            scores.append(PartScore(score=0.0, relevance=0.0))
            continue
        own = by_words[n] + _WEIGHT_NUMBER * (asks_for_number and bool(_NUMBER.search(part.text)))
        # By words alone, what the words say stands for the meaning too.
        relevance = cosines.get(n, min(unread, 0.0)) + own if cosines else 2 * own
        scores.append(PartScore(score=cosines.get(n, unread) + own + part.share, relevance=relevance))
    return scores


def _by_words(
    index: Index, questions: Sequence[str], weights: Sequence[float], parts: Sequence[Part]
) -> tuple[list[float], list[bool]]:
    """Return the weighted share of the questions' idf in each part and in what stands above it.

    The second list says which parts lack a code that the last question has and another part holds.
    """
    texts = [*(part.text[:_MAX_CHARS] for part in parts), *(part.above for part in parts)]
    assert index.generation is not None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tsvector_to_array(fabra_lexemes(%s::regconfig, words)) "
            "FROM unnest(%s::text[]) WITH ORDINALITY AS texts(words, number) ORDER BY number",
            [index.language, [*map(query_words, questions), *map(lexical_words, texts)]],
        )
        lexemes = [set(found) for (found,) in cursor.fetchall()]
        asked: dict[str, float] = {}
        for words, weight in zip(lexemes, weights, strict=False):  # the newest question that has a word comes last
            asked |= dict.fromkeys(words, weight)
        cursor.execute(
            "SELECT lexeme, sum(chunk_count) FROM retrieval_lexemecount "
            "WHERE generation_id = %s AND lexeme = ANY(%s) GROUP BY lexeme",
            [index.generation.pk, ["", *asked]],
        )
        counts = {lexeme: float(count) for lexeme, count in cursor.fetchall()}
    for spelling in (spelling for question in questions for spelling in other_spellings(question)):
        if spelling not in counts:
            asked.pop(spelling, None)
    total = max(1.0, counts.get("", 0.0))
    idf = {
        lexeme: weight * (_WEIGHT_CODE if _DIGIT.search(lexeme) else 1) * _idf(total, counts.get(lexeme, 0.0))
        for lexeme, weight in asked.items()
    }
    whole = sum(idf.values()) or 1.0
    own = lexemes[len(questions) : len(questions) + len(parts)]
    above = lexemes[len(questions) + len(parts) :]

    def share(found: set[str]) -> float:
        return sum(idf[lexeme] for lexeme in found & idf.keys()) / whole

    codes = {lexeme for lexeme in lexemes[len(questions) - 1] if _CODE.match(lexeme)}
    has_code = [bool(codes & found) for found in own]
    scores = [_WEIGHT_WORDS * share(found) + _WEIGHT_ABOVE * share(up) for found, up in zip(own, above, strict=True)]
    return scores, [any(has_code) and not has for has in has_code]


def _idf(total: float, count: float) -> float:
    """Return the idf of BM25, in the form that is never below 0 (Lucene's BM25Similarity)."""
    return math.log(1 + (total - min(count, total) + 0.5) / (count + 0.5))


def _read_as(part: Part) -> str:
    return f"{part.heading}: {part.text}" if part.heading else part.text


def _embed(embedder: Embedder, texts: Sequence[str]) -> list[np.ndarray]:
    """Return the unit vector of each text; they are cached, since the same passages answer many questions."""
    model = f"{type(embedder).__qualname__} {embedder.model}"
    keys = [f"part:{hashlib.sha256(f'{model} {text}'.encode(errors='replace')).hexdigest()}" for text in texts]
    known = {key: value for key, value in cache.get_many(set(keys)).items() if len(value) == 4 * embedder.dimension}
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if missing:
        made = dict(zip(missing, embedder.embed([text[:_MAX_CHARS] for text in missing.values()]), strict=True))
        new = {key: np.asarray(vector, dtype=np.float32).tobytes() for key, vector in made.items()}
        cache.set_many(new, _CACHED_S)
        known |= new
    return [np.frombuffer(known[key], dtype=np.float32) for key in keys]
