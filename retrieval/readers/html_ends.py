"""Take the frame off both ends of a page that does not mark its main part.

From the beginning up to the first heading or text, and from the end back to the last text, what is short and consists
of links or controls goes, and so does the page's own <header> and <footer>. Between the two nothing does: there a
<header> is a section's, and a <div class="menu"> has the dishes of a restaurant.
"""

from typing import Any

from retrieval.readers.html_page import (
    BANNER_WORDS,
    FRAME_WORDS,
    HEADINGS,
    INLINE,
    LINK_SHARE,
    NAVIGATION,
    SENTENCE_WORDS,
    ElementSize,
    HtmlPage,
    is_named,
)

_SECTIONS = {"article", "section", "aside", "main", "nav", "blockquote", "figure", "details", "fieldset", "li", "dd",
             "td", "th"}  # fmt: skip
"""In these a header or footer is not the page's (HTML, 4.3.8 and 4.3.9)."""
_LANDMARKS = {"header", "footer"}
_LANDMARK_ROLES = {"banner", "contentinfo"}
_MANY_LINKS, _MOSTLY_LINKS, _SOME_LINKS = 3, 0.5, 0.25


def trim_ends(page: HtmlPage) -> None:
    for is_end in (False, True):
        _trim(page, is_end=is_end)


def _trim(page: HtmlPage, *, is_end: bool) -> None:
    pending = [(page.body, False)]
    """The elements from the end of the page on that is trimmed, each with whether it is in a section."""
    while pending:
        element, is_in_section = pending.pop()
        if not isinstance(element.tag, str) or not page.size(element).chars:
            continue
        size = page.size(element)
        if element is not page.body and _is_frame(page, element, is_in_section=is_in_section):
            page.remove(element)
        elif size.headings or size.link_share < LINK_SHARE:  # else a list of links, which ends no frame
            if element.tag in INLINE or _has_text(element):
                return
            is_in_section = is_in_section or element.tag in _SECTIONS
            pending += [(part, is_in_section) for part in (element if is_end else reversed(element))]


def _is_frame(page: HtmlPage, element: Any, *, is_in_section: bool) -> bool:
    size, previous = page.size(element), element.getprevious()
    if page.is_text(element) or (previous is not None and previous.tag in HEADINGS):
        return False
    if element.tag == "noscript":
        return page.is_for_scripts(element)
    if element.tag == "nav" or element.get("role") in NAVIGATION:
        return size.links > 0 and size.words < SENTENCE_WORDS
    is_landmark = element.tag in _LANDMARKS or element.get("role") in _LANDMARK_ROLES
    if is_landmark and not is_in_section:
        return _is_landmark_frame(page, size)
    return is_named(element) and not size.headings and size.controls > 0 and size.words <= BANNER_WORDS


def _is_landmark_frame(page: HtmlPage, size: ElementSize) -> bool:
    """Return whether the page's own header or footer is short, or a menu; it is none with the page's only title."""
    if size.titles and size.titles == page.size(page.body).titles:
        return False
    if size.headings:
        return size.links >= _MANY_LINKS and size.link_share >= _MOSTLY_LINKS and size.words <= FRAME_WORDS
    return size.words <= (FRAME_WORDS if size.link_share >= _SOME_LINKS else BANNER_WORDS)


def _has_text(element: Any) -> bool:
    """Return whether an element has a text beside the elements in it."""
    return any(text and not text.isspace() for text in (element.text, *(part.tail for part in element)))
