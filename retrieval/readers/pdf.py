"""Read PDF page by page; the page number is part of each chunk's heading path."""

import re
from collections.abc import Iterator

import pypdfium2

from retrieval.readers.documents import FetchedFile, Options, ReadDocument, Unreadable, document
from retrieval.readers.registry import reader

MAX_PAGES = 2000
_PASSWORD = 4  # FPDF_ERR_PASSWORD
_SECURITY = 5  # FPDF_ERR_SECURITY


@reader(".pdf", signature=".pdf")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument]:
    try:
        pdf = pypdfium2.PdfDocument(file.content)
    except pypdfium2.PdfiumError as error:
        is_locked = getattr(error, "err_code", None) in (_PASSWORD, _SECURITY)
        raise Unreadable("encrypted" if is_locked else "a broken PDF") from None
    if len(pdf) > MAX_PAGES:
        raise Unreadable(f"{len(pdf):,} pages, and the limit is {MAX_PAGES:,}")
    pages = [_text(pdf[number]) for number in range(len(pdf))]
    if not any(pages):
        raise Unreadable("no text in it; scanned pages need OCR first")
    text = pages[0] if len(pages) == 1 else "\n\n".join(
        f"## Page {number}\n\n{page}" for number, page in enumerate(pages, 1) if page
    )  # fmt: skip
    properties = {name.lower(): value for name, value in pdf.get_metadata_dict().items() if value}
    metadata = {name: properties[name] for name in ("author", "subject", "keywords") if name in properties}
    yield document(file, text, properties.get("title", ""), metadata | {"pages": len(pages)}, options)


def _text(page: pypdfium2.PdfPage) -> str:
    text = page.get_textpage().get_text_range().replace("\x00", "").replace("\r\n", "\n").replace("\ufffe", "-")
    # Join words that were hyphenated at the end of a line.
    text = re.sub(r"(?<=[a-z])[-\xad\x02]\n(?=[a-z])", "", text)
    return "".join(char for char in text if char in "\n\t" or char.isprintable()).strip()
