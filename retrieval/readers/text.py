"""Read plain text."""

from collections.abc import Iterator

from retrieval.readers.documents import FetchedFile, Options, ReadDocument, decode, document
from retrieval.readers.registry import reader


@reader(".txt")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument]:
    yield document(file, decode(file.content), "", {}, options)
