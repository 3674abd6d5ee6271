"""What a question means, as a vector.

A question that refers back ("and on the free plan?") means what it refers to as much as what it says: half of its
vector is that of the last question before it that stands alone. So the same words after two subjects are two meanings,
which they are not by the weights of a search, where the last question counts most. Where a search would count the
earlier question less than in full, since the two are of other subjects and the last one says itself what it asks for,
it stands alone.
"""

import logging

import numpy as np
from django.conf import settings

from chat.models import GapQuestion, Message
from retrieval.embedders import Embedder, embedder_of, get_embedder
from retrieval.errors import TextRefused
from retrieval.models import Index
from retrieval.search.history import MAX_QUESTIONS, refers_back, weights_of
from retrieval.search.questions import EarlierQuestion

logger = logging.getLogger(__name__)

_COUNTS_IN_FULL = 0.5
"""The weight that a search gives the question before the last one, unless it may be about another subject."""
REFUSED = "refused"
"""Stands where the model's name would, for a question that the model refuses: it is in no group."""


def embedder_of_gaps() -> Embedder:
    """Return the embedder of the default index; all questions are compared by it. Raise EmbedderUnavailable."""
    index = Index.objects.named(settings.FABRA_DEFAULT_INDEX)
    return embedder_of(index.generation) if index and index.generation else get_embedder()


def embed_new(embedder: Embedder, most: int) -> int:
    """Give the vectors to up to `most` questions that have none of this model, the ungrouped ones first.

    After a change of the model the grouped ones follow, some in each run. Raise EmbedderUnavailable.
    """
    waiting = GapQuestion.objects.exclude(embedding_model__in=[embedder.model, REFUSED]).select_related("message")
    found = list(waiting.filter(gap=None).order_by("pk")[:most])
    found += waiting.filter(gap__isnull=False).order_by("pk")[: most - len(found)]
    index = Index.objects.named(settings.FABRA_DEFAULT_INDEX) if found else None
    for question in found:
        _embed(question, embedder, index.language if index else "english")
    return len(found)


def _embed(question: GapQuestion, embedder: Embedder, language: str) -> None:
    fields: dict[str, object] = {"vector": None, "embedding_model": REFUSED, "is_follow_up": False}
    subject = _subject_of(question.message, language)
    try:
        vector = _vector_of(question.message, embedder)
        if subject is not None:
            earlier = _vector_of(subject, embedder)
            weights = weights_of([EarlierQuestion(subject.text)], question.message.text, [earlier, vector], language)
            if weights[0] < _COUNTS_IN_FULL:
                subject = None
            else:
                vector = vector + earlier
                vector = vector / max(float(np.linalg.norm(vector)), 1e-6)
    except TextRefused as error:
        logger.warning("The question of the message %d is in no gap: %s", question.message_id, error)
    else:
        fields |= {"vector": vector, "embedding_model": embedder.model, "is_follow_up": subject is not None}
    # By its key: the question may have been deleted meanwhile.
    GapQuestion.objects.filter(pk=question.pk).update(**fields)


def _subject_of(message: Message, language: str) -> Message | None:
    """Return the question before it that it refers to; None for one that stands alone."""
    if not refers_back(message.text, language):
        return None
    asked = Message.objects.filter(conversation=message.conversation_id, role=Message.Role.USER, pk__lt=message.pk)
    earlier = list(asked.order_by("-pk")[: MAX_QUESTIONS - 1])
    standing = (question for question in earlier if not refers_back(question.text, language))
    return next(standing, earlier[-1] if earlier else None)


def _vector_of(message: Message, embedder: Embedder) -> np.ndarray:
    """Return the message's stored vector; embed and store a missing one."""
    if message.embedding is not None and message.embedding_model == embedder.model:
        return np.asarray(message.embedding, dtype=np.float32)
    vector = embedder.embed_query(message.text)
    if message.embedding is None:
        stored = Message.objects.filter(pk=message.pk, embedding=None)
        stored.update(embedding=vector, embedding_model=embedder.model)
    return vector
