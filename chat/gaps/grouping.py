"""Group questions by meaning: each joins the gap whose questions are nearest, or begins a new one.

On 145 typed questions about npm (27 needs, each asked in up to four ways, among 37 other questions of the same kind)
the pairs that belong together are found best at a mean cosine of 0.6: F1 0.46, and 80 % of the questions are in a
group of mostly their own need. Grouping all at once, by average linkage, is no better (0.46), the cosine to the
normalised centroid worse (0.44).
"""

import logging
from collections.abc import Iterable

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Avg, Max, Min
from django.utils import timezone
from pgvector.django import MaxInnerProduct, VectorField

from chat.gaps.meaning import REFUSED, embed_new, embedder_of_gaps
from chat.models import Gap, GapQuestion
from common.errors import FabraError
from common.locks import lock_in_transaction, try_lock_in_transaction
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_events
from retrieval.errors import EmbedderUnavailable

logger = logging.getLogger(__name__)

QUESTION_UNANSWERED = "question_unanswered"
LOCK = "gaps"
"""Held by whoever changes more than one gap, so that two of them do not wait for each other's."""
_MOST_AT_ONCE, _BATCH = 200, 25
"""In one run, and in one transaction: who deletes a conversation meanwhile waits for the transaction."""
_COUNTED_FOR_CENTROID = 1000
"""The newest questions of a gap that its centroid and its title are made of."""


def group_new() -> int:
    """Group the questions that are new, and return how many; another worker that does so now is left alone."""
    try:
        embedder = embedder_of_gaps()
        embed_new(embedder, _MOST_AT_ONCE)
    except EmbedderUnavailable as error:
        logger.warning("Questions wait for their gap: %s", error)
        return 0
    count = 0
    for _ in range(_MOST_AT_ONCE // _BATCH):
        grouped = _group_batch(embedder.model)
        count += grouped
        if grouped < _BATCH:
            break
    return count


def _group_batch(model: str) -> int:
    """Group some of the questions in one transaction, together with their events."""
    with transaction.atomic():
        if not try_lock_in_transaction(LOCK):
            return 0
        refresh(_moved(model))
        new = GapQuestion.objects.filter(gap=None, vector__isnull=False, embedding_model=model)
        # Locked, so that none is deleted before it is counted; one that is being deleted is not waited for.
        new = new.select_for_update(of=("self",), skip_locked=True)
        found = list(new.select_related("message").order_by("pk")[:_BATCH])
        for question in found:
            _join(question)
        refresh({question.gap_id for question in found})
        _record_events(found)
    return len(found)


def _join(question: GapQuestion) -> None:
    """Put the question into the nearest gap, whose centroid moves, or into a new one."""
    least = settings.FABRA_GAP_SIMILARITY
    nearest = Gap.objects.nearest(question.vector, question.embedding_model, least)
    # Locked before it is used: its last question may be deleted at this moment, and the gap with it.
    gap = Gap.objects.select_for_update().filter(pk=nearest.pk).first() if nearest else None
    if gap is None:
        gap = Gap.objects.create(
            title=question.message.text, centroid=question.vector, embedding_model=question.embedding_model,
            first_seen_at=question.asked_at, last_seen_at=question.asked_at,
        )  # fmt: skip
    question.gap = gap
    question.save(update_fields=["gap"])
    if gap.question_count:
        weight = 1 / (min(gap.question_count, _COUNTED_FOR_CENTROID) + 1)
        centroid = np.asarray(gap.centroid)
        gap.centroid = centroid + weight * (np.asarray(question.vector) - centroid)
    gap.question_count += 1
    fields = ["centroid", "question_count"]
    if gap.state == Gap.State.ANSWERED and gap.asked_at and question.asked_at > gap.asked_at:
        gap.state, gap.state_changed_at = Gap.State.OPEN, timezone.now()  # it was asked again, and in vain
        fields += ["state", "state_changed_at"]
    gap.save(update_fields=fields)


def refresh(gap_pks: Iterable[int | None]) -> None:
    """Compute what follows from a gap's questions; delete a gap that has none. The caller holds the lock."""
    for pk in {pk for pk in gap_pks if pk is not None}:
        gap = Gap.objects.select_for_update().filter(pk=pk).first()
        if gap is None:
            continue
        times = gap.questions.aggregate(first=Min("asked_at"), last=Max("asked_at"))
        if times["first"] is None:
            gap.delete()
            continue
        gap.question_count = gap.questions.count()
        gap.first_seen_at, gap.last_seen_at = times["first"], times["last"]
        _centre(gap)
        gap.save(
            update_fields=["question_count", "first_seen_at", "last_seen_at", "centroid", "embedding_model", "title"]
        )


def _centre(gap: Gap) -> None:
    """Set the centroid, and the title: the question nearest to it, if possible one that stands alone."""
    newest = gap.questions.filter(vector__isnull=False).order_by("-asked_at")
    model = newest.values_list("embedding_model", flat=True).first()
    recent = newest.filter(embedding_model=model).values("pk")[:_COUNTED_FOR_CENTROID]
    members = GapQuestion.objects.filter(pk__in=recent)
    centroid = members.aggregate(mean=Avg("vector", output_field=VectorField()))["mean"]
    if centroid is None:
        return
    gap.centroid, gap.embedding_model = centroid, model or ""
    central = members.order_by("is_follow_up", MaxInnerProduct("vector", centroid), "pk")
    gap.title = central.values_list("message__text", flat=True)[0]


def _moved(model: str) -> list[int]:
    """Return gaps whose questions have all got vectors of another model than the gap's centroid."""
    others = Gap.objects.exclude(embedding_model=model)
    waiting = GapQuestion.objects.filter(gap__isnull=False).exclude(embedding_model__in=[model, REFUSED])
    return list(others.exclude(pk__in=waiting.values("gap")).values_list("pk", flat=True)[:_BATCH])


def _record_events(questions: list[GapQuestion]) -> None:
    events = [
        AxiomEvent(
            event_type=QUESTION_UNANSWERED,
            entity_id=question.message.user_id,
            payload={
                "conversation_id": question.message.conversation_id,
                "message_id": question.message_id,
                "context_id": str(question.message.trace_id) if question.message.trace_id else None,
                "question": question.message.text,
                "reasons": question.reasons,
                "gap_id": question.gap_id,
            },
        )
        for question in questions
    ]
    for result in record_events(events, Event.Source.CHAT) if events else ():
        if isinstance(result, FabraError):
            logger.warning("A question that was not answered is in its gap, but no event reports it: %s", result)


def forget(instance: GapQuestion, **kwargs: object) -> None:
    """Compute a gap anew when one of its questions is deleted, as with its conversation; it may have been the title."""
    if instance.gap_id is not None:
        with transaction.atomic():
            lock_in_transaction(LOCK)
            refresh([instance.gap_id])
