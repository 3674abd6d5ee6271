"""Recent questions from traces, for comparing rankings."""

from contexts.models import Trace
from retrieval.models import DocumentVersion

_MAX_TRACES = 500


def traced_queries(index_id: int, limit: int) -> list[str]:
    """Return the newest questions for which documents of the index were found."""
    traces = Trace.objects.exclude(query="").exclude(version_ids=[]).order_by("-created_at")
    rows = list(traces.values_list("query", "version_ids")[:_MAX_TRACES])
    ids = {version_id for _, version_ids in rows for version_id in version_ids}
    of_index = set(DocumentVersion.objects.filter(pk__in=ids, document__index=index_id).values_list("pk", flat=True))
    return list(dict.fromkeys(query for query, version_ids in rows if of_index.intersection(version_ids)))[:limit]
