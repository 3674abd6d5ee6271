"""How long traces are kept, and the versions of documents that they used."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, Exists, Func, OuterRef, QuerySet

from common.retention import Bounded, Retained
from contexts.models import ContextDefinition, ErasedTrace, Trace, TraceBody

TRACES = Retained(
    name="traces",
    model=Trace,
    setting="FABRA_TRACE_RETENTION",
    time="created_at",
    is_indexed=True,
    with_it=(TraceBody,),
)
"""Their copies in Redis are long gone by themselves."""


def unused_versions(versions: QuerySet[Any]) -> QuerySet[Any]:
    """Return the versions of documents that no trace used: the others are evidence."""
    array = Func(OuterRef("pk"), template="ARRAY[%(expressions)s]", output_field=ArrayField(BigIntegerField()))
    return versions.filter(~Exists(Trace.objects.filter(version_ids__contains=array)))


KINDS = (TRACES,)
STAYS = (
    Bounded(name="declared contexts", models=(ContextDefinition,), reason="one row for each definition in the code"),
    Bounded(name="erased traces", models=(ErasedTrace,), reason="ids, until their copies in Redis are erased"),
)
