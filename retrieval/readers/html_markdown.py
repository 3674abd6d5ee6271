"""Write HTML as Markdown: headings, lists, tables, links and code with its language."""

import re
from typing import Any
from urllib.parse import urljoin

from retrieval.readers.html_table import cells_of, is_layout, markdown_rows

_OMITTED = {"script", "style", "template", "svg", "iframe", "object", "embed", "canvas", "audio", "video", "head",
            "input", "select", "textarea", "datalist", "annotation", "colgroup", "map"}  # fmt: skip
_BLOCKS = {"address", "article", "aside", "body", "caption", "center", "dd", "details", "dialog", "div", "dl", "dt",
           "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "html", "legend", "main", "nav",
           "noscript", "optgroup", "p", "search", "section", "summary", "tbody", "td", "tfoot", "th", "thead",
           "tr"}  # fmt: skip
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~", "strike": "~~"}
_LANGUAGE = re.compile(r"(?:language|lang|highlight-source|highlight)-([\w+#-]+)")
_COPY = re.compile(r"cop(?:y|ied)\b.{0,20}", re.IGNORECASE)
"""What the button beside a code or a heading says."""
_SPACES = re.compile(r"[ \t\r\n\f]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_SCHEMES = ("http:", "https:", "mailto:", "tel:", "ftp:")


def to_markdown(root: Any, base_url: str = "") -> str:
    """Return an element as Markdown; links are made absolute with `base_url`, pictures are their alternative text."""
    writer = _Writer(base_url)
    writer.element(root)
    writer.end_block()
    return "\n".join(writer.lines).strip("\n")


def inline_text(element: Any) -> str:
    """Return the text of an element on one line, without marks and links."""
    writer = _Writer("", is_cell=True)
    writer.marks.update(_MARKS.values())
    writer.has_links = False
    writer.children(element)
    return " ".join("".join(writer.words).split())


class _Writer:
    """Writes blocks as lines, each once; `prefix` is what the lines of the open lists and quotations begin with."""

    def __init__(self, base_url: str, *, is_cell: bool = False) -> None:
        self.base_url = base_url
        self.is_cell = is_cell
        self.lines: list[str] = []
        self.words: list[str] = []
        """The inline text of the block that is open."""
        self.blocks = 0
        self.prefix = ""
        self.marker: str | None = None
        """What the next line begins with instead of the prefix: a bullet or number."""
        self.outer_prefix = ""
        """The prefix of the empty line before that."""
        self.has_gap = False
        """Whether an empty line comes before the next block."""
        self.marks: set[str] = set()
        self.has_links = True

    def element(self, element: Any) -> None:
        tag = element.tag
        if not isinstance(tag, str) or (tag in _OMITTED and element.get("shadowrootmode") is None):
            return
        if (write := getattr(self, f"_{tag}", None)) is not None:
            write(element)
        elif tag in _MARKS:
            self._marked(element, _MARKS[tag])
        elif tag[0] == "h" and tag[1:] in "123456" and len(tag) == 2:
            self._heading(element, int(tag[1]))
        elif tag in _BLOCKS:
            self.end_block()
            self.children(element)
            self.end_block()
        else:
            self.children(element)

    def children(self, element: Any) -> None:
        self.text(element.text)
        for child in element:
            self.element(child)
            self.text(child.tail)

    def text(self, text: str | None) -> None:
        if text:
            self.words.append(_SPACES.sub(" ", text))

    def end_block(self, before: str = "") -> None:
        """Write the inline text so far as a block, with `before` in front."""
        if self.is_cell:
            self.words.append(" ")
            return
        text = _tidy("".join(self.words))
        self.words.clear()
        if text:
            self.block(before + (" ".join(text.split("\n")) if before else text))

    def block(self, text: str) -> None:
        if self.has_gap and self.lines:
            self.lines.append((self.prefix if self.marker is None else self.outer_prefix).rstrip())
        for line in text.split("\n"):
            start = self.prefix if self.marker is None else self.marker
            self.marker = None
            self.lines.append((start + line).rstrip())
        self.has_gap = True
        self.blocks += 1

    def _heading(self, element: Any, level: int) -> None:
        self.end_block()
        self.marks.add("**")
        self.children(element)
        self.marks.discard("**")
        self.end_block("" if self.is_cell else "#" * level + " ")

    def _marked(self, element: Any, mark: str) -> None:
        """Write inline text between marks, if no block is in it."""
        if mark in self.marks:
            self.children(element)
            return
        self.marks.add(mark)
        self._wrapped(element, lambda text: f"{mark}{text}{mark}")
        self.marks.discard(mark)

    def _wrapped(self, element: Any, wrap: Any) -> None:
        start, blocks = len(self.words), self.blocks
        self.children(element)
        if self.blocks != blocks:
            return
        text = "".join(self.words[start:])
        if text.strip():
            own = text.strip()
            left, right = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
            self.words[start:] = [left, wrap(own), right]

    def _a(self, element: Any) -> None:
        href = (element.get("href") or "").strip()
        if self.base_url and href:
            href = urljoin(self.base_url, href) if not href.startswith("#") else href
        is_link = self.has_links and href and not href.startswith("#") and "]" not in href
        if is_link and _SCHEME.match(href) and not href.lower().startswith(_SCHEMES):
            is_link = False
        if not is_link:
            self.children(element)
            return
        target = href.replace(" ", "%20").replace("(", "%28").replace(")", "%29").replace("\n", "")
        self._wrapped(element, lambda text: f"[{text}]({target})")

    def _img(self, element: Any) -> None:
        self.text(element.get("alt"))

    def _br(self, element: Any) -> None:
        self.words.append(" " if self.is_cell else "\n")

    def _wbr(self, element: Any) -> None:
        pass

    def _button(self, element: Any) -> None:
        if _COPY.fullmatch(" ".join(element.text_content().split())):
            return
        self.words.append(" ")
        self.children(element)
        self.words.append(" ")

    def _q(self, element: Any) -> None:
        self._wrapped(element, lambda text: f'"{text}"')

    def _sup(self, element: Any) -> None:
        """Write a power as one: 10^6 is not 106."""
        is_power = element.find(".//a") is None and bool(self.words) and self.words[-1][-1:].isalnum()
        self._wrapped(element, (lambda text: f"^{text}") if is_power else str)

    def _hr(self, element: Any) -> None:
        self.end_block()
        if not self.is_cell:
            self.block("---")

    def _code(self, element: Any) -> None:
        text = _SPACES.sub(" ", _plain(element)).strip()
        if text:
            fence = "`" * (_longest_run(text) + 1)
            space = " " if "`" in (text[0], text[-1]) else ""
            self.words.append(f"{fence}{space}{text}{space}{fence}")

    _kbd = _samp = _tt = _code

    def _pre(self, element: Any) -> None:
        if self.is_cell:
            self._code(element)
            return
        self.end_block()
        text = _plain(element).replace("\r\n", "\n").strip("\n")
        if text.strip():
            fence = "`" * max(3, _longest_run(text) + 1)
            self.block(f"{fence}{_language(element)}\n{text.rstrip()}\n{fence}")

    def _blockquote(self, element: Any) -> None:
        self.end_block()
        if not self.is_cell:
            self._indented(element, "> ", (self.marker if self.marker is not None else self.prefix) + "> ")
        else:
            self.children(element)

    def _ul(self, element: Any) -> None:
        self._list(element, lambda number: "- ")

    _menu = _ul

    def _ol(self, element: Any) -> None:
        start = element.get("start") or "1"
        first = int(start) if start.isascii() and start.isdigit() and len(start) < 8 else 1
        self._list(element, lambda number: f"{first + number}. ")

    def _list(self, element: Any, bullet: Any) -> None:
        self.end_block()
        is_inner = any(above.tag == "li" for above in (element.getparent(),) if above is not None)
        self.text(element.text)
        number = 0
        for child in element:
            if child.tag == "li" and not self.is_cell:
                self.end_block()
                if number or is_inner:
                    self.has_gap = False
                mark = bullet(number)
                self._indented(child, " " * len(mark), (self.marker if self.marker is not None else self.prefix) + mark)
                number += 1
            else:
                self.element(child)
                if child.tag == "li":
                    self.words.append("; " if child.getnext() is not None else " ")
            self.text(child.tail)
        self.end_block()
        self.has_gap = True

    def _li(self, element: Any) -> None:
        self.end_block()
        self.children(element)
        self.words.append("" if self.is_cell else " ")
        if not self.is_cell:
            self.end_block()

    def _indented(self, element: Any, indent: str, marker: str) -> None:
        outer_prefix, outer_marker = self.prefix, self.marker
        lines = len(self.lines)
        if self.marker is None:
            self.outer_prefix = self.prefix
        self.prefix, self.marker = self.prefix + indent, marker
        self.children(element)
        self.end_block()
        self.prefix = outer_prefix
        self.marker = outer_marker if len(self.lines) == lines else None

    def _table(self, element: Any) -> None:
        self.end_block()
        for caption in element.findall("caption"):
            self.children(caption)
            self.end_block()
        if self.is_cell or is_layout(element):
            for cell in cells_of(element):
                self.children(cell)
                self.end_block()
            return
        rows = markdown_rows(element, self._cell)
        if any(any(row) for row in rows):
            lines = [f"| {' | '.join(row)} |" for row in rows]
            self.block("\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]))

    def _cell(self, element: Any) -> str:
        writer = _Writer(self.base_url, is_cell=True)
        if element.tag == "th":
            writer.marks.add("**")
        writer.children(element)
        return " ".join("".join(writer.words).split()).rstrip(";").replace("|", "\\|")


def _tidy(text: str) -> str:
    """Return inline text without the white space that a browser does not show."""
    return "\n".join(" ".join(line.split(" ")).strip() for line in re.sub(r" +", " ", text).split("\n")).strip()


def _plain(element: Any) -> str:
    """Return the text of code as it stands, with a line for each <br>."""
    texts: list[str] = []
    pending: list[Any] = [element]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            texts.append(each)
            continue
        if isinstance(each.tag, str) and each.tag not in _OMITTED:
            texts.append("\n" if each.tag == "br" else each.text or "")
            for child in reversed(each):
                if child.tail:
                    pending.append(child.tail)
                pending.append(child)
    return "".join(texts)


def _longest_run(text: str) -> int:
    return max((len(found) for found in re.findall(r"`+", text)), default=0)


def _language(element: Any) -> str:
    for each in (element, element.find("code"), element.getparent()):
        found = _LANGUAGE.search(each.get("class") or "") if each is not None else None
        if found:
            return found[1]
    return ""
