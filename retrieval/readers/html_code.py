"""Code in HTML: its text, line by line, and its language."""

import re
from typing import Any

from retrieval.readers.html_tags import LINES, OMITTED

_LANGUAGE = re.compile(r"(?:language|lang|highlight-source|highlight)-([\w+#-]+)")
_LINE_NUMBERS = re.compile(r"(?:^|\s)(?:linenos?|linenodiv|line-?numbers?|lntd?|ln|gutter|hljs-ln-numbers)(?:\s|$)")
_LINE = re.compile(r"(?:^|\s)(?:[\w-]*-)?line(?:\s|$)")
"""Classes that highlighters give to a line that is no block, such as `code-line`."""


def has_line_numbers(element: Any) -> bool:
    """Return whether an element has nothing but the numbers of lines: it is named so, and has figures only."""
    is_named = _LINE_NUMBERS.search(element.get("class") or "") is not None
    return is_named and all(not text.strip() or text.strip().isdigit() for text in element.itertext())


def code_text(element: Any) -> str:
    """Return the text of code as it stands, with a line for each <br> and for each line that is an element.

    The numbers of its lines are no text.
    """
    texts: list[str] = []
    pending: list[Any] = [element]
    is_new_line = False
    while pending:
        candidate = pending.pop()
        if candidate is None:  # the beginning or end of a line
            is_new_line = True
        elif isinstance(candidate, str):
            has_break = candidate.startswith("\n") or not texts or texts[-1].endswith("\n")
            texts += [candidate] if has_break or not is_new_line else ["\n", candidate]
            is_new_line = False
        elif isinstance(candidate.tag, str) and candidate.tag not in OMITTED and not has_line_numbers(candidate):
            is_line = candidate.tag in LINES or _LINE.search(candidate.get("class") or "") is not None
            pending += [None] if is_line else []
            for child in reversed(candidate):
                if child.tail:
                    pending.append(child.tail)
                pending.append(child)
            if text := "\n" if candidate.tag == "br" else candidate.text:
                pending.append(text)
            pending += [None] if is_line else []
    return "".join(texts)


def language_of(element: Any) -> str:
    for candidate in (element, element.find("code"), element.getparent()):
        found = _LANGUAGE.search(candidate.get("class") or "") if candidate is not None else None
        if found:
            return found[1]
    return ""
