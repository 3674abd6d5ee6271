"""Read Markdown with front matter; MDX in it is known by its content."""

from collections.abc import Iterator

from retrieval.readers.charsets import decode
from retrieval.readers.documents import FetchedFile, Options, ReadDocument, ReadWarning, document
from retrieval.readers.front_matter import split_front_matter
from retrieval.readers.markdown_prose import without_hidden
from retrieval.readers.mdx import find_mdx, markdown_of
from retrieval.readers.mdx_losses import losses
from retrieval.readers.registry import reader


@reader(".md", ".markdown")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    text, warnings = decode(file)
    yield from warnings
    metadata, text, warnings = split_front_matter(text)
    yield from warnings
    is_mdx, has_expressions = find_mdx(text)
    source, text = text, markdown_of(text, has_expressions=has_expressions) if is_mdx else without_hidden(text)
    yield from losses(source, text) if is_mdx else ()
    yield document(file, text, str(metadata.get("title") or ""), metadata, options)
