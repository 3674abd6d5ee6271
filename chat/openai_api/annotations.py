"""The annotations of an answer: what its marks, such as `[1]`, cite."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chat.citations import Citation

_MARK = re.compile(r"\[(\d{1,3})\]")
_OPEN_WEBUI = "X-OpenWebUI-"


def is_open_webui(headers: Mapping[str, str]) -> bool:
    return any(name.lower().startswith(_OPEN_WEBUI.lower()) for name in headers)


def annotations_of(text: str, citations: Sequence[Citation]) -> Iterator[dict[str, Any]]:
    """Yield an annotation for each mark in the text whose document has a link.

    The indexes count characters (code points); the end is the first one after the mark.
    """
    linked = {citation.number: citation for citation in citations if citation.is_cited and citation.url}
    for mark in _MARK.finditer(text):
        if citation := linked.get(int(mark[1])):
            yield _annotation(citation.url, citation.title or citation.document_id, mark.span())


def annotations_for_open_webui(text: str, citations: Sequence[Citation]) -> Iterator[dict[str, Any]]:
    """Yield an annotation for each number up to the highest mark in the text.

    Open WebUI shows the mark `[n]` as the n-th of the different addresses that it was told, whatever their offsets. So
    each passage has an address of its own here, and those between are told too. Where a document has no link its title
    stands for one.
    """
    passages = {citation.number: citation for citation in citations}
    spans = {int(mark[1]): mark.span() for mark in _MARK.finditer(text) if int(mark[1]) in passages}
    told: set[str] = set()
    for number in range(1, max(spans, default=0) + 1):
        title = _title_of(passages.get(number), number)
        url = _own_address(passages[number].url or title if number in passages else title, number, told)
        told.add(url)
        yield _annotation(url, title, spans.get(number, (0, 0)))


def _title_of(citation: Citation | None, number: int) -> str:
    """Return what the passage is called; a passage that the budget has dropped has no name."""
    if citation is None:
        return f"[{number}]"
    title = citation.title or citation.document_id
    return f"{title}: {citation.heading_path}" if citation.heading_path else title


def _own_address(url: str, number: int, told: set[str]) -> str:
    """Return the address; that of another passage of the same page has a directive, which browsers do not act upon."""
    if url not in told:
        return url
    return f"{url}{'' if '#' in url else '#'}:~:passage={number}"


def _annotation(url: str, title: str, span: tuple[int, int]) -> dict[str, Any]:
    start, end = span
    cited = {"start_index": start, "end_index": end, "url": url, "title": title}
    return {"type": "url_citation", "url_citation": cited}
