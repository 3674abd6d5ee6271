"""Tell a document's own title and author from what programs write in their place."""

import re

_PRINTED = re.compile(r"\AMicrosoft (?:Office )?(?:Word|Excel|PowerPoint|Publisher|Visio)\s*[-–]\s*", re.IGNORECASE)
"""What Windows writes before the name of a file that is printed as PDF."""
_FILE = re.compile(
    r"(?:.*[\\/])?(.*\w)\.(?:do[ct][xm]?|pp[st]x?|xls[xm]?|od[tsp]|rtf|indd|qxp|pub|vsdx?)", re.IGNORECASE
)
_GENERIC = re.compile(
    r"\(?(?:untitled|unnamed|no title|title|anonymous|unspecified|unknown|(?:new |(?:microsoft )?word |latex )?document"
    r"|(?:powerpoint )?presentation|slide|workbook|dokument|unbenannt|ohne titel|sans titre|sin t[ií]tulo"
    r"|senza titolo|sem t[ií]tulo|naamloos|無題|无标题)[ _-]?\d*\)?",
    re.IGNORECASE,
)


def own_title(title: str) -> str:
    """Return a title without what a program put around it; "" for one that every document of the program has."""
    title = _PRINTED.sub("", title)
    title = found[1] if (found := _FILE.fullmatch(title)) else title
    return "" if is_generic(title) else title


def is_generic(text: str) -> bool:
    """Return whether a program wrote a title or an author because nobody had."""
    return _GENERIC.fullmatch(text.strip()) is not None
