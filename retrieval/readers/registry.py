"""Choose the reader of a file."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from retrieval.readers import isolation
from retrieval.readers.data_uris import without_data_uris
from retrieval.readers.documents import Empty, FetchedFile, Options, ReadDocument, ReadWarning, Unreadable, says_nothing

Read = Callable[[FetchedFile, Options], Iterator[ReadDocument | ReadWarning]]

SUFFIXES: dict[str, "Reader"] = {}

_SIGNATURES = ((b"%PDF-", ".pdf"), (b"PK\x03\x04", ".zip"), (b"\x1f\x8b", ".gz"))
_PDF_WITHIN_BYTES = 1024
"""PDF readers look for the header in so many bytes: mail programs and scanners write something before it."""
_TYPES = {"text/html": ".html", "application/xhtml+xml": ".html", "text/plain": ".txt", "text/markdown": ".md",
          "application/pdf": ".pdf"}  # fmt: skip
_MAX_WARNINGS = 100
_WARNING_MAX_CHARS = 1000
_EMPTY = "documents_without_text"
_UNREAD = {
    ".doc", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".odp", ".rtf", ".epub", ".pages", ".numbers",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A registered reader of a format."""

    read: Read
    signature: str = ""


def reader(*suffixes: str, signature: str = "") -> Callable[[Read], Read]:
    """Declare a function as the reader of these suffixes; raise ValueError for a suffix that has one.

    It runs in a separate process with limits, which imports the function's module and has neither Django nor settings.
    """

    def register(function: Read) -> Read:
        for suffix in suffixes:
            if suffix in SUFFIXES:
                raise ValueError(f"{suffix} has a reader already.")
            SUFFIXES[suffix] = Reader(read=function, signature=signature)
        return function

    return register


def is_readable(path: str) -> bool:
    return any(path.lower().endswith(suffix) for suffix in SUFFIXES)


def unread_reason(path: str) -> str:
    """Return why an office's document is not read, whose text would be missing; "" for others, such as pictures."""
    suffix = PurePosixPath(path).suffix.lower()
    is_unread = suffix in _UNREAD and not is_readable(path)
    return f"no reader for {suffix}: save it as DOCX, PDF, HTML or CSV" if is_unread else ""


def read(file: FetchedFile, options: Options | None = None) -> Iterator[ReadDocument | ReadWarning]:
    """Yield the file's documents, and warnings about what could not be read; raise Unreadable with the reason."""
    if not file.content or file.content.isspace():
        raise Empty("empty")
    suffix = _kind(file)
    found = SUFFIXES.get(suffix)
    if found is None:
        raise Unreadable(f"no reader for {suffix or 'this kind of file'}")
    if file.name_codec:
        message = (
            f"Nothing names the encoding of the file's name; it was read as {file.name_codec}: {file.path[:200]!r}."
        )
        yield ReadWarning(code="name_guessed", message=message)
    yield from isolation.read_isolated(file, suffix, found.read.__module__, options or Options())


def read_here(file: FetchedFile, suffix: str, module: str, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    """Yield what the reader of `suffix`, which `module` declares, finds; for the separate process."""
    if suffix not in SUFFIXES:
        importlib.import_module(module)
    warned, documents, empty = 0, 0, 0
    for found in SUFFIXES[suffix].read(file, options):
        for piece in [found] if isinstance(found, ReadWarning) else _without_data_uris(found):
            if isinstance(piece, ReadWarning):
                warned += 1
                empty += piece.code == _EMPTY
                if warned > _MAX_WARNINGS:
                    continue
                piece = replace(piece, message=piece.message[:_WARNING_MAX_CHARS])
            else:
                documents += 1
            yield piece
    if empty and not documents:
        raise Empty("empty, but for embedded pictures or files")
    if warned > _MAX_WARNINGS:
        yield ReadWarning(code="more_warnings", message=f"{warned - _MAX_WARNINGS:,} more warnings are not listed.")


def _without_data_uris(found: ReadDocument) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = without_data_uris(found.text)
    if says_nothing(text):
        yield ReadWarning(code=_EMPTY, message=f"{found.entity_id} has no text but embedded pictures or files.")
        return
    yield from warnings
    yield replace(found, text=text)


def _kind(file: FetchedFile) -> str:
    """Return the suffix whose reader applies; raise Unreadable if the content contradicts the declared type or name."""
    sniffed = next((kind for signature, kind in _SIGNATURES if file.content.startswith(signature)), "")
    named = _TYPES.get(file.content_type.split(";")[0].strip().lower(), file.suffix)
    if named not in SUFFIXES:
        return sniffed or named
    if not sniffed and SUFFIXES[named].signature == ".pdf" and b"%PDF-" in file.content[:_PDF_WITHIN_BYTES]:
        return named
    if sniffed != SUFFIXES[named].signature:
        raise Unreadable(f"a {sniffed} file, not {named}" if sniffed else f"no {named} file")
    return named
