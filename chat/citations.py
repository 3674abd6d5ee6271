"""Citations: the passages that support the answer, taken from the trace's evidence."""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import Any

from common.links import Asked, absolute_link, page_link

_QUOTE_MAX_CHARS = 400
_MARK = re.compile(r"\[(\d{1,3})\]")
_END = re.compile(r"\n|(?<=\D[.!?])\s")  # not after "3.", which begins a list item


@dataclass(frozen=True, kw_only=True)
class Citation:
    number: int
    """The number in the context and the answer, such as 1 in `[1]`."""
    document_id: str
    title: str
    heading_path: str
    index: str
    version: int
    chunk_id: int
    score: float
    content: str
    """The whole passage."""
    url: str = ""
    """The page that the passage is from: an http or https address, or a path of this site; empty without one."""
    is_cited: bool = False
    """Whether the answer cites it by its number."""

    def to_dict(self) -> dict[str, Any]:
        fields = {name: value for name, value in vars(self).items() if name != "content"}
        return fields | {"chunk": self.chunk_id, "quote": quote_of(self.content)}


def passages_in(evidence: dict[str, Any]) -> list[Citation]:
    """Return the hits that are in the context sent to the model, in the order of their numbers.

    A hit is in the context if a kept item names its chunk as the source, or contains its text.
    """
    kept = [item for item in evidence.get("items", []) if item["kept"]]
    sources = {item["source_id"] for item in kept if item["source_id"]}
    found: dict[int, Citation] = {}
    numbered: dict[int, int] = {}
    for search in evidence.get("searches", []):
        for hit in search["hits"]:
            number = numbered.setdefault(hit["chunk_id"], len(numbered) + 1)
            if hit["chunk_id"] in found:
                continue
            if f"chunk:{hit['chunk_id']}" in sources or any(hit["content"] in item["content"] for item in kept):
                found[hit["chunk_id"]] = citation_of(number, hit)
    return list(found.values())


def mark_cited(passages: Iterable[Citation], answer: str, known: Container[int] | None = None) -> list[Citation]:
    """Return the passages, with `is_cited` set on those that the answer cites, as in `[2]`, or that are known."""
    cited = {int(number) for number in _MARK.findall(answer)} if known is None else known
    return [replace(passage, is_cited=passage.number in cited) for passage in passages]


def link_absolutely(citations: Iterable[Citation], request: Asked) -> list[Citation]:
    """Return the citations for a client that is no page of this site."""
    return [replace(citation, url=absolute_link(citation.url, request)) for citation in citations]


def quote_of(content: str) -> str:
    """Return the beginning of a passage, verbatim, cut at the end of a line, a sentence or a word."""
    text = content.strip()
    if len(text) <= _QUOTE_MAX_CHARS:
        return text
    cut = text[:_QUOTE_MAX_CHARS]
    ends = [found.end() for found in _END.finditer(cut) if found.end() > _QUOTE_MAX_CHARS // 2]
    return cut[: ends[-1] if ends else cut.rfind(" ")].rstrip()


def citation_of(number: int, hit: dict[str, Any]) -> Citation:
    return Citation(
        number=number,
        document_id=hit["document_id"],
        title=hit["title"],
        heading_path=hit["heading_path"],
        index=hit["index"],
        version=hit["version"],
        chunk_id=hit["chunk_id"],
        score=hit["score"],
        content=hit["content"],
        url=page_link((hit.get("metadata") or {}).get("url")),
    )
