"""Check `freshness_sla`: how old a context's features and documents may be."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contexts.recorder import Recorder
from events.models import Event
from features import registry
from features.values import FeatureRead
from retrieval.freshness import documents_behind


@dataclass(frozen=True, kw_only=True)
class Violation:
    kind: str
    """"feature" or "document"."""
    name: str
    of: str
    """The entity key for a feature, the index for a document."""
    age_s: float | None
    """None: there is no value at all."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class FreshnessReport:
    sla_s: float
    is_strict: bool
    violations: Sequence[Violation]

    def to_dict(self) -> dict[str, Any]:
        violations = [asdict(violation) for violation in self.violations]
        return {"sla_s": self.sla_s, "strict": self.is_strict, "violations": violations}

    def flags(self) -> list[str]:
        prefixes = {"feature": "freshness_violation:", "document": "freshness_violation:document:"}
        return list(dict.fromkeys(prefixes[violation.kind] + violation.name for violation in self.violations))


def check_freshness(read: Recorder, sla: timedelta, *, is_strict: bool) -> FreshnessReport:
    """Return which of an assembly's reads and hits are older than `sla` allows.

    The age of a computed feature is the time since its value was true, because the store is not notified of changes.
    Data that events update is current until an event waits: a triggered feature or a document is as old as the oldest
    known change that is not applied, whether its event waits, is retried or is dead; without such a change it has no
    age. A feature whose value is expired, switched off or missing violates every limit, except a triggered one that
    had no event yet: its default is its value.
    """
    now = datetime.now(UTC)
    found = [*_features(read.features, now), *_documents(read, now)]
    late = [violation for violation in found if violation.age_s is None or violation.age_s > sla.total_seconds()]
    return FreshnessReport(sla_s=sla.total_seconds(), is_strict=is_strict, violations=list(dict.fromkeys(late)))


def _features(reads: Sequence[FeatureRead], now: datetime) -> Iterator[Violation]:
    """Yield a possible violation, with its reason, for each read that has an age or no value."""
    waiting = _waiting_triggers(reads)
    for read in reads:
        since = waiting.get((read.feature, read.entity_key))
        is_triggered = _trigger_of(read) is not None
        if since is not None:
            yield _of_feature(read, (now - since).total_seconds(), "its event is not applied")
        elif read.status in ("fresh", "stale"):
            if not is_triggered:
                yield _of_feature(read, read.age_s, read.status)
        elif not (is_triggered and read.status == "missing"):
            yield _of_feature(read, None, read.status)


def _of_feature(read: FeatureRead, age_s: float | None, reason: str) -> Violation:
    return Violation(kind="feature", name=read.feature, of=read.entity_key, age_s=_rounded(age_s), reason=reason)


def _trigger_of(read: FeatureRead) -> str | None:
    spec = registry.features.get(read.feature)
    return spec.trigger if spec else None


def _waiting_triggers(reads: Sequence[FeatureRead]) -> dict[tuple[str, str], datetime]:
    """Return the time since which a triggered read is behind its events, by (feature, entity key)."""
    triggers = {(read.feature, read.entity_key): trigger for read in reads if (trigger := _trigger_of(read))}
    if not triggers:
        return {}
    events = defaultdict[tuple[str, str], list[datetime]](list)
    for event_type, entity_id, occurred_at in (
        Event.objects.all()
        .unapplied()
        .filter(entity_id__in={key for _, key in triggers}, event_type__in=triggers.values())
        .values_list("event_type", "entity_id", "occurred_at")
    ):
        events[event_type, entity_id].append(occurred_at)
    since = {}
    for read in reads:
        key = read.feature, read.entity_key
        times = events.get((triggers.get(key, ""), read.entity_key), [])
        if newer := [moment for moment in times if read.event_timestamp is None or moment > read.event_timestamp]:
            since[key] = min(newer)
    return since


def _documents(read: Recorder, now: datetime) -> list[Violation]:
    hits = [hit for record in read.searches for hit in record.hits]
    return [
        Violation(
            kind="document",
            name=document.document_id,
            of=document.index,
            age_s=_rounded((now - document.since).total_seconds()),
            reason=document.reason,
        )
        for document in documents_behind(hits)
    ]


def _rounded(age_s: float | None) -> float | None:
    return None if age_s is None else round(max(0.0, age_s), 3)
