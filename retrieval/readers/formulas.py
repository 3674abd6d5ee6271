"""Formulas on one line: their figures stay apart, so that 10⁶ is 10^6 and not 106, and a half is 1/2 and not 12."""

import re
from collections.abc import Iterable

_SIMPLE = re.compile(r"[\w.,]*|\S|\([^()]*\)")


def operand(text: str) -> str:
    """Return a part of a formula, in brackets unless it is one number, word, sign or bracket."""
    return text if _SIMPLE.fullmatch(text) else f"({text})"


def joined(parts: Iterable[tuple[str, bool]]) -> str:
    """Return parts one after another; one that is told to stand alone is apart from a figure beside it, as 2 1/2."""
    text, was_alone = "", False
    for part, is_alone in parts:
        is_apart = (is_alone and text[-1:].isalnum()) or (was_alone and part[:1].isalnum())
        text += f" {part}" if is_apart else part
        was_alone = is_alone
    return text
