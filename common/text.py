"""Text of foreign origin, made safe to stand in one line, or in a column."""

import re

# Marks that change the direction of what follows, which a page would show in another order than it is.
_BIDI = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BREAK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def single_line(text: str) -> str:
    """Return the text without line breaks, control characters and marks of direction; blanks become one."""
    return _BREAK.sub(" ", _BIDI.sub("", text)).strip()


def storable(text: str) -> str:
    """Return the text as PostgreSQL and JSON take it: its pairs of surrogates joined, a sign for one alone, no NUL."""
    if text.isascii():
        return text.replace("\x00", "")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "")
