"""What happens to ranked hits: near-duplicates collapse, neighbours join."""

import re
from dataclasses import replace

from retrieval.models import Chunk
from retrieval.search.hits import Hit

_ALIKE = 0.9
"""Share of common words from which two texts say the same."""
_CLOSE = 0.05
"""Texts whose scores differ by more cannot be alike; their words need no comparison."""
_WORD = re.compile(r"\w+")


def collapse(hits: list[Hit]) -> list[Hit]:
    """Return the hits without those that say nearly the same as a better one, which names their documents.

    Alike are texts with nine tenths of their words in common and the same numbers: two prices or two error codes
    are two answers, however alike the rest.
    """
    kept: list[Hit] = []
    words: dict[int, set[str]] = {}
    for hit in hits:
        twin = next((n for n, other in enumerate(kept) if _is_alike(hit, other, words)), None)
        if twin is None:
            kept.append(hit)
        elif hit.document_id != kept[twin].document_id and hit.document_id not in kept[twin].duplicates:
            kept[twin] = replace(kept[twin], duplicates=(*kept[twin].duplicates, hit.document_id))
    return kept


def _is_alike(hit: Hit, other: Hit, words: dict[int, set[str]]) -> bool:
    """Tell whether two hits say the same; `words` keeps what was read of each chunk, for a list has many pairs."""
    if hit.content == other.content:
        return True
    scores = ((hit.semantic_score, other.semantic_score), (hit.lexical_score, other.lexical_score))
    if any(abs((ours or 0.0) - (theirs or 0.0)) > _CLOSE for ours, theirs in scores):
        return False
    if not 0.8 < len(hit.content) / max(len(other.content), 1) < 1.25:
        return False
    for each in (hit, other):
        if each.chunk_id not in words:
            words[each.chunk_id] = set(_WORD.findall(each.content.lower()))
    mine, others = words[hit.chunk_id], words[other.chunk_id]
    if len(mine & others) < _ALIKE * len(mine | others):
        return False
    return not any(letter.isdigit() for word in mine ^ others for letter in word)


def expand_hits(hits: list[Hit], count: int) -> list[Hit]:
    """Join `count` neighbours on each side to each hit's content; a hit that stands in a better one is left out."""
    reach = {hit.chunk_id: range(hit.position - count, hit.position + count + 1) for hit in hits}
    wanted = {(hit.version_id, place) for hit in hits for place in reach[hit.chunk_id]}
    generations = Chunk.objects.filter(pk__in=[hit.chunk_id for hit in hits]).values("generation")
    rows = Chunk.objects.filter(
        generation__in=generations,
        version__in={version for version, _ in wanted},
        position__in={place for _, place in wanted},
    ).values_list("version_id", "position", "text")
    texts = {(version, position): text for version, position, text in rows}
    expanded: list[Hit] = []
    taken: set[tuple[int, int]] = set()
    for hit in hits:
        if (hit.version_id, hit.position) in taken:
            continue
        places = [(hit.version_id, place) for place in reach[hit.chunk_id]]
        # A document that changed since has no such chunks any more: the hit stays as it was found.
        parts = [texts[place] for place in places if place in texts] or [hit.content]
        taken.update(places)
        expanded.append(replace(hit, content="\n".join(part.strip("\n") for part in parts)))
    return expanded
