"""Post-process ranked hits: collapse near-duplicates, and join neighbouring chunks."""

import re
from dataclasses import replace

from retrieval.models import Chunk
from retrieval.search.hits import Hit

_MIN_WORD_OVERLAP = 0.9
"""Share of common words from which two texts count as near-duplicates."""
_MAX_SCORE_DIFFERENCE = 0.05
"""Texts whose scores differ by more cannot be near-duplicates, so their words are not compared."""
_WORD = re.compile(r"\w+")


def collapse(hits: list[Hit]) -> list[Hit]:
    """Return the hits without near-duplicates of a better hit, whose `duplicates` name their documents.

    Near-duplicates have nine tenths of their words in common and the same numbers: two prices or two error codes
    are two answers, however similar the rest is.
    """
    kept: list[Hit] = []
    words: dict[int, set[str]] = {}
    for hit in hits:
        twin = next((n for n, other in enumerate(kept) if _is_near_duplicate(hit, other, words)), None)
        if twin is None:
            kept.append(hit)
        elif hit.document_id != kept[twin].document_id and hit.document_id not in kept[twin].duplicates:
            kept[twin] = replace(kept[twin], duplicates=(*kept[twin].duplicates, hit.document_id))
    return kept


def _is_near_duplicate(hit: Hit, other: Hit, words: dict[int, set[str]]) -> bool:
    """Return whether two hits are near-duplicates; `words` caches each chunk's words, since a list has many pairs."""
    if hit.content == other.content:
        return True
    scores = ((hit.semantic_score, other.semantic_score), (hit.lexical_score, other.lexical_score))
    if any(abs((ours or 0.0) - (theirs or 0.0)) > _MAX_SCORE_DIFFERENCE for ours, theirs in scores):
        return False
    if not 0.8 < len(hit.content) / max(len(other.content), 1) < 1.25:
        return False
    for compared in (hit, other):
        if compared.chunk_id not in words:
            words[compared.chunk_id] = set(_WORD.findall(compared.content.lower()))
    mine, others = words[hit.chunk_id], words[other.chunk_id]
    if len(mine & others) < _MIN_WORD_OVERLAP * len(mine | others):
        return False
    return not any(letter.isdigit() for word in mine ^ others for letter in word)


def expand_hits(hits: list[Hit], count: int) -> list[Hit]:
    """Join `count` neighbours on each side to each hit's content; leave out a hit that a better one now contains."""
    reach = {hit.chunk_id: range(hit.position - count, hit.position + count + 1) for hit in hits}
    wanted = {(hit.version_id, position) for hit in hits for position in reach[hit.chunk_id]}
    generations = Chunk.objects.filter(pk__in=[hit.chunk_id for hit in hits]).values("generation")
    rows = Chunk.objects.filter(
        generation__in=generations,
        version__in={version for version, _ in wanted},
        position__in={position for _, position in wanted},
    ).values_list("version_id", "position", "text")
    texts = {(version, position): text for version, position, text in rows}
    expanded: list[Hit] = []
    taken: set[tuple[int, int]] = set()
    for hit in hits:
        if (hit.version_id, hit.position) in taken:
            continue
        keys = [(hit.version_id, position) for position in reach[hit.chunk_id]]
        # The chunks of a document that changed since are gone: the hit keeps the content that was found.
        parts = [texts[key] for key in keys if key in texts] or [hit.content]
        taken.update(keys)
        expanded.append(replace(hit, content="\n".join(part.strip("\n") for part in parts)))
    return expanded
