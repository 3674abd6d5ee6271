"""Plain text."""

from collections.abc import Iterator

from retrieval.readers.documents import Options, SourceDocument, SourceFile, decode, document
from retrieval.readers.registry import reader


@reader(".txt")
def read(file: SourceFile, options: Options) -> Iterator[SourceDocument]:
    yield document(file, decode(file.content), "", {}, options)
