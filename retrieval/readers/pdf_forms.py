"""Read what was added to the pages of a PDF, and is no part of their text: filled fields, and typed words."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

_TEXT_FIELDS = (pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)
_BOXES = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
_NOT_SEEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_MOST_BYTES = 1 << 20


def open_form(pdf: pypdfium2.PdfDocument) -> bool:
    """Open the form of a document before its pages; return whether it has one of the other kind, XFA, unread here."""
    kind = pdf.get_formtype()
    if kind == pdfium.FORMTYPE_ACRO_FORM:
        with suppress(pypdfium2.PdfiumError):  # the text of its pages is read all the same
            pdf.init_forms()
    return kind in (pdfium.FORMTYPE_XFA_FULL, pdfium.FORMTYPE_XFA_FOREGROUND)


def added_to(pdf: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> str:
    """Return the filled fields of a page, one `name: value` a line, and what was typed onto it."""
    return "\n".join(dict.fromkeys(_added(pdf, page)))


def _added(pdf: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> Iterator[str]:
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, number)
        try:
            if pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_FREETEXT:
                is_seen = not pdfium.FPDFAnnot_GetFlags(annotation) & _NOT_SEEN
                value, name = _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents") if is_seen else "", ""
            else:
                value, name = _field(pdf.formenv, annotation) if pdf.formenv else ("", "")
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
        if value.strip():
            yield f"{name}: {value}" if name else value


def _field(form: Any, annotation: Any) -> tuple[str, str]:
    """Return the value and the name of a field; a box that is not checked has no value."""
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _TEXT_FIELDS:
        value = _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    elif kind in _BOXES and pdfium.FPDFAnnot_IsChecked(form, annotation):
        value = _string(pdfium.FPDFAnnot_GetFormFieldExportValue, form, annotation)
    else:
        return "", ""
    return value, _string(pdfium.FPDFAnnot_GetFormFieldName, form, annotation)


def _string(function: Callable[..., int], *arguments: Any) -> str:
    size = min(function(*arguments, None, 0), _MOST_BYTES)
    if size <= 0:
        return ""
    buffer = ctypes.create_string_buffer(size)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[:size].decode("utf-16-le", "replace").rstrip("\x00")
