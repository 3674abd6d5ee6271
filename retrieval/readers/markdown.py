"""Read Markdown with front matter."""

from collections.abc import Iterator

from retrieval.readers.documents import FetchedFile, Options, ReadDocument, ReadWarning, decode, document
from retrieval.readers.front_matter import split_front_matter
from retrieval.readers.registry import reader


@reader(".md", ".markdown")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    metadata, text, warnings = split_front_matter(decode(file.content))
    yield from warnings
    yield document(file, text, str(metadata.get("title") or ""), metadata, options)
