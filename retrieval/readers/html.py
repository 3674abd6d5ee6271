"""Read HTML: the page's main text as Markdown, without the navigation that surrounds it on each page of a site."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import lxml.html
from lxml import etree
from markdownify import MarkdownConverter

from retrieval.readers.documents import Empty, FetchedFile, Options, ReadDocument, Unreadable, decode, document
from retrieval.readers.registry import reader

_REMOVED_TAGS = ("script", "style", "noscript", "template", "svg", "iframe", "nav", "aside", "form", "dialog", "button",
         "select", "object", "embed", "canvas")  # fmt: skip
_SURROUNDING = re.compile(
    r"(?:^|[\s_-])(?:side-?bar|top-?bar|nav-?bar|navigation|nav|menu|breadcrumbs?|cookies?|banner|footer|toc|"
    r"table-of-contents|pagination|pager|share|social|newsletter|skip-?(?:link|to-content)|advert|promo|popup|modal|"
    r"feedback|related|headerlink|edit-this-page|search-box)(?:$|[\s_-])",
    re.IGNORECASE,
)
_ROLES = {"navigation", "banner", "contentinfo", "complementary", "search", "dialog", "menu", "menubar"}
_LANGUAGE = re.compile(r"(?:language|lang|highlight-source|highlight)-([\w+#-]+)")
_MENU_LINK_SHARE = 0.8


@reader(".html", ".htm", ".xhtml", is_isolated=True)
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument]:
    root = _parsed(file.content)
    metadata = _metadata(root, file.url)
    main = _main(root)
    title = _title(root, main)
    yield document(file, to_markdown(main, metadata.get("url") or file.url), title, metadata, options)


def to_markdown(root: Any, base_url: str = "") -> str:
    """Return an element as Markdown: headings, lists, tables, links and code with its language."""
    if base_url:
        for link in root.iter("a"):
            if (href := link.get("href")) and not href.startswith("#"):
                link.set("href", urljoin(base_url, href))
    converter = MarkdownConverter(
        heading_style="ATX", bullets="-", escape_asterisks=False, escape_underscores=False, escape_misc=False,
        autolinks=False, code_language_callback=_language, keep_inline_images_in=[], table_infer_header=True,
    )  # fmt: skip
    text = converter.convert(lxml.html.tostring(root, encoding="unicode"))
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\[([^\]]*)\]\(#[^)]*\)", r"\1", text)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()


def _parsed(content: bytes) -> Any:
    try:
        text: str | bytes = decode(content)
    except Unreadable:
        if b"\x00" in content:
            raise
        text = content  # an older page declares its encoding itself
    if isinstance(text, str):
        text = re.sub(r"\A\s*<\?xml[^>]*\?>", "", text)
    try:
        root = lxml.html.document_fromstring(text)
    except etree.ParserError:
        raise Empty("empty") from None
    except (etree.XMLSyntaxError, ValueError):
        raise Unreadable("a broken page") from None
    etree.strip_elements(root, etree.Comment, etree.ProcessingInstruction, *_REMOVED_TAGS, with_tail=False)
    return root


def _main(root: Any) -> Any:
    """Return the page's main element: what is marked as main text, else the body without what is marked otherwise."""
    body = root.find("body")
    body = root if body is None else body
    _prune(body)
    marked = body.xpath(".//main|.//*[@role='main']") or body.xpath(".//article")
    if len(marked) == 1 and len(marked[0].text_content().split()) >= 0.2 * len(body.text_content().split()):
        return marked[0]
    return body


def _prune(body: Any) -> None:
    for element in list(body.iter()):
        if element is body or element.getparent() is None or not isinstance(element.tag, str):
            continue
        marks = f"{element.get('class', '')} {element.get('id', '')}"
        is_frame = element.tag in ("header", "footer") and not any(
            above.tag in ("article", "main", "section") for above in element.iterancestors()
        )
        is_hidden = element.get("hidden") is not None or element.get("aria-hidden") == "true"
        is_marked = element.tag not in ("main", "article", "body") and (
            element.get("role") in _ROLES
            or (_SURROUNDING.search(marks) and not element.xpath(".//h1|.//main|.//article"))
        )
        if is_frame and element.xpath(".//h1") and not body.xpath(".//main//h1|.//article//h1"):
            is_frame = False  # it contains the page's only title
        if is_frame or is_hidden or is_marked or _is_menu(element):
            element.drop_tree()


def _is_menu(element: Any) -> bool:
    """Return whether an element is a menu: a list, at the top level of the page, that consists of short links."""
    if element.tag not in ("ul", "ol") or element.xpath("ancestor::main|ancestor::article|ancestor::li"):
        return False
    links = element.xpath(".//a")
    if len(links) < 3:
        return False
    linked = sum(len(link.text_content().strip()) for link in links)
    whole = len("".join(element.text_content().split())) or 1
    return linked >= _MENU_LINK_SHARE * whole and linked < 30 * len(links)


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
    headings = [" ".join(heading.text_content().split()) for heading in main.iter("h1")]
    title = " ".join(root.xpath("string(//title)").split())
    return headings[0] if len(headings) == 1 and headings[0] else title


def _language(element: Any) -> str | None:
    for candidate in (element, element.find("code"), element.parent):
        found = _LANGUAGE.search(" ".join(candidate.get("class") or [])) if candidate is not None else None
        if found:
            return found[1]
    return None
