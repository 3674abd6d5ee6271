"""Tell a Markdown text's prose from its code; linear in the text, however hostile it is."""

import re
from collections.abc import Iterator

_FENCE = re.compile(r"^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(`{3,}(?=[^`]*$)|~{3,})")
_BLANK = re.compile(r"\n[ \t]*\n")
_BACKTICKS = re.compile(r"`+")
_HIDDEN = re.compile(r"<!--|^[ \t]*(?:<[^<>\n]*+>[ \t]*)*?<(script|style|head)(?=[\s>])", re.MULTILINE | re.IGNORECASE)
"""A comment, or what a browser does not show: at the start of a line, or behind other tags there."""


def segments(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the text in parts: whether it is fenced code, and the part."""
    part: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line.rstrip("\r\n"))
        if fence:
            part.append(line)
            closing = line.strip(" \t>\r\n")
            if closing.startswith(fence) and not closing.strip(fence[0]):
                yield True, "".join(part)
                part, fence = [], ""
        elif found:
            yield False, "".join(part)
            part, fence = [line], found[1]
        else:
            part.append(line)
    yield bool(fence), "".join(part)


def code_spans(text: str) -> dict[int, int]:
    """Return the end of each code span by its start: runs of backticks of the same length in one paragraph."""
    spans: dict[int, int] = {}
    start = 0
    for end in [*(found.start() for found in _BLANK.finditer(text)), len(text)]:
        runs = [found.span() for found in _BACKTICKS.finditer(text, start, end)]
        following: dict[int, int] = {}
        partner = [-1] * len(runs)
        for number in range(len(runs) - 1, -1, -1):
            length = runs[number][1] - runs[number][0]
            partner[number] = following.get(length, -1)
            following[length] = number
        number = 0
        while number < len(runs):
            if partner[number] < 0:
                number += 1
                continue
            spans[runs[number][0]] = runs[partner[number]][1]
            number = partner[number] + 1
        start = end
    return spans


def without_code_spans(text: str) -> str:
    """Return the text with nothing where code was."""
    parts, at = [], 0
    for start, end in code_spans(text).items():
        parts.append(text[at:start])
        at = end
    return "".join([*parts, text[at:]])


def without_hidden(text: str) -> str:
    """Return a Markdown text without its comments, scripts, styles and head, except those that stand in code."""
    return "".join(part if is_code else _visible(part) for is_code, part in segments(text))


def _visible(text: str) -> str:
    if "<" not in text:
        return text
    spans = code_spans(text)
    inside = sorted(spans.items())
    number, at = 0, 0
    parts: list[str] = []
    missing: set[str] = set()
    for found in _HIDDEN.finditer(text):
        start = found.start(1) - 1 if found[1] else found.start()
        while number < len(inside) and inside[number][1] <= start:
            number += 1
        closing = f"</{found[1].lower()}" if found[1] else "-->"
        if start < at or closing in missing or _is_code(text, start, inside, number):
            continue
        end = _find(text, closing, found.end() - (0 if found[1] else 2))
        if end < 0:
            missing.add(closing)  # there is none further on either
            continue
        parts.append(text[at:start])
        at = end
    return "".join([*parts, text[at:]])


def _is_code(text: str, start: int, inside: list[tuple[int, int]], number: int) -> bool:
    """Return whether a position is in a code span, or on a line that is indented as code is."""
    if number < len(inside) and inside[number][0] <= start:
        return True
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return line.isspace() and len(line.expandtabs(4)) >= 4


def _find(text: str, closing: str, start: int) -> int:
    """Return where a comment or script ends, else -1."""
    if closing == "-->":
        end = text.find(closing, start)
        return end + 3 if end >= 0 else -1
    found = re.compile(rf"{closing}[^<>]*>", re.IGNORECASE).search(text, start)
    return found.end() if found else -1
