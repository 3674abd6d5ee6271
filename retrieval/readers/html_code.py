"""Code in HTML: its text, line by line, and its language."""

import re
from typing import Any

from retrieval.readers.html_tags import LINES, OMITTED

_LANGUAGE = re.compile(r"(?:language|lang|highlight-source|highlight)-([\w+#-]+)")


def code_text(element: Any) -> str:
    """Return the text of code as it stands, with a line for each <br> and for each line that is an element."""
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
        elif isinstance(candidate.tag, str) and candidate.tag not in OMITTED:
            is_line = candidate.tag in LINES
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
