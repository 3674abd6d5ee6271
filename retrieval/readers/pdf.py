"""Read PDF page by page; the page number is part of each chunk's heading path."""

import unicodedata
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from retrieval.readers.documents import FetchedFile, Options, ReadDocument, ReadWarning, Unreadable, document
from retrieval.readers.hyphens import join_hyphens
from retrieval.readers.pdf_forms import fields_of, open_form
from retrieval.readers.registry import reader

MAX_PAGES = 2000
_PASSWORD = 4  # FPDF_ERR_PASSWORD
_SECURITY = 5  # FPDF_ERR_SECURITY
_BREAKS = "\ufffe\xad\x02"
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_UNMAPPED_SHARE = 0.05
_STAMP_WORDS, _PICTURE_SHARE, _MOST_PICTURES = 25, 0.5, 1000


@reader(".pdf", signature=".pdf")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    pdf = _opened(file.content)
    if len(pdf) > MAX_PAGES:
        raise Unreadable(f"{len(pdf):,} pages, and the limit is {MAX_PAGES:,}")
    has_other_form = open_form(pdf)
    texts, fields, scans = [], [], []
    for number in range(len(pdf)):
        page = pdf[number]
        texts.append(_text(page))
        fields.append(_clean(fields_of(pdf, page)))
        if texts[-1].strip() and _is_scan(page, texts[-1]):
            scans.append(number + 1)
    pages = ["\n\n".join(filter(None, parts)) for parts in zip(map(_clean, join_hyphens(texts)), fields, strict=True)]
    if not any(pages):
        raise Unreadable("no text in it; scanned pages need OCR first")
    yield from _warnings(texts, pages)
    if scans:
        message = f"A picture fills page {_ranges(scans)}, with few words beside it; scanned pages need OCR first."
        yield ReadWarning(code="scanned_pages", message=message)
    if has_other_form:
        yield ReadWarning(code="form_left_out", message="Its form is an XFA form, whose fields are not read.")
    text = pages[0] if len(pages) == 1 else "\n\n".join(
        f"## Page {number}\n\n{page}" for number, page in enumerate(pages, 1) if page
    )  # fmt: skip
    properties = {name.lower(): value for name, value in pdf.get_metadata_dict().items() if value}
    metadata = {name: properties[name] for name in ("author", "subject", "keywords") if name in properties}
    yield document(file, text, properties.get("title", ""), metadata | {"pages": len(pages)}, options)


def _opened(content: bytes) -> pypdfium2.PdfDocument:
    """Return the document; raise Unreadable if it is encrypted or broken. What precedes its header is ignored."""
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) in (_PASSWORD, _SECURITY):
            raise Unreadable("encrypted") from None
    try:
        return pypdfium2.PdfDocument(content[content.find(b"%PDF-") :])
    except pypdfium2.PdfiumError:
        raise Unreadable("a broken PDF") from None


def _text(page: pypdfium2.PdfPage) -> str:
    text = page.get_textpage().get_text_range().replace("\x00", "").replace("\r\n", "\n").translate(_LIGATURES)
    return unicodedata.normalize("NFC", text)


def _is_scan(page: pypdfium2.PdfPage, text: str) -> bool:
    """Return whether a picture fills a page that has no more text than a stamp or a footer."""
    if len(text.split()) > _STAMP_WORDS:
        return False
    left, bottom, right, top = page.get_bbox()
    area = (right - left) * (top - bottom)
    for number, found in enumerate(page.get_objects(filter=(pdfium.FPDF_PAGEOBJ_IMAGE,), max_depth=3)):
        if number >= _MOST_PICTURES:
            return False
        try:
            x0, y0, x1, y1 = found.get_bounds()
        except pypdfium2.PdfiumError:
            continue
        if area > 0 and (min(x1, right) - max(x0, left)) * (min(y1, top) - max(y0, bottom)) > _PICTURE_SHARE * area:
            return True
    return False


def _clean(text: str) -> str:
    """Return a page without soft hyphens and other signs that cannot be seen."""
    seen = (" " if char.isspace() and char not in "\n\t" else char for char in text if char not in _BREAKS)
    return "".join(char for char in seen if char in "\n\t" or char.isprintable()).strip()


def _warnings(texts: list[str], pages: list[str]) -> Iterator[ReadWarning]:
    if blank := [number for number, page in enumerate(pages, 1) if not page]:
        has = f"s {_ranges(blank)} have" if len(blank) > 1 else f" {blank[0]} has"
        message = f"{len(blank)} of {len(pages)} pages: page{has} no text; scanned pages need OCR first."
        yield ReadWarning(code="pages_without_text", message=message)
    unmapped = [
        number
        for number, text in enumerate(texts, 1)
        if sum(unicodedata.category(char) in ("Co", "Cn") for char in text if char != "\ufffe")
        > _UNMAPPED_SHARE * len(text)
    ]
    if unmapped:
        message = f"Fonts do not say which letters they show, so text is missing: page {_ranges(unmapped)}."
        yield ReadWarning(code="unmapped_characters", message=message)


def _ranges(numbers: list[int]) -> str:
    """Return increasing numbers as 3, 7–9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in runs)
