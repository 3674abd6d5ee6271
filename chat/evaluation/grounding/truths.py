"""Answers that are true: sentences of passages, and people's answers whose words are in one passage."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chat.citations import Citation
from chat.grounding.claims import is_claim
from common.errors import InvalidInput
from common.markdown_units import UnitKind, units

LEAST_SHARE = 0.65
"""The share of a person's answer's longer words that one passage must have."""
_LEAST_WORDS = 8
_LONGER_WORD = re.compile(r"\w{4,}")
_AWAY = (1 / 3, 1 / 2)
"""How far on in the collection the passages about other things are: near ones may say the same once more."""


@dataclass(frozen=True, kw_only=True)
class TrueSentence:
    text: str
    passages: list[Citation]
    """Those that support it, the best first."""
    others: list[Citation]
    """Passages about other things."""
    question: str = ""

    @property
    def half(self) -> int:
        """1 or 2, by a hash of the passage: thresholds are chosen on one half and measured on the other."""
        return 1 + hashlib.sha256(self.passages[0].document_id.encode()).digest()[0] % 2


def read_passages(corpus: Path) -> list[Citation]:
    """Return the passages of a corpus in BEIR's format; raise InvalidInput."""
    return [_passage(number, row) for number, row in enumerate(read_rows(corpus))]


def quotes(passages: Sequence[Citation]) -> Iterator[TrueSentence]:
    """Yield the sentences of the passages."""
    for number, passage in enumerate(passages):
        others = _others(passages, number)
        for unit in units(passage.content):
            if unit.kind in (UnitKind.SENTENCE, UnitKind.ITEM) and is_claim(unit) and len(unit.text.split()) >= 4:
                yield TrueSentence(text=unit.text, passages=[passage], others=others)


def written_by_people(conversations: Sequence[dict[str, Any]], passages: Sequence[Citation]) -> Iterator[TrueSentence]:
    """Yield the sentences of the answers in the conversations of which one passage has nearly all words.

    They are judged by that passage and by those that the conversation rests on, as answers without citations are.
    """
    by_id = {passage.document_id: passage for passage in passages}
    words = [_longer_words(passage.content) for passage in passages]
    seen: set[str] = set()
    for row in conversations:
        for before, turn in zip(row["turns"], row["turns"][1:], strict=False):
            if turn["role"] != "assistant" or turn["text"] in seen:
                continue
            seen.add(turn["text"])
            own = _longer_words(turn["text"])
            best = max(range(len(passages)), key=lambda number: len(own & words[number]))
            if len(own) < _LEAST_WORDS or len(own & words[best]) < LEAST_SHARE * len(own):
                continue
            ids = dict.fromkeys([passages[best].document_id, *(id for id in row["relevant"] if id in by_id)])
            others = _others(passages, best)
            for unit in units(turn["text"]):
                if is_claim(unit):
                    yield TrueSentence(
                        text=unit.text, passages=[by_id[id] for id in ids], others=others, question=before["text"]
                    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} is not a file of JSON Lines.") from error


def _others(passages: Sequence[Citation], number: int) -> list[Citation]:
    return [passages[(number + int(len(passages) * share)) % len(passages)] for share in _AWAY]


def _longer_words(text: str) -> set[str]:
    return set(_LONGER_WORD.findall(text.casefold()))


def _passage(number: int, row: dict[str, Any]) -> Citation:
    return Citation(
        number=number, document_id=str(row["_id"]), title=row.get("title") or "", heading_path="", index="",
        version=1, chunk_id=number, score=0.0, content=row["text"],
    )  # fmt: skip
