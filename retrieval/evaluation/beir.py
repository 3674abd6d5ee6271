"""Read a collection in the BEIR format: corpus.jsonl, queries.jsonl and a table of judgements.

Described in Thakur et al. (2021) and https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset. Each file
may be compressed (`.gz`). Of two rows with the same id the later one is used, as in BEIR's own loader. Characters that
PostgreSQL cannot store (NUL, lone surrogates) are replaced.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InvalidInput

_HEADER = ["query-id", "corpus-id", "score"]
_HEADER_STARTS = {"query-id", "query_id", "qid", "query"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusDocument:
    """A document of a collection."""

    id: str
    title: str
    text: str


def read_corpus(path: Path) -> list[CorpusDocument]:
    """Return the documents; one without text gets its title as text. Raise InvalidInput that names the line."""
    documents: dict[str, CorpusDocument] = {}
    for location, row in read_objects(path):
        title = text_of(row, "title", location, default="")
        text = text_of(row, "text", location, default="")
        document = CorpusDocument(id=text_of(row, "_id", location), title=title, text=text if text.strip() else title)
        documents[document.id] = document
    if not documents:
        raise InvalidInput(f"{path} has no document.")
    return list(documents.values())


def read_queries(path: Path) -> dict[str, str]:
    """Return the text of each query, by query id; raise InvalidInput that names the line."""
    return {text_of(row, "_id", location): text_of(row, "text", location) for location, row in read_objects(path)}


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return the grade of each judged document, by query id; raise InvalidInput that names the line.

    The header row may be missing, and TREC's four columns (query, iteration, document, grade) are accepted too.
    """
    grades: dict[str, dict[str, int]] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())]
        if number == 1 and cells[0].lower() in _HEADER_STARTS:
            continue
        try:
            query_id, document_id, grade = cells if len(cells) == 3 else (cells[0], *cells[2:])
            grades.setdefault(query_id, {})[document_id] = _grade(grade)
        except ValueError:
            raise InvalidInput(
                f"{path}, line {number}: expected {', '.join(_HEADER)}, tabs between them, and a whole number as score."
            ) from None
    return grades


def _grade(text: str) -> int:
    """Return the grade, which spreadsheet programs may write as 1.0; raise ValueError for any other number."""
    if not (grade := float(text)).is_integer():
        raise ValueError(text)
    return int(grade)


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line's location and object; raise InvalidInput for a line that is none."""
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise InvalidInput(f"{path}, line {number}: this is no JSON.") from None
        if not isinstance(row, dict):
            raise InvalidInput(f"{path}, line {number}: expected a JSON object.")
        yield f"{path}, line {number}", row


def text_of(row: dict[str, Any], name: str, location: str, default: str | None = None) -> str:
    """Return a text of a row, with what PostgreSQL cannot store replaced; raise InvalidInput if it is none."""
    value = row.get(name, default)
    if value is None and default is not None:
        return default
    if isinstance(value, int) and not isinstance(value, bool) and name == "_id":
        return str(value)
    if not isinstance(value, str) or (name == "_id" and not value):
        raise InvalidInput(f"{location}: {name} must be text.")
    return value.replace("\x00", " ").encode(errors="replace").decode()


def _lines(path: Path) -> Iterator[str]:
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig") as file:
            yield from file
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text.") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise InvalidInput(f"{path} cannot be read: {reason}.") from error
