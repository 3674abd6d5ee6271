"""Take hidden text out of a Word document: its author does not show it, so a bot does not publish it.

A run is hidden by itself, or by the style of its characters or of its paragraph; a row of a table by itself.
Source: ISO/IEC 29500-1, 17.3.2.41 (vanish), 17.4.20 (hidden), 17.7.4 (styles).
"""

from collections.abc import Iterable
from typing import Any

from retrieval.readers import docx_body

W = f"{{{docx_body.W}}}"
_OFF = ("0", "false", "off")
_OF_FIELDS = (f"{W}rPr", f"{W}fldChar", f"{W}instrText")
"""What a hidden run keeps, since a field may begin in it and end in another."""


def hidden_styles(styles: Any) -> frozenset[str]:
    """Return the ids of the styles of a part that hide, by themselves or as the style that they are based on does."""
    docx_body.loosen(styles)
    own: dict[str, bool | None] = {}
    bases: dict[str, str] = {}
    for style in styles.iter(f"{W}style"):
        name = style.get(f"{W}styleId", "")
        own[name] = _says(style, f"{W}rPr/{W}vanish")
        base = style.find(f"{W}basedOn")
        bases[name] = "" if base is None else base.get(f"{W}val", "")
    return frozenset(name for name in own if _inherited(name, own, bases))


def remove_hidden(root: Any, styles: frozenset[str]) -> int:
    """Take the hidden text out of a prepared part; return its number of words."""
    count = 0
    for row in list(root.iter(f"{W}tr")):
        if _says(row, f"{W}trPr/{W}hidden"):
            count += _words(row.iter(f"{W}t"))
            row.getparent().remove(row)
    for run in list(root.iter(f"{W}r")):
        if _is_hidden(run, styles):
            count += _words(run.iter(f"{W}t"))
            for child in [child for child in run if child.tag not in _OF_FIELDS]:
                run.remove(child)
    return count


def _inherited(name: str, own: dict[str, bool | None], bases: dict[str, str]) -> bool:
    seen = set[str]()
    while name in own and name not in seen:
        says = own[name]
        if says is not None:
            return says
        seen.add(name)
        name = bases[name]
    return False


def _is_hidden(run: Any, styles: frozenset[str]) -> bool:
    says = _says(run, f"{W}rPr/{W}vanish")
    if says is not None:
        return says
    if not styles:
        return False
    paragraph = next(run.iterancestors(f"{W}p"), None)
    named = [run.find(f"{W}rPr/{W}rStyle"), None if paragraph is None else paragraph.find(f"{W}pPr/{W}pStyle")]
    return any(style is not None and style.get(f"{W}val") in styles for style in named)


def _says(element: Any, path: str) -> bool | None:
    """Return what a property that is on or off says; None where it is not there."""
    found = element.find(path)
    return None if found is None else found.get(f"{W}val", "1").lower() not in _OFF


def _words(texts: Iterable[Any]) -> int:
    return len(" ".join(text.text or "" for text in texts).split())
