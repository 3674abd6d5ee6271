"""Read Word documents (DOCX), converted to HTML first."""

from collections.abc import Iterator
from typing import Any

import lxml.html
import mammoth
from lxml import etree

from retrieval.readers.documents import (
    FetchedFile,
    Options,
    ReadDocument,
    ReadWarning,
    Unreadable,
    document,
    properties_of,
    says_nothing,
)
from retrieval.readers.docx_body import append_paragraphs, lines_of_margin, loosen, missing_words, paragraphs, prepare
from retrieval.readers.docx_hidden import hidden_styles, remove_hidden
from retrieval.readers.docx_numbers import Label, mark_numbers, put_numbers
from retrieval.readers.docx_package import Package, open_package, parse
from retrieval.readers.html_markdown import to_markdown
from retrieval.readers.registry import reader

_NAMES = {"title": "{http://purl.org/dc/elements/1.1/}title", "author": "{http://purl.org/dc/elements/1.1/}creator"}
_UNREAD = {"chart": "charts", "chartEx": "charts", "diagramData": "diagrams", "oleObject": "embedded objects",
           "package": "embedded files", "aFChunk": "inserted files"}  # fmt: skip


@reader(".docx", signature=".zip")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    package = open_package(file.content)
    metadata = _metadata(package)
    texts, hidden, labels = _prepared(package)
    html = mammoth.convert_to_html(
        package.rebuilt(), convert_image=mammoth.images.img_element(lambda image: {"src": ""})
    ).value
    root = lxml.html.fragment_fromstring(html, create_parent="div")
    _put_right(root)
    put_numbers(root, labels)
    text = to_markdown(root)
    missing = missing_words(texts, text)
    yield from _warnings(package, missing, hidden)
    if missing and says_nothing(text):
        raise Unreadable("none of its text could be read")
    yield document(file, text, metadata.pop("title", ""), metadata, options)


def _put_right(root: Any) -> None:
    """Write checkboxes as signs, and take off what mammoth leaves behind the address of a link: HYPERLINK's options."""
    for box in list(root.iter("input")):
        box.tag, box.text = "span", "☒" if box.get("checked") is not None else "☐"
    for link in root.iter("a"):
        link.set("href", link.get("href", "").partition('"')[0])


def _prepared(package: Package) -> tuple[list[str], int, list[Label]]:
    """Prepare the parts that have text.

    Return the paragraphs that the result must have, the number of hidden words, and the numbers of paragraphs.
    """
    styles = frozenset[str]().union(*(hidden_styles(root) for _, root in _parts(package, "styles")))
    hidden, margins = 0, dict[str, None]()
    for _, root in _parts(package, "header", "footer"):
        prepare(root)
        hidden += remove_hidden(root, styles)
        margins |= dict.fromkeys(lines_of_margin(root))
    texts: list[str] = []
    labels: list[Label] = []
    for path, root in [(package.main, parse(package.parts[package.main])), *_parts(package, "footnotes", "endnotes")]:
        prepare(root)
        hidden += remove_hidden(root, styles)
        if path == package.main:
            append_paragraphs(root, list(margins))
            texts += paragraphs(root)
            labels = _numbered(package, root)
        package.parts[path] = etree.tostring(root)
    return texts, hidden, labels


def _numbered(package: Package, root: Any) -> list[Label]:
    numbering, styles = (
        next((part for _, part in _parts(package, kind)), None) for kind in ("numbering", "styles")
    )  # fmt: skip
    if numbering is None:
        return []
    for part in (numbering, styles):
        if part is not None:
            loosen(part)
    return mark_numbers(root, numbering, styles)


def _parts(package: Package, *kinds: str) -> Iterator[tuple[str, Any]]:
    """Yield the path and root of each part that the main one refers to as one of these."""
    for path in (path for kind in kinds for path in package.related.get(kind, ()) if path in package.parts):
        yield path, parse(package.parts[path])


def _warnings(package: Package, missing: list[str], hidden: int) -> Iterator[ReadWarning]:
    unread = {name: sum(len(package.related.get(kind, ())) for kind, of in _UNREAD.items() if of == name)
              for name in _UNREAD.values()}  # fmt: skip
    if listed := ", ".join(f"{count} {name}" for name, count in unread.items() if count):
        yield ReadWarning(code="parts_not_read", message=f"Not read: {listed}.")
    if hidden:
        yield ReadWarning(code="hidden_text_left_out", message=f"{hidden:,} words are hidden in the document.")
    if missing:
        shown = " ".join(missing[:10])[:200]
        yield ReadWarning(code="text_left_out", message=f"{len(missing):,} words could not be read, such as: {shown}.")


def _metadata(package: Package) -> dict[str, Any]:
    content = package.parts.get("docProps/core.xml")
    if content is None:
        return {}
    properties = parse(content)
    return dict(properties_of({name: properties.findtext(tag) for name, tag in _NAMES.items()}))
