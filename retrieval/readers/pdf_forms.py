"""Read the fields of a PDF's form, whose values are no part of the text of its pages."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

_TEXT_FIELDS = (pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)
_MOST_BYTES = 1 << 20


def open_form(pdf: pypdfium2.PdfDocument) -> bool:
    """Open the form of a document before its pages; return whether it has one of the other kind, XFA, unread here."""
    kind = pdf.get_formtype()
    if kind == pdfium.FORMTYPE_ACRO_FORM:
        with suppress(pypdfium2.PdfiumError):  # the text of its pages is read all the same
            pdf.init_forms()
    return kind in (pdfium.FORMTYPE_XFA_FULL, pdfium.FORMTYPE_XFA_FOREGROUND)


def fields_of(pdf: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> str:
    """Return the filled fields of a page, one `name: value` a line."""
    return "\n".join(dict.fromkeys(_fields(pdf, page))) if pdf.formenv else ""


def _fields(pdf: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> Iterator[str]:
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        try:
            if pdfium.FPDFAnnot_GetFormFieldType(pdf.formenv, annotation) in _TEXT_FIELDS:
                value = _string(pdfium.FPDFAnnot_GetFormFieldValue, pdf.formenv, annotation)
                name = _string(pdfium.FPDFAnnot_GetFormFieldName, pdf.formenv, annotation)
                if value.strip():
                    yield f"{name}: {value}" if name else value
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _string(function: Callable[..., int], *arguments: Any) -> str:
    size = min(function(*arguments, None, 0), _MOST_BYTES)
    if size <= 0:
        return ""
    buffer = ctypes.create_string_buffer(size)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[:size].decode("utf-16-le", "replace").rstrip("\x00")
