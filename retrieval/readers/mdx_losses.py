"""Tell what texts of an MDX page went with its code: in exports, and in attributes of no known meaning."""

import re

from retrieval.readers.documents import ReadWarning

_LITERAL = re.compile(r"\"([^\"\n\\]{1,2000})\"|(?<!\w)'([^'\n\\]{1,2000})'|`([^`\\]{1,2000})`")
_BEFORE_LITERAL = ("=", ":", "[", "(", "{", ",")
_NAME = re.compile(r"([\w-]+)[ \t]*[=:][ \t]*\{?[ \t]*\Z")
_CODE_NAMES = frozenset({
    "class", "classname", "style", "styles", "css", "sx", "tw", "d", "viewbox", "transform", "src", "srcset", "href",
    "sizes", "media", "allow", "rel", "points",
})  # fmt: skip
_SCRIPT = re.compile(r"<(script|style)\b.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_LOOK_BACK = 60
_MOST = 500
_WORDS = 4
"""A literal of so many words is taken to be a text."""
_SHORT_WORDS = 2
"""So is one of so many that look like no names of classes: one says little, and many are a table, or questions."""
_CLASSES = re.compile(r"\w-[\w\[]|\w:\w|[\[\]{}()<>=;_$]|/\d*\Z")
_FEW_WORDS = 8
_SHARE = 0.1
"""The loss of short literals is reported where they are more than this share of a page's words."""


def losses(source: str, text: str) -> list[ReadWarning]:
    """Return a warning if texts of the MDX `source` are not in the `text` that was read from it."""
    code = _SCRIPT.sub("", source)
    read = _plain(text)
    lost: list[str] = []
    checked = 0
    for found in _LITERAL.finditer(code):
        literal, before = found[1] or found[2] or found[3], code[max(0, found.start() - _LOOK_BACK) : found.start()]
        if not _is_text(literal) or not before.rstrip().endswith(_BEFORE_LITERAL):
            continue
        name = _NAME.search(before)
        is_code = name is not None and name[1].lower() in _CODE_NAMES
        if not is_code and _plain(literal) not in read:
            lost.append(literal)
        checked += 1
        if checked >= _MOST:
            break
    long = sum(len(literal.split()) for literal in lost if len(literal.split()) >= _WORDS)
    words = sum(len(literal.split()) for literal in lost)
    if long < _FEW_WORDS and words < max(_FEW_WORDS, _SHARE * len(read.split())):
        return []
    message = f"{words:,} words in attributes and exports were left out, such as {' '.join(lost[0].split())[:60]!r}."
    return [ReadWarning(code="code_with_text_left_out", message=message)]


def _is_text(literal: str) -> bool:
    words = len(literal.split())
    return words >= _WORDS or (words >= _SHORT_WORDS and not _CLASSES.search(literal))


def _plain(text: str) -> str:
    return " ".join(text.split())
