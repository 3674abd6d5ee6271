"""Leave out data URIs: a picture written as base64 is no text, and 80 kB of it would be hundreds of chunks."""

import re

from retrieval.readers.documents import ReadWarning

_RUN = r"[A-Za-z0-9+/_-]"
# Base64, on one line or wrapped as MIME wraps it, or percent-encoded text; each part begins where the one before ends.
_URI = re.compile(
    r"data:(?P<type>[a-z]+/[\w.+-]+)?(?:;[\w.=%!~'()+-]+|;[\w-]+=\"[^\"\n]{0,255}\")*,"
    rf"(?P<data>)(?:(?:%20| )(?={_RUN}{{60}}))?"
    r"[A-Za-z0-9+/_\-=%.~!$&*,;:@]*"
    rf"(?:\r?\n[ \t]*{_RUN}{{60,}}={{0,2}})*(?:\r?\n[ \t]*{_RUN}+={{0,2}}(?=[)\"'>]))?",
    re.IGNORECASE,
)
_DRAWING = re.compile(r"(?:<|%3C)svg\b", re.IGNORECASE)
_DRAWING_END = re.compile(r"(?:<|%3C)/svg(?:>|%3E)", re.IGNORECASE)
"""How a drawing begins and ends that is written as it is, with spaces and quotes."""
_OPENING = re.compile(r"!\[([^\[\]]*)\]\([ \t]*<?\Z")
_CLOSING = re.compile(r">?[ \t]*(?:\"([^\"\n]*)\"|'([^'\n]*)')?[ \t]*\)")
_DEFINITION = re.compile(r"(?:^|\n) {0,3}\[([^\[\]\n]+)\]:[ \t]*<?\Z")
_DEFINITION_END = re.compile(r">?(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'|\([^()\n]*\)))?[ \t]*(?=\n|\Z)")
_REFERENCE = re.compile(r"!\[([^\[\]]{0,1000})\](?:\[([^\[\]\n]{0,1000})\])?")
_LOOK_BACK = 1000
_SHORT_CHARS = 200
"""A shorter URI that is not an image is an example in a text about them, and stays."""
_GIANT_CHARS = 4000
_GIANT_RUN = re.compile(rf"{_RUN}{{{_GIANT_CHARS},}}")


def without_data_uris(text: str) -> tuple[str, list[ReadWarning]]:
    """Return the text with each picture replaced by its alternative text, and warnings about what else it has.

    Of other media, such as a PDF, the URI goes with a warning. Base64 without a URI stays, with a warning, since it may
    be a key or a hash list that is the document's subject.
    """
    if "data:" not in text.lower():
        return text, _of_giants(text)
    parts: list[str] = []
    at, others, other_chars = 0, 0, 0
    labels = set[str]()
    ends_follow = True
    for found in _URI.finditer(text):
        start, end = found.span()
        if start < at:
            continue  # within a drawing
        if ends_follow and _DRAWING.match(text, found.start("data")):
            drawing_end = _DRAWING_END.search(text, found.start("data"))
            ends_follow = drawing_end is not None
            end = max(end, drawing_end.end()) if drawing_end else end
        before = text[max(at, start - _LOOK_BACK) : start]
        is_image = (found["type"] or "").lower().startswith("image/")
        opening, closing = _OPENING.search(before), _CLOSING.match(text, end)
        if opening and closing:
            # A title stands beside the picture only if it has no alternative text.
            label = opening[1].strip() or closing[1] or closing[2] or ""
            parts += [text[at : start - len(before) + opening.start()], label]
            at = closing.end()
        elif end - start < _SHORT_CHARS:
            continue
        elif definition := _DEFINITION.search(before):
            parts.append(text[at : start - len(before) + definition.start()])
            ending = _DEFINITION_END.match(text, end)
            at = ending.end() if ending else end
            labels.add(_label(definition[1]))
        else:
            parts.append(text[at:start])
            at = end
        if not is_image:
            others, other_chars = others + 1, other_chars + end - start
    cleaned = _without_references("".join([*parts, text[at:]]), labels)
    return cleaned, [*_of_others(others, other_chars), *_of_giants(cleaned)]


def _without_references(text: str, labels: set[str]) -> str:
    """Return the text with the alternative text in the place of each picture whose address stood elsewhere in it."""

    def shown(found: re.Match[str]) -> str:
        return found[1] if _label(found[2] or found[1]) in labels else found[0]

    return _REFERENCE.sub(shown, text) if labels else text


def _label(name: str) -> str:
    """Return a label as Markdown compares them."""
    return " ".join(name.split()).casefold()


def _of_others(count: int, chars: int) -> list[ReadWarning]:
    message = f"{count:,} embedded files (data URIs that are no pictures) of {chars:,} characters were left out."
    return [ReadWarning(code="data_uris_left_out", message=message)] if count else []


def _of_giants(text: str) -> list[ReadWarning]:
    sizes = [found.end() - found.start() for found in _GIANT_RUN.finditer(text)]
    message = f"{len(sizes):,} runs of {sum(sizes):,} characters without a space, such as base64, are indexed as text."
    return [ReadWarning(code="giant_words", message=message)] if sizes else []
