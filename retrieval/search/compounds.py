"""Codes, versions, paths, file names and addresses as words: each whole and in its parts, whoever parses them.

PostgreSQL's parser guesses what a compound is: it reads `E-4021` as "e" and "-4021", keeps `/etc/nginx/nginx.conf` and
`user@host.com` whole without their parts, and drops the signs of `C++`. So compounds are written as plain words before
the parser sees them, at indexing and at querying alike, as Lucene's WordDelimiterGraphFilter does.
"""

import re
from collections.abc import Iterator

_WORD = "[0-9A-Za-z\x80-\U0010ffff]+"
_JOINT = r"_+|[-./\\@]|(?<=[A-Z])&(?=[A-Z])"
_SIGNS = r"\+\+|[+#](?![0-9A-Za-z])"
_COMPOUND = re.compile(
    rf"(?:[A-Za-z][0-9A-Za-z+.-]{{0,20}}://)?(?P<lead>(?<![^\s(\[\"'`/])\.(?=[A-Za-z])|-(?=\d))?"
    rf"(?P<body>{_WORD}(?:(?:{_JOINT}){_WORD})*)(?P<signs>{_SIGNS})?"
)
_OF_ADDRESSES = re.compile(r"[/\\@]")
_OF_CODES = re.compile("[-_]+")
_OF_NAMES = re.compile("[.&]")
_BETWEEN_WORDS = re.compile(r"(?<!\d)[-_]+|[-_]+(?!\d)")
_HUMP = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z])")
_VERSION = re.compile(r"[vV]?(\d+(?:\.\d+)+)")
_NAMED_VERSION = re.compile(r"([A-Za-z]{2,})(\d+(?:\.\d+)+)")
_LEFT_BETWEEN = re.compile(r"(?<!<)[/\\_]+")
"""What stands between words that are no compound: PostgreSQL's parser takes `/login` and `src/__tests__` for one word
each, which is found by none of its parts. It leaves out tags, so that `</b>` stays one."""
_SIGN = re.compile("[^0-9A-Za-z\x80-\U0010ffff]")
_MAX_CHARS = 120
"""A longer compound is found by its parts only."""


def split_compounds(text: str) -> str:
    """Return the text with each compound replaced by words: its parts, then the whole.

    `E-4021` becomes "E 4021 E4021": hyphens and underscores may be left out, but between two digits. Other signs are
    kept as their code, so that `C++` is "C" and "cu2bu2b", and 1.21 is not 12.1. A path or an address has its
    segments too: `nginx.conf` of `/etc/nginx/nginx.conf`. A version has no letter before it and is found by its
    beginning: `v2.3.1` becomes "2.3.1 2.3". One that a name is written in front of is found without it: `TLS1.3`.
    """
    return _LEFT_BETWEEN.sub(" ", _COMPOUND.sub(_words, text))


def _words(found: re.Match[str]) -> str:
    lead, body, signs = found["lead"] or "", found["body"], found["signs"] or ""
    if found.group() == body and body.isalnum() and not _HUMP.search(body):
        return body
    words = dict.fromkeys(_of_address(body))
    if lead == "." or signs:
        words[_coded(f"{lead}{body}{signs}")] = None
    return f" {' '.join(words)} "


def _of_address(address: str) -> Iterator[str]:
    segments = _OF_ADDRESSES.split(address)
    for segment in segments:
        yield from _of_code(segment)
    if len(segments) > 1 and len(address) <= _MAX_CHARS:
        yield _coded(address)


def _of_code(code: str) -> Iterator[str]:
    names = _OF_CODES.split(code)
    for name in names:
        yield from _of_name(name)
    if len(names) > 1 and len(code) <= _MAX_CHARS:
        yield _coded(_BETWEEN_WORDS.sub("", code))


def _of_name(name: str) -> Iterator[str]:
    if version := _VERSION.fullmatch(name):
        yield version[1]
        if version[1].count(".") > 1:
            yield ".".join(version[1].split(".")[:2])
        return
    words = _OF_NAMES.split(name)
    for word in words:
        yield word
        humps = _HUMP.split(word)
        if len(humps) > 1:
            yield from humps
    if named := _NAMED_VERSION.fullmatch(name):
        yield from named.groups()
    if len(words) > 1 and len(name) <= _MAX_CHARS:
        yield _coded(name)


def _coded(compound: str) -> str:
    """Return the compound as one word of letters and digits; one with signs is stemmed by no dictionary."""
    return _SIGN.sub(lambda sign: f"u{ord(sign.group()):x}", compound.replace("\\", "/").lower())
