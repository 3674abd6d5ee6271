"""Read Markdown with front matter."""

from collections.abc import Iterator

from retrieval.readers.documents import FetchedFile, Options, ReadDocument, decode, document
from retrieval.readers.front_matter import split_front_matter
from retrieval.readers.registry import reader


@reader(".md", ".markdown")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument]:
    metadata, text = split_front_matter(decode(file.content))
    yield document(file, text, str(metadata.get("title") or ""), metadata, options)
