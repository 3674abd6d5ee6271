"""Take JSX out of Markdown: tags, comments and expressions go, and their text stays.

Each part of the text is looked at a bounded number of times, also where it is broken or hostile.
"""

import re
from typing import NamedTuple

from retrieval.readers.jsx_attributes import visible_text
from retrieval.readers.markdown_prose import code_spans

_TAG_NAME = re.compile(r"<(/?)(?:([A-Za-z][\w.]*)(?=[\s/>])|(?=>))")
_CLOSING = re.compile(r"</([A-Za-z][\w.]*)")
_PLACEHOLDER = re.compile(r"<([A-Za-z][\w.]*)(?:[ \t][\w \t,.'-]*)?>")
_ATTRIBUTE = re.compile(r"\s*+(?:([\w:@.$-]+)\s*+(=?)\s*+)?")
_NAMES = """
a abbr article aside audio b blockquote br button center cite code col colgroup dd del details dfn div dl dt em
figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr i iframe img input ins kbd label li link main mark
meta nav ol option p path picture pre q s samp script section select small source span strong style sub summary sup
svg table tbody td textarea tfoot th thead time tr u ul var video wbr
"""
HTML = frozenset(_NAMES.split())
_INLINE_NAMES = "a abbr b code del em font i ins kbd mark q s samp small span strong sub sup u var"
_INLINE = frozenset(["", *_INLINE_NAMES.split()])
_VOID = frozenset(("br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"))
_UNCLOSED = frozenset(("br", "dd", "dt", "hr", "li", "option", "p", "tbody", "td", "tfoot", "th", "thead", "tr", "wbr"))
"""Tags that HTML does not need to be closed, and that say something without attributes."""
_JS = re.compile(
    r"'(?:[^'\\\n]|\\.){0,500}'|\"(?:[^\"\\\n]|\\.){0,500}\"|`(?:[^`\\]|\\.)*+`?|/\*(?:[^*]|\*(?!/))*+(?:\*/)?|[{}]|<(?=[A-Za-z>])",
    re.DOTALL,
)
_CHILD = re.compile(r"[<{]")
_STRING = re.compile(r"\s*(?:\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*+)`)\s*")
_BEFORE_TAG = re.compile(r"(?:[(,=?:&|>{}\[;!]|\breturn|\A)\s*\Z")
_MATH = re.compile(r"\$\$[^$]+\$\$|\$(?![\s$])[^$\n]*(?<!\s)\$")
_LOOK_BACK = 40


class _Tag(NamedTuple):
    end: int
    name: str
    text: str
    """The text of its attributes that a reader of the page sees."""
    is_closing: bool
    is_open: bool
    """Whether its children follow."""


def closed_names(text: str) -> frozenset[str]:
    """Return the names of elements that are closed somewhere in the text."""
    return frozenset(_CLOSING.findall(text))


def without_jsx(text: str, closed: frozenset[str], *, has_expressions: bool = True) -> str:
    """Return the Markdown of prose with JSX; without expressions, braces are text.

    `closed` are the names of elements that the page closes: `Promise<Order>` and `<Enter>` are text where none is.
    """
    if "<" not in text and "{" not in text:
        return text
    cleaned = _Scanner(text, closed, has_expressions=has_expressions).cleaned()
    lines = [line.rstrip(" \t") if line.strip() == "" else line for line in cleaned.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


class _Scanner:
    def __init__(self, text: str, closed: frozenset[str], *, has_expressions: bool = True) -> None:
        self.text = text
        self.closed = closed | _UNCLOSED
        self.codes = code_spans(text)
        self.has_expressions = has_expressions
        self.is_broken = False
        """Whether an expression without an end was met; from then on a brace is text, as in plain Markdown."""
        self.hopeless: set[int] = set()
        """Positions between the attributes of tags that have no end."""
        self.missing: set[str] = set()
        """Ends, as of a comment, that do not occur any more."""

    def cleaned(self) -> str:
        text, at, out = self.text, 0, []
        for found in re.finditer(r"[<{`\\$]", text):
            start = found.start()
            if start < at:
                continue
            out.append(text[at:start])
            kept, at = self._at(start)
            out.append(kept)
        return "".join([*out, text[at:]])

    def _at(self, start: int) -> tuple[str, int]:
        """Return the text to keep of the construct that begins at `start`, and the construct's end."""
        text, sign = self.text, self.text[start]
        if sign == "\\":
            return text[start : start + 2], start + 2
        if sign == "`":
            end = self.codes.get(start, start + 1)
            return text[start:end], end
        if sign == "$":
            found = _MATH.match(text, start)
            end = found.end() if found and re.search(r"[\\^_]", found[0]) else start + 1
            return text[start:end], end
        if sign == "{":
            inner = self._expression(start) if self.has_expressions else None
            return inner or ("{", start + 1)
        return self._element(start)

    def _element(self, start: int) -> tuple[str, int]:
        if self.text.startswith("<!--", start):
            end = self._find("-->", start + 2)
            return ("", end) if end >= 0 else ("<", start + 1)
        tag = self._tag(start)
        if tag is None:
            return "<", start + 1
        if tag.is_open and (tag.name == "head" or tag.name.lower() in ("script", "style")):
            end = self._find(f"</{tag.name}", tag.end)
            closing = self.text.find(">", end) if end >= 0 else -1
            return "", closing + 1 if closing >= 0 else tag.end
        return self._spaced(tag, start), tag.end

    def _spaced(self, tag: _Tag, start: int) -> str:
        """Return the tag's text, set apart from the words around it: `<td>a</td><td>b</td>` is two words."""
        if not tag.text and tag.name in _INLINE:
            return ""
        before, after = self.text[max(0, start - 1) : start], self.text[tag.end : tag.end + 1]
        left = " " if tag.text and before and not before.isspace() else ""
        return left + tag.text + (" " if after.isalnum() and (tag.text or not before.isspace()) else "")

    def _find(self, closing: str, start: int) -> int:
        if closing in self.missing:
            return -1
        at = self.text.find(closing, start)
        if at < 0:
            self.missing.add(closing)
            return -1
        return at + len(closing)

    def _tag(self, start: int) -> _Tag | None:
        """Parse the tag at `start`; None if there is none, or it has no end."""
        found = _TAG_NAME.match(self.text, start)
        if found is None:
            return None
        name = found[2] or ""
        if name[:1].islower() and "." not in name and name not in HTML:
            return None  # <name> as a placeholder
        if name not in self.closed and _PLACEHOLDER.match(self.text, start):
            return None
        attributes: list[tuple[str, str, str]] = []
        visited: list[int] = []
        at, text = found.end(), self.text
        while at < len(text) and at not in self.hopeless:
            visited.append(at)
            part = _ATTRIBUTE.match(text, at)
            assert part is not None
            at, attribute = part.end(), part[1] if part[2] else ""
            sign = text[at : at + 1]
            if sign == ">":
                is_open = not found[1] and text[at - 1] != "/" and name not in _VOID
                shown = visible_text(attributes, is_box=is_open and name[:1].isupper())
                return _Tag(at + 1, name, shown, bool(found[1]), is_open)
            if sign and sign in "\"'":
                end = text.find(sign, at + 1)
                if end < 0:
                    break
                attributes.append((attribute, "", text[at + 1 : end]))
                at = end + 1
            elif sign == "{":
                inner = self._expression(at)
                if inner is None:
                    break
                attributes.append((attribute, text[at + 1 : inner[1] - 1], inner[0]))
                at = inner[1]
            elif sign == "/" or (sign and part.end() > part.start() and sign not in "<"):
                at += sign == "/"
            else:
                break
            if at == visited[-1]:
                break
        self.hopeless.update(visited)
        return None

    def _expression(self, start: int) -> tuple[str, int] | None:
        """Return the text that the expression at `start` shows, and its end; None if it has no end.

        That is a string, or the text of the elements in it: of `{isPaid && <p>Ask us.</p>}` what is between the tags.
        """
        if self.is_broken:
            return None
        text, at, out = self.text, start + 1, []
        open_elements: list[int] = []
        """For each brace that is open, the number of elements in it that are."""
        open_elements.append(0)
        while open_elements:
            is_code = not open_elements[-1]
            found = (_JS if is_code else _CHILD).search(text, at)
            if found is None:
                self.is_broken = True
                return None
            if not is_code:
                out.append(text[at : found.start()])
            at = found.end()
            if found[0] == "{":
                open_elements.append(0)
            elif found[0] == "}":
                open_elements.pop()
            elif found[0] == "<":
                if is_code and not _BEFORE_TAG.search(text[max(start + 1, at - 1 - _LOOK_BACK) : at - 1]):
                    continue  # less than
                tag = self._tag(at - 1)
                if tag is None:
                    continue
                out.append(self._spaced(tag, at - 1))
                at = tag.end
                open_elements[-1] = max(0, open_elements[-1] + tag.is_open - tag.is_closing)
                out.append(" " if not open_elements[-1] else "")
        string = _STRING.fullmatch(text, start + 1, at - 1)
        return (_unescaped(string) if string else "".join(out).strip()), at


def _unescaped(string: re.Match[str]) -> str:
    inner = next((group for group in string.groups() if group is not None), "")
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), inner)
