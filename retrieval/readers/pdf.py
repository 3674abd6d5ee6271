"""Read PDF page by page; the page number is part of each chunk's heading path."""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

from retrieval.readers.documents import (
    Empty,
    FetchedFile,
    Options,
    ReadDocument,
    ReadWarning,
    Unreadable,
    document,
    properties_of,
)
from retrieval.readers.hyphens import join_hyphens
from retrieval.readers.pdf_forms import added_to, open_form
from retrieval.readers.registry import reader

MAX_PAGES = 2000
_PASSWORD = 4  # FPDF_ERR_PASSWORD
_SECURITY = 5  # FPDF_ERR_SECURITY
_BREAKS = "\ufffe\xad\x02"
_SIGNS = {code: unicodedata.normalize("NFKC", chr(code)) for code in (*range(0xFB00, 0xFB07), *range(0x2F00, 0x2FD6))}
"""Ligatures, and the radicals that fonts name instead of the Chinese characters that look like them."""
_EMPTY_MAX_BYTES = 2_000
"""For each page, of a file that says nothing: where more is in it and nothing is drawn, something could not be read."""
_UNMAPPED_SHARE = 0.05
_STAMP_WORDS, _PICTURE_SHARE, _MOST_PICTURES = 25, 0.5, 1000


@dataclass(frozen=True, kw_only=True)
class _Page:
    """What is on a page."""

    text: str = ""
    added: str = ""
    """The fields of a form, and what was typed onto the page."""
    is_scan: bool = False
    is_blank: bool = False
    """Nothing is drawn on it, not even a picture."""
    is_broken: bool = False


@reader(".pdf", signature=".pdf")
def read(file: FetchedFile, options: Options) -> Iterator[ReadDocument | ReadWarning]:
    pdf = _opened(file.content)
    if len(pdf) > MAX_PAGES:
        raise Unreadable(f"{len(pdf):,} pages, and the limit is {MAX_PAGES:,}")
    has_other_form = open_form(pdf)
    found = [_page(pdf, number) for number in range(len(pdf))]
    texts = map(_clean, join_hyphens([page.text for page in found]))
    pages = ["\n\n".join(filter(None, (text, page.added))) for text, page in zip(texts, found, strict=True)]
    if not any(pages):
        if found and all(page.is_broken for page in found):
            raise Unreadable("none of its pages could be read")
        has_little = len(file.content) <= _EMPTY_MAX_BYTES * (1 + len(found)) and not pdf.count_attachments()
        if found and has_little and all(page.is_blank for page in found):
            raise Empty("empty")
        raise Unreadable("no text in it; scanned pages need OCR first")
    yield from _warnings(found, pages)
    if has_other_form:
        yield ReadWarning(code="form_left_out", message="Its form is an XFA form, whose fields are not read.")
    if count := pdf.count_attachments():
        yield ReadWarning(code="parts_not_read", message=f"Not read: {count:,} embedded files.")
    text = pages[0] if len(pages) == 1 else "\n\n".join(
        f"## Page {number}\n\n{page}" for number, page in enumerate(pages, 1) if page
    )  # fmt: skip
    properties = properties_of({name.lower(): value for name, value in pdf.get_metadata_dict().items()})
    metadata = {name: properties[name] for name in ("author", "subject", "keywords") if name in properties}
    yield document(file, text, properties.get("title", ""), metadata | {"pages": len(pages)}, options)


def _page(pdf: pypdfium2.PdfDocument, number: int) -> _Page:
    try:
        page = pdf[number]
        text = _text(page)
    except pypdfium2.PdfiumError:  # the others are read all the same
        return _Page(is_broken=True)
    is_drawn = next(page.get_objects(max_depth=1), None) is not None or pdfium.FPDFPage_GetAnnotCount(page) > 0
    return _Page(
        text=text,
        added=_clean(added_to(pdf, page)),
        is_scan=bool(text.strip()) and _is_scan(page, text),
        is_blank=not is_drawn,
    )


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
    text = page.get_textpage().get_text_range().replace("\x00", "").replace("\r\n", "\n").translate(_SIGNS)
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


def _warnings(found: list[_Page], pages: list[str]) -> Iterator[ReadWarning]:
    def numbers(of: Callable[[_Page], bool]) -> list[int]:
        return [number for number, page in enumerate(found, 1) if of(page)]

    if broken := numbers(lambda page: page.is_broken):
        yield ReadWarning(
            code="pages_broken", message=f"The file is broken at page {_ranges(broken)}, which is not read."
        )
    if blank := [number for number in numbers(lambda page: not page.is_broken) if not pages[number - 1]]:
        has = f"s {_ranges(blank)} have" if len(blank) > 1 else f" {blank[0]} has"
        message = f"{len(blank)} of {len(pages)} pages: page{has} no text; scanned pages need OCR first."
        yield ReadWarning(code="pages_without_text", message=message)
    if unmapped := numbers(lambda page: sum(map(_is_unmapped, page.text)) > _UNMAPPED_SHARE * len(page.text)):
        message = f"Fonts do not say which letters they show, so text is missing: page {_ranges(unmapped)}."
        yield ReadWarning(code="unmapped_characters", message=message)
    if scans := numbers(lambda page: page.is_scan):
        message = f"A picture fills page {_ranges(scans)}, with few words beside it; scanned pages need OCR first."
        yield ReadWarning(code="scanned_pages", message=message)


def _is_unmapped(char: str) -> bool:
    """Return whether a character is none that a text has: `_clean` leaves out the controls, without a trace."""
    return char == "\ufffd" or (
        unicodedata.category(char) in ("Co", "Cn", "Cc") and char not in _BREAKS and not char.isspace()
    )


def _ranges(numbers: list[int]) -> str:
    """Return increasing numbers as 3, 7–9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in runs)
