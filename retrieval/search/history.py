"""Rank by a conversation: earlier questions count beside the last one, each half as much as the one after it.

The semantic score is the weighted mean of a chunk's cosines to the questions, which is its cosine to the weighted sum
of their vectors, times their agreement: the length of that sum divided by the sum of the weights. The lexical score is
BM25 with each word's idf multiplied by the weight of the newest question that has the word. So a follow-up costs one
ranking, as a first question does. On 134 real follow-ups with 405 passages nDCG@10 is 0.917, by the last question alone
0.842; with the cosine to the sum instead of the mean cosine it was 0.908, with the weights of a word added up 0.904.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from retrieval.embedders import Embedder
from retrieval.search.questions import EarlierQuestion
from retrieval.search.references import REFERRING

MAX_QUESTIONS = 8
"""The last question included; an older one would weigh less than a hundredth."""
_UNRELATED_BELOW = 0.1
"""An earlier question with a smaller cosine to the last is about another subject."""
_WEAKLY_RELATED_BELOW = 0.2
_SHARE_OF_WEAKLY_RELATED = 0.5
"""An earlier question with a smaller cosine counts half where the last one says itself what it asks for: the cosine
does not tell whether they are about one subject, and a code or a name in it would outrank what the last one names."""
_SHORT_WORDS = 2
_LETTERS_PER_WORD = 2
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that have no spaces between words."""
_NAME = re.compile(r"(?<=\s)(?!I\b)[A-Z]")
"""What a pronoun behind it may refer to: a capital within a sentence."""


def embed_questions(embedder: Embedder, earlier: Sequence[EarlierQuestion], last: str) -> list[np.ndarray]:
    """Return the unit vector of each question of a conversation, the last one included; raise EmbedderUnavailable.

    The model is run for the last one only, where the earlier ones have their embeddings; the process remembers the
    vectors of others.
    """
    return [*(_vector_of(embedder, question) for question in earlier), remembered_vector(embedder, last)]


def weights_of(
    earlier: Sequence[EarlierQuestion],
    last: str,
    vectors: Sequence[np.ndarray] | None,
    language: str = "english",
) -> list[float]:
    """Return the weight of each question, the last one included: 1 for that one, 0 for one about another subject.

    An earlier question is about another subject if its cosine to the last is small, unless the last one refers back
    or is too short to tell. A pronoun behind a name ("How did the Huguenots change their faith?") refers back only if
    some earlier question is about the same subject. One that is weakly related to a question that is whole counts less.
    Without vectors every question counts. `language` is the index's.
    """
    weights = _weights_by_age(earlier)
    known, is_referring = REFERRING.get(language), refers_back(last, language)
    has_pronoun = known is not None and known.find_pronoun(last) is not None
    is_whole = known is not None and known.whole.search(last) is not None and not has_pronoun
    if vectors is None or (is_referring and not is_whole):
        return weights
    cosines = [float(vector @ vectors[-1]) for vector in vectors[:-1]]
    if has_pronoun and any(cosine >= _UNRELATED_BELOW for cosine in cosines):
        return weights
    least = _SHARE_OF_WEAKLY_RELATED if is_referring else 0.0
    shares = [_share(cosine, least, is_whole=is_whole) for cosine in cosines]
    return [weight * share for weight, share in zip(weights, [*shares, 1.0], strict=True)]


def _share(cosine: float, least: float, *, is_whole: bool) -> float:
    if cosine < _UNRELATED_BELOW:
        return least
    return _SHARE_OF_WEAKLY_RELATED if is_whole and cosine < _WEAKLY_RELATED_BELOW else 1.0


def refers_back(question: str, language: str = "english") -> bool:
    """Return whether a question means what was asked before it: by its words, or since it is too short to tell.

    In a language without a list of such words only its length tells.
    """
    if _word_count(question) <= _SHORT_WORDS:
        return True
    known = REFERRING.get(language)
    if known is None or known.goes_on.search(question):
        return known is not None
    pronoun = known.find_pronoun(question)
    if pronoun is None or known.has_capital_nouns:
        return pronoun is not None
    return not _NAME.search(question, 0, pronoun.start())


def _word_count(text: str) -> int:
    return len(text.split()) + len(_UNSPACED.findall(text)) // _LETTERS_PER_WORD


def weighted_vector(vectors: Sequence[np.ndarray], weights: Sequence[float]) -> tuple[np.ndarray, float]:
    """Return a unit vector and the questions' agreement, from 0 to 1.

    A chunk's cosine to that vector, times the agreement, is the weighted mean of its cosines to the questions.
    """
    if len(vectors) == 1:
        return vectors[0], 1.0
    total = np.einsum("q,qd->d", np.asarray(weights, dtype=np.float32), np.stack(vectors))
    length = max(float(np.linalg.norm(total)), 1e-6)
    return total / length, length / sum(weights)


def _weights_by_age(earlier: Sequence[EarlierQuestion]) -> list[float]:
    weights, age = [1.0], 0
    for question in reversed(earlier):
        age += not question.is_rewritten
        weights.append(1.0 if question.is_rewritten else 0.5**age)
    return weights[::-1]


def _vector_of(embedder: Embedder, question: EarlierQuestion) -> np.ndarray:
    known = question.embedding
    if known is not None and known.model == embedder.model and len(known.vector) == embedder.dimension:
        return known.vector
    return remembered_vector(embedder, question.text)


@lru_cache(maxsize=2048)
def remembered_vector(embedder: Embedder, question: str) -> np.ndarray:
    """Return the vector of a question, which this process embeds once."""
    vector = embedder.embed_query(question)
    vector.setflags(write=False)  # every caller gets this one
    return vector
