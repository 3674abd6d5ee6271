"""The result of a check, and its JSON."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    SUPPORTED = "supported"
    PARTLY = "partly"
    NOT = "not"


@dataclass(frozen=True, kw_only=True)
class JudgedSentence:
    start: int
    """In the answer's text, as `end`."""
    end: int
    verdict: Verdict
    passage: int | None = None
    """The number of the passage that supports it best; None if none does, or what supports it is no passage."""
    span: tuple[int, int] | None = None
    """Where in the passage's content."""
    reasons: tuple[str, ...] = ()
    """Why it is not supported: "number 30", "unit weeks", "name Denver", "code E-4021", "negation not", or "words"."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "end": self.end,
            "verdict": self.verdict.value,
            "passage": self.passage,
            "span": list(self.span) if self.span else None,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, kw_only=True)
class Grounding:
    sentences: tuple[JudgedSentence, ...] = ()
    """The sentences that claim something, in their order; others are not judged."""
    dropped: tuple[int, ...] = ()
    """Passages that were cited and support nothing of what cites them."""
    is_degraded: bool = False
    """Whether the embedder failed, so that only words were compared."""

    @property
    def share(self) -> float | None:
        """The share of the judged sentences that are supported; None if none was judged."""
        if not self.sentences:
            return None
        supported = sum(sentence.verdict is Verdict.SUPPORTED for sentence in self.sentences)
        return round(supported / len(self.sentences), 2)

    def without(self, spans: list[tuple[int, int]]) -> "Grounding":
        """Return it for the text without these parts."""

        def moved(offset: int) -> int:
            return offset - sum(min(end, offset) - start for start, end in spans if start < offset)

        moved_sentences = (replace(s, start=moved(s.start), end=moved(s.end)) for s in self.sentences)
        return replace(self, sentences=tuple(moved_sentences))

    def to_dict(self) -> dict[str, Any]:
        return {
            "share": self.share,
            "sentences": [sentence.to_dict() for sentence in self.sentences],
            "dropped": list(self.dropped),
            **({"degraded": True} if self.is_degraded else {}),
        }
