"""A reader that is declared outside of the product; its text says when the file was read."""

import time
from collections.abc import Iterator

from retrieval.readers.documents import FetchedFile, Options, ReadDocument
from retrieval.readers.registry import reader


@reader(".noted")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument]:
    yield ReadDocument(entity_id=file.path, text=f"{file.content.decode()} Read at {time.time_ns()}.", title="")
