"""Write HTML as Markdown: headings, lists, tables, links and code with its language."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from retrieval.readers.html_code import code_text, language_of
from retrieval.readers.html_math import linear
from retrieval.readers.html_table import Table, is_layout, markdown_rows
from retrieval.readers.html_tags import BLOCKS, OMITTED
from retrieval.readers.markdown_writer import MarkdownWriter
from retrieval.readers.ordinals import ordinal

_ORDINALS = {"st", "nd", "rd", "th", "er", "re", "ère", "nde", "e", "ème", "eme", "o", "a", "os", "as"}
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~", "strike": "~~"}
_COPY = re.compile(
    r"(?:click to )?cop(?:y|ied)(?: (?:to|the|this|as|clipboard|code|link|url|permalink|address|anchor|snippet|sample|"
    r"example|block|command|text|page|heading|section|markdown)){0,5} ?[!.…]?",
    re.IGNORECASE,
)
"""What the button beside a code or a heading says, and no question does."""
_SPACES = re.compile(r"[ \t\r\n\f]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_SCHEMES = ("http:", "https:", "mailto:", "tel:", "ftp:")


def to_markdown(root: Any, base_url: str = "") -> str:
    """Return an element as Markdown; links are made absolute with `base_url`, pictures are their alternative text."""
    writer = _Writer(base_url)
    writer.element(root)
    writer.end_block()
    return "\n".join(writer.lines).strip("\n")


def absolute(base_url: str, link: str) -> str:
    """Return a link as an absolute one; as it is without a base, or if it is no address, such as `http://[host]`."""
    try:
        return urljoin(base_url, link)
    except ValueError:
        return link


def inline_text(element: Any) -> str:
    """Return the text of an element on one line, without marks and links."""
    writer = _Writer("", is_inline=True, has_links=False)
    writer.marks.update(_MARKS.values())
    writer.children(element)
    return " ".join("".join(writer.words).split())


class _Writer(MarkdownWriter):
    """Writes the elements of a page; `_WRITERS` has the methods of tags."""

    def __init__(self, base_url: str, *, is_inline: bool = False, has_links: bool = True) -> None:
        super().__init__(is_inline=is_inline)
        self.base_url = base_url
        self.has_links = has_links

    def element(self, element: Any) -> None:
        tag = element.tag
        if not isinstance(tag, str) or (tag in OMITTED and element.get("shadowrootmode") is None):
            return
        if write := _WRITERS.get(tag):
            write(self, element)
        elif tag in _MARKS:
            self._marked(element, _MARKS[tag])
        elif tag[0] == "h" and tag[1:] in "123456" and len(tag) == 2:
            self._heading(element, int(tag[1]))
        elif tag in BLOCKS:
            self.end_block()
            self.children(element)
            self.end_block()
        elif "-" in tag:
            self._label(element)
        else:
            self.children(element)

    def children(self, element: Any) -> None:
        self.text(element.text)
        for child in element:
            self.element(child)
            self.text(child.tail)

    def _heading(self, element: Any, level: int) -> None:
        self.end_block()
        self.marks.add("**")
        self.children(element)
        self.marks.discard("**")
        self.end_block("" if self.is_inline else "#" * level + " ")

    def _marked(self, element: Any, mark: str) -> None:
        """Write inline text between marks, if no block is in it."""
        if mark in self.marks:
            self.children(element)
            return
        self.marks.add(mark)
        with self.wrapped(lambda text: f"{mark}{text}{mark}"):
            self.children(element)
        self.marks.discard(mark)

    def _a(self, element: Any) -> None:
        href = (element.get("href") or "").strip()
        if self.base_url and href:
            href = absolute(self.base_url, href) if not href.startswith("#") else href
        is_link = self.has_links and href and not href.startswith("#") and "]" not in href
        if is_link and _SCHEME.match(href) and not href.lower().startswith(_SCHEMES):
            is_link = False
        if not is_link:
            self.children(element)
            return
        target = href.replace(" ", "%20").replace("(", "%28").replace(")", "%29").replace("\n", "")
        with self.wrapped(lambda text: f"[{text}]({target})"):
            self.children(element)

    def _img(self, element: Any) -> None:
        self.text(element.get("alt"))

    def _br(self, element: Any) -> None:
        self.words.append(" " if self.is_inline else "\n")

    def _label(self, element: Any) -> None:
        """Write what often is a box of its own, such as the names of tabs, apart from the box that follows."""
        self.children(element)
        if not element.tail:
            self.words.append(" ")

    def _button(self, element: Any) -> None:
        opens_text = element.get("aria-expanded") is not None or element.get("aria-controls") is not None
        if not opens_text and _COPY.fullmatch(" ".join(element.text_content().split())):
            return
        self.words.append(" ")
        self.children(element)
        self.words.append(" ")

    def _q(self, element: Any) -> None:
        with self.wrapped(lambda text: f'"{text}"'):
            self.children(element)

    def _sup(self, element: Any) -> None:
        """Write a power as one: 10^6 is not 106, but 5th is."""
        before = next(filter(None, (word.rstrip("*~")[-1:] for word in reversed(self.words))), "")
        is_ordinal = before.isdigit() and element.text_content().strip().lower() in _ORDINALS
        is_power = element.find(".//a") is None and before.isalnum() and not is_ordinal
        with self.wrapped((lambda text: f"^{text}") if is_power else str):
            self.children(element)

    def _math(self, element: Any) -> None:
        is_apart = bool(self.words) and self.words[-1][-1:].isalnum()
        self.words.append(f"{' ' if is_apart else ''}{linear(element)}")

    def _input(self, element: Any) -> None:
        """Write what nobody can change here: the box of a list of tasks, an address to copy; others are no text."""
        kind = (element.get("type") or "text").lower()
        if kind == "checkbox" and element.get("disabled") is not None:
            self.words.append("[x] " if element.get("checked") is not None else "[ ] ")
        elif kind in ("text", "url", "email") and element.get("readonly") is not None:
            self.text(f" {element.get('value') or ''} ")

    def _hr(self, element: Any) -> None:
        self.end_block()
        if not self.is_inline:
            self.block("---")

    def _code(self, element: Any) -> None:
        text = _SPACES.sub(" ", code_text(element)).strip()
        if text:
            fence = "`" * (_longest_run(text) + 1)
            space = " " if "`" in (text[0], text[-1]) else ""
            self.words.append(f"{fence}{space}{text}{space}{fence}")

    def _pre(self, element: Any) -> None:
        if self.is_inline:
            self._code(element)
            return
        self.end_block()
        text = code_text(element).replace("\r\n", "\n").strip("\n")
        if text.strip():
            fence = "`" * max(3, _longest_run(text) + 1)
            self.block(f"{fence}{language_of(element)}\n{text.rstrip()}\n{fence}")

    def _blockquote(self, element: Any) -> None:
        if self.is_inline:
            self.children(element)
            return
        with self.indented("> ", "> "):
            self.children(element)

    def _ul(self, element: Any) -> None:
        self._list(element, lambda item: "- ")

    def _ol(self, element: Any) -> None:
        self._list(element, _numbers(element))

    def _list(self, element: Any, bullet: Callable[[Any], str]) -> None:
        self.end_block()
        parent = element.getparent()
        is_inner = parent is not None and parent.tag == "li"
        is_first = not is_inner
        self.text(element.text)
        for child in element:
            if child.tag == "li":
                self._item(child, bullet(child), is_first=is_first)
                is_first = False
            else:
                self.element(child)
            self.text(child.tail)
        self.end_block()
        self.has_gap = True

    def _item(self, element: Any, mark: str, *, is_first: bool) -> None:
        if self.is_inline:
            self.children(element)
            self.words.append("; " if element.getnext() is not None else " ")
            return
        self.end_block()
        self.has_gap = self.has_gap and is_first
        with self.indented(" " * len(mark), mark):
            self.children(element)

    def _li(self, element: Any) -> None:
        """Write an item without a list."""
        self.end_block()
        self.children(element)
        self.end_block()

    def _table(self, element: Any) -> None:
        self.end_block()
        for caption in element.findall("caption"):
            self.children(caption)
            self.end_block()
        table = Table(element)
        for stray in table.strays:
            self.text(stray) if isinstance(stray, str) else self.element(stray)
        self.end_block()
        if self.is_inline or is_layout(table):
            for cell in table.cells:
                self.children(cell)
                self.end_block()
            return
        rows = markdown_rows(table, self._cell)
        if any(any(row) for row in rows):
            lines = [f"| {' | '.join(row)} |" for row in rows]
            self.block("\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]))

    def _cell(self, element: Any) -> str:
        writer = _Writer(self.base_url, is_inline=True)
        if element.tag == "th":
            writer.marks.add("**")
        writer.children(element)
        text = " ".join("".join(writer.words).split()).rstrip(";") or _icon(element)
        return text.replace("|", "\\|")


_WRITERS: dict[str, Callable[[_Writer, Any], None]] = {
    "a": _Writer._a, "blockquote": _Writer._blockquote, "br": _Writer._br, "button": _Writer._button,
    "code": _Writer._code, "hr": _Writer._hr, "img": _Writer._img, "input": _Writer._input, "kbd": _Writer._code,
    "label": _Writer._label, "li": _Writer._li, "math": _Writer._math, "menu": _Writer._ul, "ol": _Writer._ol,
    "pre": _Writer._pre, "q": _Writer._q, "samp": _Writer._code, "sup": _Writer._sup, "table": _Writer._table,
    "tt": _Writer._code, "ul": _Writer._ul,
}  # fmt: skip


def _numbers(element: Any) -> Callable[[Any], str]:
    """Return the function that counts the items of a list, from `start` and `value` on."""
    last = _whole(element.get("start"), 1) - 1

    def count(item: Any) -> str:
        nonlocal last
        last = _whole(item.get("value"), last + 1)
        return f"{ordinal(last, element.get('type') or '')}. "

    return count


def _whole(text: str | None, default: int) -> int:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else default


def _icon(element: Any) -> str:
    """Return what a cell without a text says by an icon, such as `Included`."""
    labels = (inner.get("aria-label") or inner.get("title") for inner in element.iter())
    return " ".join(next(filter(None, labels), "").split())


def _longest_run(text: str) -> int:
    return max((len(found) for found in re.findall(r"`+", text)), default=0)
