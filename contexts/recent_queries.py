"""The questions that traces remember, for whoever compares rankings."""

from contexts.models import Trace
from retrieval.models import DocumentVersion

_LOOKED_AT = 500


def traced_queries(index_id: int, limit: int) -> list[str]:
    """Return the newest questions for which documents of the index were found."""
    traces = Trace.objects.exclude(query="").exclude(version_ids=[]).order_by("-created_at")
    rows = list(traces.values_list("query", "version_ids")[:_LOOKED_AT])
    ids = {each for _, version_ids in rows for each in version_ids}
    mine = set(DocumentVersion.objects.filter(pk__in=ids, document__index=index_id).values_list("pk", flat=True))
    return list(dict.fromkeys(query for query, version_ids in rows if mine.intersection(version_ids)))[:limit]
