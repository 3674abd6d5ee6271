"""Find the sentences of a plain text."""

import re
from collections.abc import Iterator

import sentencex

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CITATIONS = re.compile(r"\s*(?:\[\d{1,3}\][.!?]?\s*)+(?=\s|$)")
_NUMBER = re.compile(r"\W*\d{1,3}[.)]\W*")
_SHORT_WORD = re.compile(r"\b[^\W\d_]{1,5}\.$")
"""What may be an abbreviation that the language's list lacks, if a small letter follows."""
_MAX_CHARS = 8_000
"""A longer line is divided first, because finding pairs of quotes takes quadratic time."""
_DIVISION = re.compile(r"[.!?。！？]\s*")


def sentences(text: str, language: str = "en") -> list[tuple[int, int]]:
    """Return [start, end) of the sentences, without the white space around them, in linear time.

    `language` is an ISO 639 code: it chooses the abbreviations; a language without a list of its own is read as its
    nearest. A line break ends a sentence. Citations such as `[1]` after a full stop belong to the sentence before.
    """
    text = _SURROGATE.sub("\ufffd", text)  # the library takes only what UTF-8 can hold
    found: list[tuple[int, int]] = []
    line_start = 0
    for line in text.split("\n"):
        for start, end in _divided(line):
            found += _of_line(text, line_start + start, line[start:end], language)
        line_start += len(line) + 1
    return found


def _divided(line: str) -> Iterator[tuple[int, int]]:
    start = 0
    while len(line) - start > _MAX_CHARS:
        end = start + _MAX_CHARS
        stop = _DIVISION.search(line, end - 500, end)
        yield start, (end := stop.end() if stop else end)
        start = end
    yield start, len(line)


def _of_line(text: str, line_start: int, line: str, language: str) -> Iterator[tuple[int, int]]:
    start = end = line_start
    for part in sentencex.get_sentence_boundaries(language, line):
        next_start, next_end = line_start + part["start_index"], line_start + part["end_index"]
        citations = _CITATIONS.match(text, next_start, next_end)
        if citations and text[start:end].strip():
            end = next_start = citations.end()
        if not text[next_start:next_end].strip():
            continue
        if text[start:end].strip() and not _is_cut_short(text[start:end].strip(), text[next_start:next_end].lstrip()):
            yield _stripped(text, start, end)
            start = next_start
        end = next_end
    if text[start:end].strip():
        yield _stripped(text, start, end)


def _is_cut_short(sentence: str, rest: str) -> bool:
    """Return whether the end of the sentence is none: "3." begins a list, "bzw." goes on in small letters.

    So does a sentence after the name of a button, as in "Click Forgot password? on the page."
    """
    if _NUMBER.fullmatch(sentence):
        return True
    return rest[:1].islower() and (sentence[-1] in "?!" or bool(_SHORT_WORD.search(sentence[-8:])))


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return start, start + len(part.strip())
