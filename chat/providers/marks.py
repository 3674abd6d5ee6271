"""The marks of a model's template that may be left in its text: around its thoughts, before and behind the answer."""

from dataclasses import dataclass

import regex

_ATTRIBUTE = r"""\s+[\w:.-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_CLOSINGS = {
    **{tag: rf"</{tag}\s?>" for tag in ("think", "thinking", "reasoning", "seed:think")},
    "thought": r"</thought\s?>",  # Gemini's compatible endpoint
    "[think]": r"\[/think\]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi
    "<|channel|>analysis<|message|>": r"<\|channel\|>final<\|message\|>",  # gpt-oss, where nobody reads its channels
    "<|channel|>commentary<|message|>": r"<\|channel\|>final<\|message\|>",
}
"""Tags, which may have attributes, and other marks of thinking, with what stands behind the thoughts."""
_TAGS = "|".join(name for name in _CLOSINGS if name[0].isalpha())
_OTHERS = "|".join(regex.escape(name) for name in _CLOSINGS if not name[0].isalpha())
_OPENING = regex.compile(rf"<(?P<name>{_TAGS})(?:{_ATTRIBUTE})*\s*>|(?P<name>{_OTHERS})", regex.IGNORECASE)
_BEFORE_ANSWER = r"<\|channel\|>final<\|message\|>|<\|(?:im_)?start\|>assistant|<\|assistant\|>"
_BEFORE = {
    False: regex.compile(_BEFORE_ANSWER, regex.IGNORECASE),
    True: regex.compile("|".join([_BEFORE_ANSWER, *_CLOSINGS.values()]), regex.IGNORECASE),
}
"""What may stand right before the answer: a model that has thought may close its thoughts once more."""
_MOST_CHARS = 200
"""Of an opening mark with its attributes, and more than a closing one has."""


@dataclass(frozen=True, kw_only=True)
class ThinkingMark:
    """What stands before a model's thoughts."""

    text: str
    """As the model wrote it."""
    closing: "regex.Pattern[str]"
    """What stands behind the thoughts."""
    longest_closing: int = 32

    def is_in(self, text: str) -> bool:
        return self.text.lower() in text.lower()


def _mark(text: str, name: str) -> ThinkingMark:
    return ThinkingMark(text=text, closing=regex.compile(_CLOSINGS[name.lower()], regex.IGNORECASE))


OF_TEMPLATE = _mark("<think>", "think")
"""The mark that a chat template writes, so that the answer has the closing one only."""


def mark_at(text: str) -> ThinkingMark | None:
    """Return the mark of thinking that a text begins with."""
    found = _OPENING.match(text[:_MOST_CHARS])
    return _mark(found.group(), found["name"]) if found else None


def may_be_mark(text: str) -> bool:
    """Return whether a text is the beginning of a mark of thinking, of which the rest may follow; also an empty one."""
    return _is_begun(_OPENING, text)


def length_before_answer(text: str, *, has_thought: bool) -> int:
    """Return how long a mark is that a text begins with and that stands right before an answer; 0 for none."""
    found = _BEFORE[has_thought].match(text)
    return found.end() if found else 0


def may_be_before_answer(text: str, *, has_thought: bool) -> bool:
    """Return whether a text is the beginning of such a mark, of which the rest may follow."""
    return _is_begun(_BEFORE[has_thought], text)


def _is_begun(pattern: "regex.Pattern[str]", text: str) -> bool:
    if len(text) >= _MOST_CHARS:
        return False
    found = pattern.fullmatch(text, partial=True)
    return not text or (found is not None and found.partial)
