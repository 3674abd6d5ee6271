"""Read follow-up questions with the passages that answer them: one conversation in each line of a JSON Lines file.

A line has `_id`, `turns` (objects with `role` and `text`, the last of them the user's question) and `relevant`, the ids
of the documents. What has no earlier question, or no relevant document, is no follow-up and left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import InvalidInput
from retrieval.evaluation.beir import read_objects, text_of
from retrieval.evaluation.benchmark import JudgedQuery


def read_follow_ups(path: Path) -> list[JudgedQuery]:
    """Return the follow-ups, each with its earlier questions; raise InvalidInput that names the line."""
    found = [
        JudgedQuery(id=text_of(row, "_id", location), text=questions[-1], grades=grades, history=tuple(questions[:-1]))
        for location, row in read_objects(path)
        if len(questions := list(_questions(row, location))) > 1 and (grades := _grades(row, location))
    ]
    if not found:
        raise InvalidInput(f"{path} has no follow-up with a relevant document.")
    return found


def _questions(row: dict[str, Any], location: str) -> Iterator[str]:
    turns = row.get("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise InvalidInput(f"{location}: turns must be a list of objects.")
    return (text_of(turn, "text", location) for turn in turns if turn.get("role") == "user")


def _grades(row: dict[str, Any], location: str) -> dict[str, int]:
    relevant = row.get("relevant")
    if not isinstance(relevant, list) or not all(isinstance(each, str) for each in relevant):
        raise InvalidInput(f"{location}: relevant must be a list of document ids.")
    return dict.fromkeys(relevant, 1)
