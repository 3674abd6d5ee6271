"""Markdown with front matter."""

from collections.abc import Iterator

from retrieval.readers.documents import Options, SourceDocument, SourceFile, decode, document
from retrieval.readers.front_matter import split_front_matter
from retrieval.readers.registry import reader


@reader(".md", ".markdown")
def read(file: SourceFile, options: Options) -> Iterator[SourceDocument]:
    metadata, text = split_front_matter(decode(file.content))
    yield document(file, text, str(metadata.get("title") or ""), metadata, options)
