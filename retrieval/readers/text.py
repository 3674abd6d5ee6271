"""Read plain text."""

from collections.abc import Iterator

from retrieval.readers.audience import check_unread
from retrieval.readers.charsets import decode
from retrieval.readers.documents import FetchedFile, Options, ReadDocument, ReadWarning, document
from retrieval.readers.registry import reader


@reader(".txt")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file)
    yield from warnings
    check_unread(text)
    yield document(file, text, "", {}, options)
