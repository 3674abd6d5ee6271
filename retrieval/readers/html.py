"""Read HTML: the page's main text as Markdown, without the navigation that surrounds it on each page of a site."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import lxml.html
from lxml import etree

from retrieval.readers.audience import check_unread
from retrieval.readers.charsets import decode
from retrieval.readers.documents import Empty, FetchedFile, Options, ReadDocument, ReadWarning, Unreadable, document
from retrieval.readers.html_boilerplate import remove_boilerplate
from retrieval.readers.html_markdown import inline_text, to_markdown
from retrieval.readers.registry import reader

_INVISIBLE = ("script", "style", "svg", "iframe", "object", "embed", "canvas", "select", "datalist")


@reader(".html", ".htm", ".xhtml")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file, is_html=True)
    yield from warnings
    check_unread(text)
    root = _parsed(text)
    metadata = _metadata(root, file.url)
    body = root.find("body")
    body = root if body is None else body
    main, warnings = remove_boilerplate(body)
    yield from warnings
    text = to_markdown(body, metadata.get("url") or file.url)
    yield document(file, text, _title(root, main), metadata, options)


def _parsed(text: str) -> Any:
    text = re.sub(r"\A\s*<\?xml[^>]*\?>", "", text)
    try:
        root = lxml.html.document_fromstring(text)
    except etree.ParserError:
        raise Empty("empty") from None
    except (etree.XMLSyntaxError, ValueError):
        raise Unreadable("a broken page") from None
    etree.strip_elements(root, etree.Comment, etree.ProcessingInstruction, *_INVISIBLE, with_tail=False)
    return root


def _metadata(root: Any, url: str) -> dict[str, Any]:
    def first(path: str) -> str:
        return " ".join(str((root.xpath(path) or [""])[0]).split())

    found = {
        "description": first("//meta[@name='description']/@content"),
        "language": first("/html/@lang"),
        "url": first("//link[@rel='canonical']/@href"),
    }
    if found["url"]:
        found["url"] = urljoin(url, found["url"]) if url else found["url"]
    if not found["url"].startswith(("http://", "https://")):
        del found["url"]
    return {name: value for name, value in found.items() if value}


def _title(root: Any, main: Any) -> str:
    """Return the heading of the page, else its title."""
    headings = [inline_text(heading) for heading in main.iter("h1")]
    title = " ".join(root.xpath("string(//title)").split())
    return headings[0] if len(headings) == 1 and headings[0] else title
