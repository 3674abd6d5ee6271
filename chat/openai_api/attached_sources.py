"""What Open WebUI puts around a question: texts of files, knowledge and web searches, with instructions of its own.

Its template begins as BEGINNING has it and holds the texts in `<context>`. The question stands below that,
or in `<user_query>`, and the next request has it alone: taken as the question, the whole would be searched, stored and
used as a title, and its conversation would not be recognised. An operator's own template is not known here.
"""

import re
from dataclasses import dataclass

BEGINNING = "### Task:\nRespond to the user query using the provided context"
LABEL = "A file or a search of the application that the user writes in has:"
_OPENED, _CLOSED = "<context>", "</context>"
_QUERY, _QUERY_END = "<user_query>", "</user_query>"
_SOURCE, _SOURCE_END = "<source", "</source>"
_NAME = re.compile(r'\bname="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class Attached:
    text: str
    """What stands around the template: a user's question."""
    sources: list[str]
    """Each begins with its name, if it has one."""


def attached_in(message: str) -> Attached | None:
    """Return a message without the template, and the texts in it; None for one without it, or with nothing else."""
    start = message.find(BEGINNING)
    opened = message.find(_OPENED, start) if start >= 0 else -1
    closed = message.rfind(_CLOSED)  # a text may have the tag, too
    if opened < 0 or closed < opened:
        return None
    around = f"{message[:start].strip()}\n\n{_question_in(message[closed + len(_CLOSED) :])}".strip()
    if not around:
        return None
    return Attached(text=around, sources=list(_sources_in(message[opened + len(_OPENED) : closed])))


def _question_in(below: str) -> str:
    below = below.strip()
    if not below.startswith(_QUERY):
        return below
    query, _, more = below.removeprefix(_QUERY).rpartition(_QUERY_END)
    return more.strip() or query.strip()


def _sources_in(context: str) -> list[str]:
    found = []
    for piece in context.split(_SOURCE_END):
        before, opened, source = piece.partition(_SOURCE)
        if not opened:
            found.append(before.strip())
            continue
        attributes, _, body = source.partition(">")
        name = _NAME.search(attributes)
        found += [before.strip(), f"{name[1]}\n{body.strip()}" if name and body.strip() else body.strip()]
    return [text for text in found if text]
