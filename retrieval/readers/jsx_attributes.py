"""Find the text in a JSX tag's attributes that the page shows: titles, alternative texts, the rows of a table."""

import re

_VISIBLE = ("title", "label", "heading", "question", "subtitle", "summary", "caption", "alt", "description", "text",
            "content", "body", "message", "answer")  # fmt: skip
_NAMES = ("name", "path", "query", "header", "value")
"""What names a box that has nothing else to name it: the tab of a command, the description of a parameter."""
_TABLES = ("headers", "columns", "rows", "data")
_LISTS = ("items", "values", "tabs", "options", "questions", "faqs", "steps")
"""What names the tabs of a box, or has the texts of all its parts."""
_ENTRY = re.compile(
    rf"\b(?:q|a|name|{'|'.join(_VISIBLE)})[\"']?\s*:\s*(?:\"((?:[^\"\\\n]|\\.)*+)\"|'((?:[^'\\\n]|\\.)*+)'|`([^`]*+)`)"
)
_CELL = re.compile(
    r"[\[\],]|\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?|`[^`]*+`?|<[^<>]*>|[^\[\],\"'`<]+|.", re.DOTALL
)


def visible_text(attributes: list[tuple[str, str, str]], *, is_box: bool = False) -> str:
    """Return the visible text of (name, expression, text) attributes; a table's rows become a Markdown table.

    `is_box` is a component around a text.
    """
    rows = [row for name in _TABLES for key, code, _ in attributes if key == name and code for row in _rows(code)]
    if len(rows) > 1:
        width = max(map(len, rows))
        lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in rows]
        return "\n\n" + "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]]) + "\n\n"
    shown = " ".join(text for name in _VISIBLE for key, _, text in attributes if key == name and text)
    listed = [entry for name in _LISTS for key, code, _ in attributes if key == name for entry in _entries(code)]
    if listed:
        return shown + "\n\n" + "\n".join(f"- {entry}" for entry in listed) + "\n\n"
    if shown or not is_box:
        return shown
    return next((text for name in _NAMES for key, _, text in attributes if key == name and text), "")


def _entries(expression: str) -> list[str]:
    """Return the strings of a JavaScript array, or for each of its objects the texts that are shown."""
    expression = expression.strip()
    if not expression.startswith("["):
        return []
    if "{" not in expression:
        return [cell for row in _rows(expression) for cell in row] if re.match(r"\[\s*[\"'`]", expression) else []
    texts = (
        " ".join(next(filter(None, found), "") for found in _ENTRY.findall(entry))
        for entry in expression.split("{")[1:]
    )
    return [" ".join(re.sub(r"\\(.)", r"\1", text).split()) for text in texts if text.strip()]


def _rows(expression: str) -> list[list[str]]:
    """Return the rows of a JavaScript array of arrays; one array is one row."""
    rows: list[list[str]] = []
    cell = ""
    for found in _CELL.finditer(expression.strip()):
        piece = found[0]
        if piece == "[":
            rows.append([])
        elif piece in ",]":
            if cell.strip() and rows:
                rows[-1].append(cell.strip().replace("|", "\\|"))
            cell = ""
        elif piece[0] in "\"'`":
            cell += re.sub(r"\\(.)", r"\1", piece.strip(piece[0])) if not cell.strip() else piece
        elif piece[0] != "<":
            cell += piece
    return [row for row in rows if row]
