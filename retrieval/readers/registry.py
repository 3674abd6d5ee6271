"""Choose the reader of a file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from retrieval.readers import isolation
from retrieval.readers.documents import Empty, FetchedFile, Options, ReadDocument, ReadWarning, Unreadable

Read = Callable[[FetchedFile, Options], Iterator[ReadDocument | ReadWarning]]

SUFFIXES: dict[str, "Reader"] = {}

_SIGNATURES = ((b"%PDF-", ".pdf"), (b"PK\x03\x04", ".zip"), (b"\x1f\x8b", ".gz"))
_TYPES = {"text/html": ".html", "application/xhtml+xml": ".html", "text/plain": ".txt", "text/markdown": ".md",
          "application/pdf": ".pdf"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A registered reader of a format."""

    read: Read
    is_isolated: bool
    """Whether it runs in a separate process with limits: its library may hang or exhaust memory on a hostile file."""
    signature: str = ""


def reader(*suffixes: str, is_isolated: bool = False, signature: str = "") -> Callable[[Read], Read]:
    """Declare a function as the reader of these suffixes; raise ValueError for a suffix that has one."""

    def register(function: Read) -> Read:
        for suffix in suffixes:
            if suffix in SUFFIXES:
                raise ValueError(f"{suffix} has a reader already.")
            SUFFIXES[suffix] = Reader(read=function, is_isolated=is_isolated, signature=signature)
        return function

    return register


def is_readable(path: str) -> bool:
    return any(path.lower().endswith(suffix) for suffix in SUFFIXES)


def read(file: FetchedFile, options: Options | None = None) -> Iterator[ReadDocument | ReadWarning]:
    """Yield the file's documents, and warnings about what could not be read; raise Unreadable with the reason."""
    options = options or Options()
    if not file.content or file.content.isspace():
        raise Empty("empty")
    suffix = _kind(file)
    found = SUFFIXES.get(suffix)
    if found is None:
        raise Unreadable(f"no reader for {suffix or 'this kind of file'}")
    if found.is_isolated:
        yield from isolation.read_isolated(file, suffix, options)
    else:
        yield from found.read(file, options)


def _kind(file: FetchedFile) -> str:
    """Return the suffix whose reader applies; raise Unreadable if the content contradicts the declared type or name."""
    sniffed = next((kind for signature, kind in _SIGNATURES if file.content.startswith(signature)), "")
    named = _TYPES.get(file.content_type.split(";")[0].strip().lower(), file.suffix)
    if named not in SUFFIXES:
        return sniffed or named
    if sniffed != SUFFIXES[named].signature:
        raise Unreadable(f"a {sniffed} file, not {named}" if sniffed else f"no {named} file")
    return named
