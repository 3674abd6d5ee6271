"""Remove the marks of passages from an answer's text."""

import re
from collections.abc import Container

_CODE_OR_MARK = re.compile(
    r"(?P<code>(?P<ticks>`+)[\s\S]*?(?<!`)(?P=ticks)(?!`))|(?P<mark>[ \t]*\[(?P<number>\d{1,3})\](?![(:]))"
)


def marks_of(text: str, numbers: Container[int]) -> list[tuple[int, int]]:
    """Return the spans of the marks of these passages with the space before them; code has no marks."""
    return [
        found.span("mark")
        for found in _CODE_OR_MARK.finditer(text)
        if found["mark"] and int(found["number"]) in numbers and text[max(0, found.start("mark") - 1)] != "\\"
    ]


def without_spans(text: str, spans: list[tuple[int, int]]) -> str:
    kept, end = [], 0
    for start, stop in spans:
        kept.append(text[end:start])
        end = stop
    return "".join([*kept, text[end:]])
