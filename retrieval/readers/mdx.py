"""Read MDX, which is Markdown with JSX: the text is kept, and the code is removed."""

import re
from collections.abc import Iterator

from retrieval.readers.audience import check_exports
from retrieval.readers.charsets import decode
from retrieval.readers.documents import FetchedFile, Options, ReadDocument, ReadWarning, document
from retrieval.readers.esm import is_module, without_module
from retrieval.readers.front_matter import split_front_matter
from retrieval.readers.jsx import HTML, closed_names, without_jsx
from retrieval.readers.markdown_prose import segments, without_code_spans, without_hidden
from retrieval.readers.mdx_losses import losses
from retrieval.readers.registry import reader

_COMPONENT = re.compile(r"(^[ \t]*)?<(/?)([A-Z][\w.]*)(?:\s[^<>]*)?(?<!/)(/?)>", re.MULTILINE)
_INDENTED = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)
_EXPRESSION = re.compile(r"<[A-Za-z][\w.]*\s[^<>]*?=\{|\{/\*")


@reader(".mdx")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file)
    yield from warnings
    metadata, text, warnings = split_front_matter(text)
    yield from warnings
    title = str(metadata.get("title") or "")
    read_text = markdown_of(text).strip()
    yield from losses(text, read_text)
    # A page that consists of a component has its title as text, so that searches can find it.
    has_component = _COMPONENT.search(text) is not None
    yield document(file, read_text or (title if has_component else ""), title, metadata, options)


def markdown_of(text: str, *, has_expressions: bool = True) -> str:
    """Return the Markdown of an MDX text: without tags, imports, exports and expressions, but with their text."""
    parts = list(segments(text))
    for is_code, part in parts:
        check_exports("" if is_code else part)
    closed = closed_names("".join(part for is_code, part in parts if not is_code))
    return "".join(
        part if is_code else without_jsx(without_module(part), closed, has_expressions=has_expressions)
        for is_code, part in parts
    )


def find_mdx(text: str) -> tuple[bool, bool]:
    """Return whether a Markdown text is MDX, and whether braces in it are expressions.

    Docusaurus writes MDX in files named .md. What is in code or in a script, as pages of VitePress have it, proves
    nothing.
    """
    prose = [part for is_code, part in segments(without_hidden(text)) if not is_code]
    plain = [_INDENTED.sub("", without_code_spans(part)) for part in prose]
    has_expressions = any(map(is_module, prose)) or any(map(_EXPRESSION.search, plain))
    return has_expressions or any(map(_has_component, plain)), has_expressions


def _has_component(text: str) -> bool:
    """Return whether a component is closed: by its closing tag, or by itself on a line of its own."""
    opened: set[str] = set()
    for found in _COMPONENT.finditer(text):
        start_of_line, is_closing, name, closes_itself = found.groups()
        if name.isupper() and name.lower() in HTML:
            continue  # HTML as it was written in the nineties
        if (closes_itself and start_of_line is not None) or (is_closing and name in opened):
            return True
        opened.add(name)
    return False
