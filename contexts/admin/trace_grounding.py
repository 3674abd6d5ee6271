"""The answer of a trace as the parts that were judged against the passages, for the trace's page."""

from typing import Any

from contexts.models import Trace

_VERDICTS = {"supported": "supported by a passage", "partly": "partly supported", "not": "not supported"}


def grounding_of(trace: Trace) -> dict[str, Any] | None:
    """Return the answer in parts, with the verdict of each that was judged; None if the answer was not checked."""
    outcome = trace.outcome or {}
    grounding = outcome.get("grounding")
    if not grounding or not trace.answer:
        return None
    share = grounding.get("share")
    return {
        "parts": _parts(trace.answer, grounding.get("sentences", [])),
        "percent": None if share is None else f"{100 * share:.0f}",
        "verdicts": _VERDICTS,
        "dropped": grounding.get("dropped", []),
        "is_degraded": grounding.get("degraded", False),
        "written": outcome.get("written", ""),
    }


def _parts(answer: str, sentences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    end = 0
    for sentence in sentences:
        if sentence["start"] > end:
            parts.append({"text": answer[end : sentence["start"]], "verdict": ""})
        parts.append(
            {
                "text": answer[sentence["start"] : sentence["end"]],
                "verdict": sentence["verdict"],
                "title": _title(sentence),
            }
        )
        end = sentence["end"]
    return [*parts, {"text": answer[end:], "verdict": ""}]


def _title(sentence: dict[str, Any]) -> str:
    where = f", passage [{sentence['passage']}]" if sentence.get("passage") is not None else ""
    why = f": {', '.join(sentence['reasons'])}" if sentence.get("reasons") else ""
    return f"{_VERDICTS.get(sentence['verdict'], sentence['verdict'])}{where}{why}"
