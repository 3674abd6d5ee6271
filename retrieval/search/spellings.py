"""Other spellings of the numbers in a query: they are looked for, too, and count only where the index has them."""

import re

from retrieval.search.lexemes import lexical_words

_HEX = re.compile(r"(?<![\w.,/\\@&-])(0x)?((?=[0-9a-f]*[0-9])[0-9a-f]{4,16})(?![\w-]|[.,]\w)", re.IGNORECASE)
_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:(?:,\d{3})+|(?:['\u2019\u00a0\u2009\u202f]\d{3})+)(?:\.\d+)?(?![\w,])")
_BETWEEN_GROUPS = re.compile(r"[^\d.]")


def other_spellings(query: str) -> list[str]:
    """Return lexemes: a code with `0x` before it and without, as `80070005`, and numbers without what groups digits."""
    codes = [code if prefix else f"0x{code}" for prefix, code in _HEX.findall(query.lower())]
    return [*dict.fromkeys(codes + [_BETWEEN_GROUPS.sub("", number) for number in _GROUPED.findall(query)])]


def query_words(query: str) -> str:
    """Return the words to look for: the query's own, and other spellings of them."""
    return " ".join([lexical_words(query), *other_spellings(query)])
