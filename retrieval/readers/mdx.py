"""Read MDX, which is Markdown with JSX: the text is kept, and the code is removed."""

import ast
import re
from collections.abc import Iterator

from retrieval.readers.charsets import decode
from retrieval.readers.documents import FetchedFile, Options, ReadDocument, ReadWarning, document
from retrieval.readers.front_matter import split_front_matter
from retrieval.readers.registry import reader

_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})")
_MODULE_LINE = re.compile(
    r"import\s+(?:[\w$*{][^'\"]*\sfrom\s*)?['\"]|import\s*\{\s*$|export\s+(?:const|let|var|default|async|function|class|\{|\*)"
)
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_TAG_NAME = re.compile(r"</?([A-Za-z][\w.]*)?(?=[\s/>])")
_STRING = re.compile(r"\{\s*(?:\"([^\"{}]*)\"|'([^'{}]*)'|`([^`${}]*)`)\s*\}")
_VISIBLE_ATTRIBUTES = ("title", "label", "heading", "summary", "caption", "alt")
"""Attributes whose text is visible on the page."""
_HTML = re.compile(
    r"a|abbr|article|aside|b|blockquote|br|button|center|cite|code|dd|del|details|div|dl|dt|em|figcaption|figure|font"
    r"|footer|form|h[1-6]|header|hr|i|iframe|img|input|ins|kbd|label|li|main|mark|nav|ol|p|picture|pre|s|script|section"
    r"|small|source|span|strong|style|su[bp]|summary|svg|table|t[bdhr]|tbody|td|tfoot|thead|u|ul|var|video|wbr"
)
_TAG_MAX_CHARS = 50_000


@reader(".mdx")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file)
    yield from warnings
    metadata, text = split_front_matter(text)
    title = str(metadata.get("title") or "")
    # A page that consists of a component has its title as text, so that searches can find it.
    yield document(file, without_jsx(text).strip() or title, title, metadata, options)


def without_jsx(text: str) -> str:
    """Return the Markdown of an MDX text: without tags, imports, exports and expressions, but with their text."""
    parts: list[str] = []
    prose: list[str] = []
    fence, is_module = "", False
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        if fence:
            parts.append(line)
            if found and found[1].startswith(fence) and not line.strip(" \t>\r\n").strip(fence[0]):
                fence = ""
            continue
        if not line.strip():
            is_module = False
        elif _MODULE_LINE.match(line) and (not prose or not prose[-1].strip()):
            is_module = True
        if is_module:
            continue
        if found:
            parts.append(_clean("".join(prose)))
            parts.append(line)
            prose, fence = [], found[1]
        else:
            prose.append(line)
    return "".join([*parts, _clean("".join(prose))])


def _clean(text: str) -> str:
    if "<" not in text and "{" not in text:
        return text
    cleaned = _Scanner(text).cleaned()
    lines = [line.rstrip(" \t") if line.strip() == "" else line for line in cleaned.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.codes = {found.start(): found.end() for found in _CODE_SPAN.finditer(text)}
        self.closing = self._closing_braces()

    def cleaned(self) -> str:
        text, at, out = self.text, 0, []
        for found in re.finditer(r"[<{`\\]", text):
            start = found.start()
            if start < at:
                continue
            out.append(text[at:start])
            kept, at = self._at(start)
            out.append(kept)
        out.append(text[at:])
        return "".join(out)

    def _at(self, start: int) -> tuple[str, int]:
        """Return the text to keep of the construct that begins at `start`, and the construct's end."""
        text = self.text
        if text[start] == "\\":
            return text[start : start + 2], start + 2
        if text[start] == "`":
            end = self.codes.get(start, start + 1)
            return text[start:end], end
        if text[start] == "{":
            end = self.closing.get(start, start)
            if end == start:
                return "{", start + 1
            string = _STRING.fullmatch(text, start, end + 1)
            return (next(filter(None, string.groups()), "") if string else ""), end + 1
        return self._tag(start)

    def _tag(self, start: int) -> tuple[str, int]:
        text = self.text
        if text.startswith("<!--", start):
            end = text.find("-->", start)
            return ("", end + 3) if end > 0 else ("<", start + 1)
        name = _TAG_NAME.match(text, start)
        if name is None or (name[1] and name[1][0].islower() and not _HTML.fullmatch(name[1]) and "." not in name[1]):
            return "<", start + 1
        end = self._tag_end(name.end())
        if end < 0:
            return "<", start + 1
        return self._visible_text(text[name.end() : end], name.end()), end + 1

    def _tag_end(self, at: int) -> int:
        limit = min(len(self.text), at + _TAG_MAX_CHARS)
        while at < limit:
            character = self.text[at]
            if character == ">":
                return at
            if character == "<":
                return -1
            if character in "\"'":
                at = self.text.find(character, at + 1, limit)
                if at < 0:
                    return -1
            elif character == "{":
                at = self.closing.get(at, -1)
                if at < 0:
                    return -1
            at += 1
        return -1

    def _visible_text(self, attributes: str, offset: int) -> str:
        """Return the text in a tag's attributes: titles, alternative texts, the rows of a table."""
        rows = [
            row
            for name in ("headers", "rows", "data")
            if (found := re.search(rf"\b{name}=\{{", attributes))
            for row in _rows(attributes[found.end() : self.closing[offset + found.end() - 1] - offset])
        ]
        if len(rows) > 1:
            width = max(map(len, rows))
            lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
            return "\n\n" + "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]]) + "\n\n"
        texts = (re.search(rf"\b{name}=(?:\"([^\"]*)\"|'([^']*)')", attributes) for name in _VISIBLE_ATTRIBUTES)
        return " ".join(found[1] or found[2] or "" for found in texts if found)

    def _closing_braces(self) -> dict[int, int]:
        """Return the position of each brace's closing brace, found in one pass; braces in code are text."""
        closing, opened, at = {}, [], 0
        for found in re.finditer(r"[{}`\\]", self.text):
            position = found.start()
            if position < at:
                continue
            if found[0] == "`":
                at = self.codes.get(position, position + 1)
            elif found[0] == "\\":
                at = position + 2
            elif found[0] == "{":
                opened.append(position)
            elif opened:
                closing[opened.pop()] = position
        return closing


_CELL = re.compile(r"[\[\],]|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|<(?:[^\"'\[\],]|\"[^\"]*\")*>|[^\[\],\"'<]+")


def _rows(expression: str) -> list[list[str]]:
    """Return the rows of a JavaScript array of arrays; one array is one row."""
    rows: list[list[str]] = []
    depth, cell = 0, ""
    for found in _CELL.finditer(expression.strip()):
        piece = found[0]
        if piece == "[":
            depth += 1
            rows.append([])
        elif piece in ",]":
            if cell.strip() and rows:
                rows[-1].append(cell.strip().replace("|", "\\|"))
            cell = ""
            depth -= piece == "]"
        elif piece[0] in "\"'" and not cell.strip():
            cell += _unquoted(piece)
        else:
            cell += _clean(piece)
    return [row for row in rows if row]


def _unquoted(literal: str) -> str:
    try:
        return str(ast.literal_eval(literal))
    except (ValueError, SyntaxError):
        return literal[1:-1]
