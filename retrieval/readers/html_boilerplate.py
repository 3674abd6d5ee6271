"""Leave out what surrounds a page's text: navigation, banners, footers.

A tag or a name alone proves nothing: a whole page may stand in a <form>, an answer in a <section id="cookies">. What
goes is made of links, or is short and stands beside the part that the page marks as its main one. A page that marks
none has its frame only at its two ends, see `html_ends`. What other pages begin and end with, too, goes after that, see
`repeated`. An <aside> with a sentence may be a note, and stays. So does what is hidden: a tab that is closed, and the
answer of a folded question.
"""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from retrieval.readers.documents import ReadWarning
from retrieval.readers.html_ends import trim_ends
from retrieval.readers.html_page import (
    BANNER_WORDS,
    FRAME_WORDS,
    INLINE,
    LINK_SHARE,
    NAVIGATION,
    ROLES,
    SENTENCE_ENDS,
    SENTENCE_WORDS,
    TAGS,
    TEXT_SHARE,
    ElementSize,
    HtmlPage,
    core_of,
    is_aside,
    is_named,
    sizes_of,
)

_SHOWN = 3
_TABS = etree.XPath(
    ".//a[@role='tab' or ../@role='tab' or @data-toggle='tab' or @data-toggle='pill'"
    " or @data-bs-toggle='tab' or @data-bs-toggle='pill']"
)
"""Links that open a panel of the page, and name it."""
_FEW_WORDS = 4


def remove_boilerplate(body: Any) -> tuple[Any, HtmlPage]:
    """Remove what is no text of the page from its body; return its main element, and what was removed."""
    sizes = sizes_of(body)
    core, is_marked = core_of(body, sizes)
    page = HtmlPage(body, sizes, core, is_marked)
    for element in _around(page):
        _remove_around(page, element)
    if not is_marked:
        trim_ends(page)
    _remove_inside(page)
    return core if is_marked else body, page


def _around(page: HtmlPage) -> Iterator[Any]:
    """Yield the elements beside the core; if the page does not mark its core, those directly in it too."""
    if not page.is_marked:
        yield from list(page.core)
    element = page.core
    while element is not page.body:
        parent = element.getparent()
        yield from [node for node in parent if node is not element]
        element = parent


def _remove_around(page: HtmlPage, element: Any) -> None:
    pending = [(element, False)]
    """Elements, each with whether it is in a text of several parts, such as questions with short answers."""
    while pending:
        node, is_in_text = pending.pop()
        if not isinstance(node.tag, str) or not page.size(node).chars or _is_tabs(page, node):
            continue
        if _surrounds(page, node, is_in_text=is_in_text):
            page.remove(node)
        elif node.tag not in INLINE:
            size = page.size(node)
            is_text = size.headings > 0 and page.is_text(node) and not is_named(node)
            is_in_text = is_in_text or is_text or is_aside(node)
            pending += [(part, is_in_text) for part in node]


def _surrounds(page: HtmlPage, element: Any, *, is_in_text: bool) -> bool:
    """Return whether an element outside of the page's core surrounds the text and is no part of it."""
    size = page.size(element)
    is_core_part = element.getparent() is page.core
    if size.titles and not (page.size(page.core).titles - (size.titles if is_core_part else 0)):
        return False  # it contains the page's only title
    if size.link_share >= LINK_SHARE:
        is_index = page.size(page.body).words < 2 * SENTENCE_WORDS  # a page of links, which are its text
        is_apart = element in page.above_title if is_core_part else not _is_beside_text(element)
        is_menu = size.links >= 3 and not is_index and is_apart
        return is_menu or is_named(element) or (size.links == size.inner_links and not is_core_part)
    if not page.is_marked or is_in_text or page.is_text(element):
        return False
    if element.tag in TAGS or element.get("role") in ROLES:
        return size.words <= FRAME_WORDS and not (is_aside(element) and _says_something(element, size))
    if size.words < SENTENCE_WORDS * (1 if size.headings else 2):
        return True
    return is_named(element) and not size.headings and size.words <= BANNER_WORDS


def _is_tabs(page: HtmlPage, element: Any) -> bool:
    """Return whether an element is made of links most of which open panels of the page."""
    return page.size(element).link_share >= LINK_SHARE and 2 * len(_TABS(element)) > page.size(element).links


def _says_something(element: Any, size: ElementSize) -> bool:
    """Return whether an element has a sentence, be it short: `Refunds need the number on the ticket.`"""
    is_sentence = size.words >= _FEW_WORDS and element.text_content().rstrip().endswith(SENTENCE_ENDS)
    return is_sentence or size.words >= SENTENCE_WORDS


def _is_beside_text(element: Any) -> bool:
    """Return whether a list of links belongs to a text: `See also` and the list below it."""
    return any(node is not None and node.tag in INLINE for node in (element.getprevious(), element.getnext()))


def _remove_inside(page: HtmlPage) -> None:
    """Remove menus inside of the text: contents, breadcrumbs, links to share; and signs that link to a heading."""
    pending = list(page.core)
    while pending:
        element = pending.pop()
        if not isinstance(element.tag, str):
            continue
        if _is_sign(element):
            element.drop_tree()
        elif _is_menu(page, element):
            page.remove(element)
        else:
            pending += [*element]


def _is_sign(element: Any) -> bool:
    is_inner_link = element.tag == "a" and element.get("href", "").startswith("#")
    return is_inner_link and not re.search(r"\w", element.text_content()) and element.find(".//img") is None


def _is_menu(page: HtmlPage, element: Any) -> bool:
    size = page.size(element)
    if element.tag == "noscript":
        return page.is_for_scripts(element)
    if not size.links or size.link_share < LINK_SHARE or element.tag in INLINE or not is_named(element):
        return False
    if _is_tabs(page, element):
        return False
    if element.tag == "nav" or element.get("role") in NAVIGATION or size.links == size.inner_links:
        return True
    rest = page.size(page.core)
    # A list that is most of the page is what the page is for, such as the dishes of a restaurant.
    is_subject = size.linked_words > (rest.words + rest.linked_words) / 2
    return not size.headings and not is_subject


def warnings_of(page: HtmlPage) -> list[ReadWarning]:
    """Return a warning if much was left out."""
    words = sum(count for _, count, _ in page.removed)
    total = page.size(page.body).words + page.removed_links
    if words <= TEXT_SHARE * total:
        return []
    largest = sorted(page.removed, key=lambda node: -node[1])[:_SHOWN]
    parts = "; ".join(f"{kind} of {count:,} words, {beginning!r}" for kind, count, beginning in largest)
    message = f"{words:,} of {total:,} words were left out, as they seem to surround the page's text: {parts}."
    return [ReadWarning(code="surroundings_left_out", message=message)]
