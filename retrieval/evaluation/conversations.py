"""Read follow-up questions with the passages that answer them: one conversation in each line of a JSON Lines file.

A line has `_id`, `turns` (objects with `role` and `text`, the last of them the user's question) and `relevant`, the ids
of the documents. What has no earlier question, or no relevant document, is no follow-up and left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
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


def after_conversations(queries: Sequence[JudgedQuery], path: Path) -> list[JudgedQuery]:
    """Return the queries, each asked after all questions of a conversation of the file, in turn.

    Their subject is another one, so that what they lose is the cost of a change of subject. Raise InvalidInput.
    """
    asked = [tuple(_questions(row, location)) for location, row in read_objects(path)]
    if not (histories := [questions for questions in asked if questions]):
        raise InvalidInput(f"{path} has no question of a user.")
    return [replace(query, history=histories[number % len(histories)]) for number, query in enumerate(queries)]


def _questions(row: dict[str, Any], location: str) -> Iterator[str]:
    turns = row.get("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise InvalidInput(f"{location}: turns must be a list of objects.")
    return (text_of(turn, "text", location) for turn in turns if turn.get("role") == "user")


def _grades(row: dict[str, Any], location: str) -> dict[str, int]:
    relevant = row.get("relevant")
    if not isinstance(relevant, list) or not all(isinstance(document_id, str) for document_id in relevant):
        raise InvalidInput(f"{location}: relevant must be a list of document ids.")
    return dict.fromkeys(relevant, 1)
