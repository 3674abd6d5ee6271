"""Times that lie ahead: what a clock that was ahead has dated to the future is put where it arrived.

Its time would beat that of every later change until it comes. Its position in the order of arrival is known, so it gets
a time just before that of the change that arrived next, or now, and never less than what arrived before it. A time
only ever becomes earlier by that, and stays so: a retry beats nothing newer, also once the wrong time has come.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from common.clocks import latest_possible
from events.handlers import current_handling
from events.models import Event

_INSTANT = timedelta(microseconds=1)
_STEP = 2 * _INSTANT
"""Between two corrected times, so that a state which came between their changes has a time between them too."""


def newest_event() -> int:
    """Return the pk of the event that is being handled, else of the newest one: the position of a change made now.

    0 if there is no event.
    """
    if (handling := current_handling()) is not None:
        return handling.event.pk
    return Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def correct_time(event: Event) -> None:
    """Correct the time of an event, and of all others about its state, if it lies ahead; call it under their lock."""
    if event.state_key:
        if correct_times(event.state_key):
            event.refresh_from_db(fields=["occurred_at"])
        return
    now = timezone.now()
    latest = latest_possible(now)
    if event.occurred_at > latest:
        later = Event.objects.filter(pk__gt=event.pk, occurred_at__lte=latest).order_by("pk")
        following = later.values_list("occurred_at", flat=True).first()
        event.occurred_at = min(now, following or now)
        event.save(update_fields=["occurred_at"])


def correct_times(state_key: str) -> bool:
    """Correct the times of a state's events that lie ahead; return whether there were any."""
    now = timezone.now()
    latest = latest_possible(now)
    of_state = Event.objects.filter(state_key=state_key)
    newest = of_state.order_by("-occurred_at").values_list("occurred_at", flat=True).first()
    if newest is None or newest <= latest:
        return False
    rows = list(of_state.order_by("pk").values_list("pk", "occurred_at"))
    moments = times_by_arrival([moment for _, moment in rows], latest=latest, now=now)
    for (pk, before), moment in zip(rows, moments, strict=True):
        if moment != before:
            Event.objects.filter(pk=pk, occurred_at=before).update(occurred_at=moment)
    return True


def time_after(event_pk: int | None, state_key: str) -> datetime:
    """Return the time that fits a state in which something was since an event arrived; see `newest_event`.

    None: since the last event about the state that was applied.
    """
    rows = list(Event.objects.filter(state_key=state_key).order_by("pk").values_list("pk", "occurred_at", "applied_at"))
    if event_pk is None:
        event_pk = next((pk for pk, _, applied_at in reversed(rows) if applied_at is not None), 0)
    now = timezone.now()
    latest = latest_possible(now)
    before = [moment for pk, moment, _ in rows if pk <= event_pk]
    after = [moment for pk, moment, _ in rows if pk > event_pk]
    moments = times_by_arrival([*before, latest + _INSTANT, *after], latest=latest, now=now)
    # It is newer than all events that had arrived, and not newer than the next one.
    return max([moments[len(before)], *(moment + _INSTANT for moment in moments[: len(before)])])


def times_after_arrivals(state_keys: Collection[str]) -> dict[str, datetime]:
    """Return for each state the time of a change that is made now and is no event: now, or later.

    A sender's clock may be ahead, by less than is refused. What such a sender says may wait, and must not undo what is
    changed after it arrived.
    """
    now = timezone.now()
    ahead = Event.objects.filter(state_key__in=state_keys, occurred_at__gte=now).exclude(state_key="")
    found = set(ahead.values_list("state_key", flat=True))
    newest = newest_event() if found else 0
    return {key: max(now, time_after(newest, key)) if key in found else now for key in state_keys}


def times_by_arrival(moments: Sequence[datetime], *, latest: datetime, now: datetime) -> list[datetime]:
    """Return times in the order of arrival, those after `latest` corrected: a pure function.

    A corrected time is not less than any before it, and not more than `now`, and less than the next one, unless one
    before it is not.
    """
    following, nexts = now, []
    for moment in reversed(moments):
        nexts.append(following)
        following = min(now, moment if moment <= latest else following) - _STEP
    corrected: list[datetime] = []
    newest: datetime | None = None
    for moment, limit in zip(moments, reversed(nexts), strict=True):
        if moment > latest:
            moment = limit if newest is None else max(newest, limit)
        newest = moment if newest is None else max(newest, moment)
        corrected.append(moment)
    return corrected
