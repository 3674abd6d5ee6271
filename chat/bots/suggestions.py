"""First questions that the chat page suggests."""

from django.conf import settings
from django.core.cache import cache

from retrieval.models import GoldenQuestion

TAG = "suggested"
MOST_SUGGESTIONS = 4
_KEPT_FOR_S = 60


def suggested_questions(index: str = "") -> list[str]:
    """Return FABRA_SUGGESTED_QUESTIONS, or the golden questions of an index that have the tag `suggested`.

    Without an index it is the default one.

    Never others: a golden question may be what a customer wrote. One for an audience is not for everyone.
    """
    if settings.FABRA_SUGGESTED_QUESTIONS and not index:
        return settings.FABRA_SUGGESTED_QUESTIONS[:MOST_SUGGESTIONS]
    index = index or settings.FABRA_DEFAULT_INDEX
    cache_key = f"chat:suggested:{index}"
    found = cache.get(cache_key)
    if found is None:
        golden = GoldenQuestion.objects.enabled_in(index, TAG).filter(audience=[])
        found = list(golden.values_list("question", flat=True)[:MOST_SUGGESTIONS])
        cache.set(cache_key, found, _KEPT_FOR_S)
    return list(found)
