"""First questions that the chat page suggests."""

from django.conf import settings
from django.core.cache import cache

from retrieval.models import GoldenQuestion

TAG = "suggested"
_MOST = 4
_KEPT_FOR_S = 60
_CACHE_KEY = "chat:suggested"


def suggested_questions() -> list[str]:
    """Return FABRA_SUGGESTED_QUESTIONS, or the golden questions of the default index that have the tag `suggested`.

    Never others: a golden question may be what a customer wrote. One for an audience is not for everyone.
    """
    if settings.FABRA_SUGGESTED_QUESTIONS:
        return settings.FABRA_SUGGESTED_QUESTIONS[:_MOST]
    found = cache.get(_CACHE_KEY)
    if found is None:
        golden = GoldenQuestion.objects.enabled_in(settings.FABRA_DEFAULT_INDEX, TAG).filter(audience=[])
        found = list(golden.values_list("question", flat=True)[:_MOST])
        cache.set(_CACHE_KEY, found, _KEPT_FOR_S)
    return list(found)
