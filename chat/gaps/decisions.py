"""What a person decides about a gap: an article that is to answer it, or that it is out of scope."""

from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat.dispatch import enqueue_gap
from chat.gaps.grouping import LOCK, refresh
from chat.models import Gap, GapQuestion
from common.clocks import is_past
from common.locks import lock_in_transaction
from retrieval.models import Document

_INDEXED_AFTER_S = 2.0
"""After this, an article that was just saved is usually indexed; else the sweep asks a little later."""
_REST = timedelta(minutes=5)
"""An article that is edited many times is asked at most this often."""


def link_article(gap: Gap, document: Document, *, by: str, is_new: bool = False) -> None:
    """Say which article is to answer the gap; its questions are asked again as soon as the article is indexed."""
    _decide(gap, Gap.State.ARTICLE_WRITTEN if is_new else Gap.State.LINKED, by, document)
    transaction.on_commit(lambda: enqueue_gap(gap.pk, delay_s=_INDEXED_AFTER_S if is_new else 0.0))


def rule_out(gap: Gap, *, by: str) -> None:
    _decide(gap, Gap.State.OUT_OF_SCOPE, by, None)


def reopen(gap: Gap, *, by: str) -> None:
    """Take back what was decided."""
    _decide(gap, Gap.State.OPEN, by, None)


def merge(gaps: Sequence[Gap]) -> Gap:
    """Join gaps into the one with the most questions, whose state stays."""
    with transaction.atomic():
        lock_in_transaction(LOCK)
        first, *others = sorted(gaps, key=lambda gap: (-gap.question_count, gap.pk))
        GapQuestion.objects.filter(gap__in=others).update(gap=first)
        refresh([first.pk, *(gap.pk for gap in others)])
    return first


def due_gaps(most: int) -> list[int]:
    """Return gaps to ask again: those whose article is new or has changed. One whose article is gone is open again."""
    gone = Gap.objects.filter(document__deleted_at__isnull=False)
    gone.update(document=None, state=Gap.State.OPEN, state_changed_at=timezone.now())
    rested = Q(asked_version=None) | Q(asked_at=None) | is_past("asked_at", since=_REST)
    return list(
        Gap.objects.to_ask_again().filter(rested).order_by("asked_at", "pk").values_list("pk", flat=True)[:most]
    )


def _decide(gap: Gap, state: str, by: str, document: Document | None) -> None:
    """Set state and article; what was asked with another article tells nothing about this one."""
    changes = {"state": state, "state_changed_at": timezone.now(), "decided_by": by, "document": document}
    if document is None or document.pk != gap.document_id:
        changes |= {"asked_at": None, "asked_version": None}
        GapQuestion.objects.filter(gap=gap).update(after=None, is_answered=None)
    Gap.objects.filter(pk=gap.pk).update(**changes)
    for name, value in changes.items():
        setattr(gap, name, value)
