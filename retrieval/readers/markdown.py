"""Read Markdown with front matter."""

from collections.abc import Iterator

from retrieval.readers.charsets import decode
from retrieval.readers.documents import FetchedFile, Options, ReadDocument, ReadWarning, document
from retrieval.readers.front_matter import split_front_matter
from retrieval.readers.registry import reader


@reader(".md", ".markdown")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file)
    yield from warnings
    metadata, text = split_front_matter(text)
    yield document(file, text, str(metadata.get("title") or ""), metadata, options)
