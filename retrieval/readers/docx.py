"""Read Word documents (DOCX), converted to HTML first."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import lxml.html
import mammoth
from defusedxml import ElementTree

from retrieval.readers.documents import FetchedFile, Options, ReadDocument, Unreadable, document
from retrieval.readers.html_markdown import to_markdown
from retrieval.readers.registry import reader

_MAX_BYTES = 100 << 20
_NAMES = {"title": "{http://purl.org/dc/elements/1.1/}title", "author": "{http://purl.org/dc/elements/1.1/}creator"}


@reader(".docx", signature=".zip")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument]:
    try:
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            _check(archive)
            metadata = _metadata(archive)
        html = mammoth.convert_to_html(
            io.BytesIO(file.content), convert_image=mammoth.images.img_element(lambda image: {"src": ""})
        ).value
    except zipfile.BadZipFile:
        raise Unreadable("a broken DOCX") from None
    root = lxml.html.fragment_fromstring(html, create_parent="div")
    yield document(file, to_markdown(root), metadata.pop("title", ""), metadata, options)


def _check(archive: zipfile.ZipFile) -> None:
    if "word/document.xml" not in archive.namelist():
        raise Unreadable("a ZIP file, but no Word document")
    if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
        raise Unreadable(f"more than {_MAX_BYTES >> 20} MB when unpacked")


def _metadata(archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        properties = ElementTree.fromstring(archive.read("docProps/core.xml"))
    except (KeyError, ElementTree.ParseError):
        return {}
    found = {name: (properties.findtext(tag) or "").strip() for name, tag in _NAMES.items()}
    return {name: value for name, value in found.items() if value}
