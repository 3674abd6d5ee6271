"""Why an answer leaves its question open, as far as the answer itself tells."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings

from chat.answer_flags import NOT_KNOWN, SMALL_TALK
from chat.citations import Citation
from chat.grounding.answers import DEGRADED as GROUNDING_DEGRADED
from chat.models import GapQuestion
from retrieval.search.hits import DEGRADED_FLAGS

Reason = GapQuestion.Reason


def reasons_of(
    evidence: dict[str, Any],
    citations: Iterable[Citation],
    flags: Iterable[str],
    grounding: dict[str, Any] | None,
    *,
    is_extractive: bool,
) -> list[str]:
    """Return the reasons for which the answer is none; [] for an answer, or for what is no question.

    What an outage kept from being found is no gap of the documents.
    """
    flags, citations = set(flags), list(citations)
    if SMALL_TALK in flags or flags & DEGRADED_FLAGS:
        return []
    reasons = []
    # An extractive answer that quotes nothing found nothing that is near enough. A context may search nothing at all.
    used = [citation for citation in citations if citation.is_cited] if is_extractive else citations
    if evidence.get("searches") and not used:
        reasons.append(Reason.NOTHING_FOUND)
    if NOT_KNOWN in flags:
        reasons.append(Reason.NOT_KNOWN)
    elif grounding and GROUNDING_DEGRADED not in flags and _share(grounding) < settings.FABRA_GAP_LEAST_SUPPORT:
        reasons.append(Reason.NOT_SUPPORTED)
    return [str(reason) for reason in reasons]


def _share(grounding: dict[str, Any]) -> float:
    share = grounding.get("share")
    return 1.0 if share is None else float(share)
