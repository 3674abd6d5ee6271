"""Leave out what surrounds a page's text: navigation, banners, footers.

A tag or a name alone proves nothing: a whole page may stand in a <form>, an answer in a <section id="cookies">. What
goes is what is made of links, or stands outside of the page's main part and is short. What is hidden stays: a tab that
is closed, and the answer of a folded question.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from retrieval.readers.documents import ReadWarning

_NAVIGATION = {"navigation", "menu", "menubar"}
_ROLES = _NAVIGATION | {"banner", "contentinfo", "complementary", "search", "dialog", "alertdialog"}
_TAGS = {"nav", "header", "footer", "aside", "dialog", "noscript"}
_NAMES = re.compile(
    r"(?:^|[\s_-])(?:side-?bar|top-?bar|nav-?bar|navigation|nav|menu|breadcrumbs?|cookies?|banner|footer|toc|"
    r"table-of-contents|pagination|pager|share|social|newsletter|skip-?(?:link|to-content)|advert|promo|popup|modal|"
    r"feedback|related|edit-this-page|search-box)(?:$|[\s_-])",
    re.IGNORECASE,
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_INLINE = {"a", "abbr", "b", "bdi", "bdo", "button", "cite", "code", "dfn", "em", "i", "img", "kbd", "label", "mark",
           "p", "pre", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "var",
           *_HEADINGS}  # fmt: skip
_LINK_SHARE = 0.8
_CORE_SHARE = 0.8
_MARKED_SHARE = 0.2
_TEXT_SHARE = 0.1
"""The share of a page's words that is never left out without a warning."""
_SENTENCE_WORDS, _BANNER_WORDS, _FRAME_WORDS = 12, 40, 150
_SHOWN = 3


@dataclass(slots=True)
class _Size:
    """What an element has, with all that is in it."""

    chars: int = 0
    linked_chars: int = 0
    words: int = 0
    """Outside of links."""
    linked_words: int = 0
    links: int = 0
    inner_links: int = 0
    """Links to a place on the page itself."""
    headings: int = 0
    titles: int = 0
    """Headings of level 1."""

    def add(self, text: str | None) -> None:
        if text:
            words = text.split()
            self.words += len(words)
            self.chars += sum(map(len, words))

    def include(self, other: "_Size") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def link_share(self) -> float:
        return self.linked_chars / self.chars if self.chars else 0.0


@dataclass
class _Page:
    body: Any
    sizes: dict[Any, _Size]
    core: Any
    is_marked: bool
    """Whether the page itself says what its main part is."""
    removed: list[tuple[str, int, str]] = field(default_factory=list)
    """The tag, the number of words and the beginning of what was left out; links of menus do not count."""
    removed_links: int = 0
    """Words of links that count, since nothing but their number says that they are a menu."""

    @cached_property
    def above_title(self) -> set[Any]:
        """The parts of the core above its first heading; empty if it has none."""
        parts = list(self.core)
        first = next((number for number, part in enumerate(parts) if self.sizes[part].headings), 0)
        return set(parts[:first])

    def size(self, element: Any) -> _Size:
        return self.sizes[element]

    def remove(self, element: Any, words: int) -> None:
        if words:
            self.removed.append((element.tag, words, " ".join(element.text_content().split())[:60]))
        element.drop_tree()


def remove_boilerplate(body: Any) -> tuple[Any, list[ReadWarning]]:
    """Remove what is no text of the page from its body; return its main element, and a warning if it was much."""
    sizes = _sizes(body)
    core, is_marked = _core(body, sizes)
    page = _Page(body, sizes, core, is_marked)
    for element in _around(page):
        _remove_around(page, element)
    _remove_inside(page)
    return core if is_marked else body, _warnings(page)


def _sizes(body: Any) -> dict[Any, _Size]:
    """Return the size of each element, counted once from the leaves up."""
    elements = list(body.iter())
    sizes = {element: _Size() for element in elements}
    for element in reversed(elements):
        size = sizes[element]
        if isinstance(element.tag, str):
            size.add(element.text)
            if element.tag == "a" and element.get("href"):
                size.linked_chars, size.linked_words = size.chars, size.linked_words + size.words
                size.words, size.links = 0, 1
                size.inner_links = int(element.get("href").startswith("#"))
            if element.tag in _HEADINGS:
                size.headings += 1
                size.titles += element.tag == "h1"
        if element is not body:
            parent = sizes[element.getparent()]
            parent.include(size)
            parent.add(element.tail)
    return sizes


def _core(body: Any, sizes: dict[Any, _Size]) -> tuple[Any, bool]:
    """Return the element with the page's text, and whether the page marks it."""
    for found in (body.xpath(".//main|.//*[@role='main']"), body.xpath(".//article")):
        if len(found) == 1 and sizes[found[0]].words >= max(1, _MARKED_SHARE * sizes[body].words):
            return found[0], True
    core = body
    while True:
        inner = next((node for node in core if sizes[node].words > _CORE_SHARE * sizes[core].words), None)
        if inner is None or not isinstance(inner.tag, str) or inner.tag in _INLINE:
            return core, False
        core = inner


def _around(page: _Page) -> Iterator[Any]:
    """Yield the elements beside the core; if the page does not mark its core, those directly in it too."""
    if not page.is_marked:
        yield from list(page.core)
    element = page.core
    while element is not page.body:
        parent = element.getparent()
        yield from [node for node in parent if node is not element]
        element = parent


def _remove_around(page: _Page, element: Any) -> None:
    pending = [(element, False)]
    """Elements, each with whether it is in a text of several parts, such as questions with short answers."""
    while pending:
        node, is_in_text = pending.pop()
        if not isinstance(node.tag, str) or not page.size(node).chars:
            continue
        if _surrounds(page, node, is_in_text=is_in_text):
            linked = 0 if _is_navigation(page, node) else page.size(node).linked_words
            page.removed_links += linked
            page.remove(node, page.size(node).words + linked)
        elif node.tag not in _INLINE:
            size = page.size(node)
            is_in_text = is_in_text or (size.headings > 0 and _is_text(page, size) and not _is_named(node))
            pending += [(part, is_in_text) for part in node]


def _surrounds(page: _Page, element: Any, *, is_in_text: bool) -> bool:
    """Return whether an element outside of the page's core surrounds the text and is no part of it."""
    size = page.size(element)
    is_core_part = element.getparent() is page.core
    if size.titles and not (page.size(page.core).titles - (size.titles if is_core_part else 0)):
        return False  # it contains the page's only title
    if size.link_share >= _LINK_SHARE:
        is_index = page.size(page.body).words < 2 * _SENTENCE_WORDS  # a page of links, which are its text
        is_apart = element in page.above_title if is_core_part else not _is_beside_text(element)
        is_menu = size.links >= 3 and not is_index and is_apart
        return is_menu or _is_named(element) or (size.links == size.inner_links and not is_core_part)
    if _is_text(page, size):
        return False
    if element.tag in _TAGS or element.get("role") in _ROLES:
        return size.words <= _FRAME_WORDS
    if page.is_marked and not is_in_text and size.words < _SENTENCE_WORDS * (1 if size.headings else 2):
        return True
    return _is_named(element) and not size.headings and size.words <= _BANNER_WORDS


def _is_text(page: _Page, size: _Size) -> bool:
    return size.words >= _SENTENCE_WORDS and size.words > _TEXT_SHARE * page.size(page.body).words


def _is_beside_text(element: Any) -> bool:
    """Return whether a list of links belongs to a text: `See also` and the list below it."""
    return any(node is not None and node.tag in _INLINE for node in (element.getprevious(), element.getnext()))


def _remove_inside(page: _Page) -> None:
    """Remove menus inside of the text: contents, breadcrumbs, links to share; and signs that link to a heading."""
    pending = list(page.core)
    while pending:
        element = pending.pop()
        if not isinstance(element.tag, str):
            continue
        if _is_sign(element):
            element.drop_tree()
        elif _is_menu(page, element):
            linked = 0 if _is_navigation(page, element) else page.size(element).linked_words
            page.removed_links += linked
            page.remove(element, page.size(element).words + linked)
        else:
            pending += [*element]


def _is_sign(element: Any) -> bool:
    is_inner_link = element.tag == "a" and element.get("href", "").startswith("#")
    return is_inner_link and not re.search(r"\w", element.text_content()) and element.find(".//img") is None


def _is_menu(page: _Page, element: Any) -> bool:
    size = page.size(element)
    if element.tag == "noscript":
        return not _is_text(page, size)
    if not size.links or size.link_share < _LINK_SHARE or element.tag in _INLINE or not _is_named(element):
        return False
    if element.tag == "nav" or element.get("role") in _NAVIGATION or size.links == size.inner_links:
        return True
    rest = page.size(page.core)
    # A list that is most of the page is what the page is for, such as the dishes of a restaurant.
    is_subject = size.linked_words > (rest.words + rest.linked_words) / 2
    return not size.headings and not is_subject


def _is_navigation(page: _Page, element: Any) -> bool:
    """Return whether the links of an element lead to other pages, for certain: by its tag or role, not by its name."""
    if element.tag in _TAGS or element.get("role") in _ROLES:
        return True
    size = page.size(element)
    is_beside_main = page.is_marked and _is_named(element) and page.core not in element.iterancestors()
    return is_beside_main or (size.links > 0 and size.links == size.inner_links)


def _is_named(element: Any) -> bool:
    """Return whether an element is named as what surrounds a text; that is a hint, and no proof."""
    marks = f"{element.get('class', '')} {element.get('id', '')}"
    return element.tag in _TAGS or element.get("role") in _ROLES or _NAMES.search(marks) is not None


def _warnings(page: _Page) -> list[ReadWarning]:
    words = sum(count for _, count, _ in page.removed)
    total = page.size(page.body).words + page.removed_links
    if words <= _TEXT_SHARE * total:
        return []
    largest = sorted(page.removed, key=lambda node: -node[1])[:_SHOWN]
    parts = "; ".join(f"<{tag}> of {count:,} words, {beginning!r}" for tag, count, beginning in largest)
    message = f"{words:,} of {total:,} words were left out, as they seem to surround the page's text: {parts}."
    return [ReadWarning(code="surroundings_left_out", message=message)]
