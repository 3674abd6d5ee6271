"""What an HTML page consists of: the sizes of its elements, its main part, and what names and tags hint at."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

NAVIGATION = {"navigation", "menu", "menubar"}
ROLES = NAVIGATION | {"banner", "contentinfo", "complementary", "search", "dialog", "alertdialog"}
TAGS = {"nav", "header", "footer", "aside", "dialog", "noscript"}
_NAMES = re.compile(
    r"(?:^|[\s_-])(?:side-?bar|top-?bar|nav-?bar|navigation|nav|menu|breadcrumbs?|cookies?|banner|footer|toc|"
    r"table-of-contents|pagination|pager|share|social|newsletter|skip-?(?:link|to-content)|advert|promo|popup|modal|"
    r"feedback|related|edit-this-page|search-box)(?:$|[\s_-])",
    re.IGNORECASE,
)
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
INLINE = {"a", "abbr", "b", "bdi", "bdo", "button", "cite", "code", "dfn", "em", "i", "img", "kbd", "label", "mark",
           "p", "pre", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "var",
           *HEADINGS}  # fmt: skip
_SIDE = re.compile(r"side-?bar", re.IGNORECASE)
LINK_SHARE = 0.8
_CONTROLS = ("button", "input", "textarea")
_CORE_SHARE = 0.8
_MARKED_SHARE = 0.2
TEXT_SHARE = 0.1
"""The share of a page's words that is never left out without a warning."""
SENTENCE_WORDS, BANNER_WORDS, FRAME_WORDS = 12, 40, 150
SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(slots=True)
class ElementSize:
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
    controls: int = 0
    """Links, buttons and fields."""

    def add(self, text: str | None) -> None:
        if text:
            words = text.split()
            self.words += len(words)
            self.chars += sum(map(len, words))

    def include(self, other: "ElementSize") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def link_share(self) -> float:
        return self.linked_chars / self.chars if self.chars else 0.0


@dataclass
class HtmlPage:
    body: Any
    sizes: dict[Any, ElementSize]
    core: Any
    is_marked: bool
    """Whether the page itself says what its main part is."""
    removed: list[tuple[str, int, str]] = field(default_factory=list)
    """What was left out: its tag or kind, number of words and beginning; links of menus do not count."""
    removed_links: int = 0
    """Words of links that count, since nothing but their number says that they are a menu."""

    @cached_property
    def above_title(self) -> set[Any]:
        """The parts of the core above its first heading; empty if it has none."""
        parts = list(self.core)
        first = next((number for number, part in enumerate(parts) if self.sizes[part].headings), 0)
        return set(parts[:first])

    def size(self, element: Any) -> ElementSize:
        return self.sizes[element]

    def is_text(self, element: Any) -> bool:
        """Return whether an element has sentences, and much of the page."""
        words = self.sizes[element].words
        return words >= SENTENCE_WORDS and words > TEXT_SHARE * self.sizes[self.body].words

    def is_for_scripts(self, element: Any) -> bool:
        """Return whether a <noscript> has nothing to say but that a browser should run scripts."""
        words = self.sizes[element].words
        return not words or (words <= BANNER_WORDS and "javascript" in element.text_content().lower())

    def remove(self, element: Any) -> None:
        """Remove an element; the words of its links count unless they lead to other pages for certain."""
        size = self.sizes[element]
        linked = 0 if self._is_navigation(element) else size.linked_words
        self.removed_links += linked
        if words := size.words + linked:
            self.removed.append((f"<{element.tag}>", words, " ".join(element.text_content().split())[:60]))
        element.drop_tree()

    def _is_navigation(self, element: Any) -> bool:
        """Return whether its links lead to other pages, for certain: by its tag or role, not by its name."""
        if element.tag in TAGS or element.get("role") in ROLES:
            return True
        size = self.sizes[element]
        is_beside_main = self.is_marked and is_named(element) and self.core not in element.iterancestors()
        return is_beside_main or (size.links > 0 and size.links == size.inner_links)


def sizes_of(body: Any) -> dict[Any, ElementSize]:
    """Return the size of each element, counted once from the leaves up."""
    elements = list(body.iter())
    sizes = {element: ElementSize() for element in elements}
    for element in reversed(elements):
        size = sizes[element]
        if isinstance(element.tag, str):
            size.add(element.text)
            if element.tag == "a" and element.get("href"):
                size.linked_chars, size.linked_words = size.chars, size.linked_words + size.words
                size.words, size.links = 0, 1
                size.inner_links = int(element.get("href").startswith("#"))
                size.controls = 1
            if element.tag in _CONTROLS:
                size.controls += 1
            if element.tag in HEADINGS:
                size.headings += 1
                size.titles += element.tag == "h1"
        if element is not body:
            parent = sizes[element.getparent()]
            parent.include(size)
            parent.add(element.tail)
    return sizes


def core_of(body: Any, sizes: dict[Any, ElementSize]) -> tuple[Any, bool]:
    """Return the element with the page's text, and whether the page marks it."""
    for found in (body.xpath(".//main|.//*[@role='main']"), body.xpath(".//article")):
        if len(found) == 1 and sizes[found[0]].words >= max(1, _MARKED_SHARE * sizes[body].words):
            return found[0], True
    core = body
    while True:
        inner = next((node for node in core if sizes[node].words > _CORE_SHARE * sizes[core].words), None)
        if inner is None or not isinstance(inner.tag, str) or inner.tag in INLINE:
            return core, False
        core = inner


def is_named(element: Any) -> bool:
    """Return whether an element is named as what surrounds a text; that is a hint, and no proof."""
    return element.tag in TAGS or element.get("role") in ROLES or _NAMES.search(_marks(element)) is not None


def is_aside(element: Any) -> bool:
    """Return whether an element stands beside the text and nothing else is said of it: it may as well be a note."""
    if element.tag != "aside" and element.get("role") != "complementary":
        return False
    return _NAMES.search(_SIDE.sub("", _marks(element))) is None


def _marks(element: Any) -> str:
    return f"{element.get('class', '')} {element.get('id', '')}"
