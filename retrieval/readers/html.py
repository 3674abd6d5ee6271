"""Read HTML: the page's main text as Markdown, without the navigation that surrounds it on each page of a site."""

import html
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import lxml.html
from lxml import etree

from retrieval.readers.audience import check_unread
from retrieval.readers.charsets import decode
from retrieval.readers.documents import Empty, FetchedFile, Options, ReadDocument, ReadWarning, Unreadable, document
from retrieval.readers.html_boilerplate import remove_boilerplate, warnings_of
from retrieval.readers.html_code import has_line_numbers
from retrieval.readers.html_markdown import absolute, inline_text, to_markdown
from retrieval.readers.registry import reader
from retrieval.readers.repeated import plain, without_repeated

_CODE = ("script", "style", "iframe", "datalist")
_VOID = ("embed", "source", "track", "wbr", "keygen", "bgsound")
"""Elements without content, of which the parser does not know that: it puts what follows into them."""
_ENDS = re.compile(r"</(?:html|body)\s*>", re.IGNORECASE)
"""What ends nothing in a browser, which shows the text after it as well; the parser would leave that out."""
_UNSEEN = ("svg", "select", "template")
"""What has words that are no text of the page: labels of a drawing, what can be chosen, parts for a script."""
_FALLBACKS = ("object", "canvas", "audio", "video")
"""What has a text for browsers that cannot show it, which is often its description."""
_NO_DESCRIPTION = re.compile(
    r"(?=.{0,200}\Z)(?=.*\b(?:browser|navigateur|navegador|plug-?in|flash|html5)\b)", re.I | re.S
)
_FEW_WORDS = 12
_MAX_CALLS = 10_000
"""Four for each of the 2,048 elements within each other that the parser allows."""


@reader(".html", ".htm", ".xhtml")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file, is_html=True)
    yield from warnings
    check_unread(text)
    root = _parsed(text)
    metadata = _metadata(root, file.url)
    body = root.find("body")
    body = root if body is None else body
    yield from _without_unseen(body)
    main, page = remove_boilerplate(body)
    with _deep_calls():
        text = to_markdown(body, _base_url(root, file.url or metadata.get("url", "")))
        text, ends, left_out = without_repeated(text, options.repeated)
        title = _title(root, main, left_out)
    page.removed += [("a repeated part", len(part.split()), part[:60]) for part in map(plain, left_out)]
    yield from warnings_of(page)
    yield replace(document(file, text, title, metadata, options), ends=asdict(ends))


@contextmanager
def _deep_calls() -> Iterator[None]:
    """Allow the calls that it takes to write elements within each other as deep as the parser allows."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_MAX_CALLS)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _parsed(text: str) -> Any:
    text = _ENDS.sub("", _without_cdata(re.sub(r"\A\s*<\?xml[^>]*\?>", "", text)))
    parser = lxml.html.HTMLParser(huge_tree=True)
    try:
        root = lxml.html.document_fromstring(text, parser=parser)
    except etree.ParserError:
        raise Empty("empty") from None
    except (etree.XMLSyntaxError, ValueError):
        raise Unreadable("a broken page") from None
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        raise Unreadable("nested too deep")  # the parser has left out the rest
    etree.strip_elements(root, etree.Comment, etree.ProcessingInstruction, *_CODE, with_tail=False)
    etree.strip_tags(root, *_VOID)
    _remove_drawn_formulas(root)
    for cell in list(root.iter("td")):
        if has_line_numbers(cell) and cell.find(".//pre") is not None:
            cell.drop_tree()
    return root


def _without_cdata(text: str) -> str:
    """Return a page with the text in its CDATA sections, as wikis export code, which HTML takes for comments."""
    first, *others = text.split("<![CDATA[")
    parts = [first]
    for other in others:
        inside, end, after = other.partition("]]>")
        parts += [html.escape(inside), after] if end else ["<![CDATA[", other]
    return "".join(parts)


def _remove_drawn_formulas(root: Any) -> None:
    """Remove the second form of a formula, which KaTeX and MathJax draw for the eye beside the one of MathML."""
    for formula in list(root.iter("math")):
        if (holder := formula.getparent()) is not None:
            for other in [*holder.itersiblings(), *holder.itersiblings(preceding=True)]:
                if other.get("aria-hidden") == "true":
                    other.drop_tree()


def _without_unseen(body: Any) -> list[ReadWarning]:
    """Remove what a browser does not show as text; return a warning if it has more than some words."""
    removed: dict[str, int] = {}
    for element in list(body.iter(*_UNSEEN, *_FALLBACKS)):
        text = element.text_content()
        is_fallback = element.tag in _FALLBACKS
        if (is_fallback and not _NO_DESCRIPTION.match(text)) or element.get("shadowrootmode") is not None:
            continue
        if not is_fallback:
            removed[element.tag] = removed.get(element.tag, 0) + len(text.split())
        if (parent := element.getparent()) is not None:
            if label := element.get("aria-label") or element.findtext("title"):
                parent.set("aria-label", parent.get("aria-label") or label)  # what a cell may consist of
            element.drop_tree()
    if sum(removed.values()) < _FEW_WORDS:
        return []
    parts = ", ".join(f"{count:,} in <{tag}>" for tag, count in removed.items() if count)
    message = f"Words that are no text of the page were left out: {parts}."
    return [ReadWarning(code="unseen_words_left_out", message=message)]


def _metadata(root: Any, url: str) -> dict[str, Any]:
    def first(path: str) -> str:
        return " ".join(str((root.xpath(path) or [""])[0]).split())

    found = {
        "description": first("//meta[@name='description']/@content"),
        "language": first("/html/@lang"),
        "url": first("//link[@rel='canonical']/@href"),
    }
    if found["url"]:
        found["url"] = absolute(url, found["url"])
    if not found["url"].startswith(("http://", "https://")):
        del found["url"]
    return {name: value for name, value in found.items() if value}


def _base_url(root: Any, url: str) -> str:
    """Return the address that the page's links are relative to."""
    bases = root.xpath("//base/@href")
    return absolute(url, bases[0].strip()) if bases else url


def _title(root: Any, main: Any, left_out: list[str]) -> str:
    """Return the heading of the page, else its title; a heading that was left out is the site's."""
    headings = [inline_text(heading) for heading in main.iter("h1")]
    title = " ".join(root.xpath("string(//title)").split())
    if len(headings) != 1 or not headings[0]:
        return title
    return title or headings[0] if headings[0] in map(plain, left_out) else headings[0]
