"""A PDF's words are whole, and pages without text are named."""

import pytest

from retrieval.readers.hyphens import join_hyphens
from retrieval.readers.pdf import _clean, _ranges
from tests.cpu_limit import cpu_limit
from tests.retrieval.files import pdf
from tests.retrieval.reading import read_all

ENGLISH = "The way of the text is to be read for you with the and of to is."
GERMAN = "Der Text ist für die, die das und nicht mit der ist."


def text_of(*pages: str) -> str:
    (document,), warnings, reason = read_all("a.pdf", pdf(*pages))
    assert (warnings, reason) == ([], "")
    return document.text


def test_a_title_with_control_signs_is_a_title() -> None:
    (document,), _, reason = read_all("a.pdf", pdf("Text.", title="P\\000a\\000y\\000\\n now"))
    assert (document.title, reason) == ("Pay now", "")
    (document,), _, reason = read_all("a.pdf", pdf("Text.", title="\\000\\001"))
    assert (document.title, reason) == ("", "")


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("untitled", ""), ("Untitled-1", ""), ("\\(anonymous\\)", ""), ("Document12", ""),
        ("PowerPoint Presentation", ""),
        ("Microsoft Word - Fares.docx", "Fares"), ("Microsoft Word - Document1", ""),
        ("C:\\\\me\\\\fares 2.indd", "fares 2"),
        ("Untitled works of the pier", "Untitled works of the pier"),
        ("Document 7 of the tariff", "Document 7 of the tariff"),
        ("How to edit robots.txt", "How to edit robots.txt"),
    ],
)  # fmt: skip
def test_a_title_that_the_program_wrote_is_none(written: str, title: str) -> None:
    (document,), _, _ = read_all("a.pdf", pdf("Text.", title=written))
    assert document.title == title


def test_hyphens_at_the_ends_of_lines_are_joined_in_the_file() -> None:
    text = text_of(
        "Die Höhe der Versandgebü-\nhren steht hier. Das ist die schö-\nne Verfüg-\nbarkeit und Paket-\nund Post."
    )
    assert text == "Die Höhe der Versandgebühren steht hier. Das ist die schöne Verfügbarkeit und Paket- und Post."
    text = text_of("The infor-\nmation desk answers ques-\ntions about the e-\nmail and the well-\nknown harbour.")
    assert text == "The information desk answers questions about the e-mail and the well-known harbour."


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("infor-\nmation", "information"), ("well-\nknown", "well-known"), ("state-of-the-\nart", "state-of-the-art"),
        ("time-\nstamp", "time-stamp"), ("self-determi-\nnation", "self-determination"), ("e-\nmail", "e-mail"),
        ("x-\nray", "x-ray"), ("COVID-\n19", "COVID-19"), ("2020-\n2021", "2020-2021"), ("Jean-\nPaul", "Jean-Paul"),
        ("INFOR-\nMATION", "INFORMATION"), ("short- and long-\nterm", "short- and long-term"),
        ("short-\nand long-term", "short- and long-term"), ("in-\nfor-\nma-\ntion", "information"),
        ("infor\u2010\nmation", "information"), ("infor\xad\nmation", "information"),
        ("infor- \nmation", "information"),
        ("col-\nor", "color"), ("--gen-\nsuppressions", "--gen-suppressions"), ("- a\n- b", "- a\n- b"),
        ("Xylo-\nquark", "Xyloquark"), ("a -\nb", "a -\nb"),
    ],
)  # fmt: skip
def test_a_dictionary_says_what_belongs_together(cut: str, whole: str) -> None:
    assert join_hyphens([f"{ENGLISH}\n{cut} here"]) == [f"{ENGLISH}\n{whole} here"]


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("Gebüh-\nren", "Gebühren"), ("Überprüf-\nung", "Überprüfung"), ("Versand-\ngebühren", "Versandgebühren"),
        ("E-Mail-\nAdresse", "E-Mail-Adresse"), ("Hin-\nund Rückweg", "Hin- und Rückweg"),
        ("GEBÜH-\nREN", "GEBÜHREN"), ("Straßen-\nbahn", "Straßenbahn"), ("Größen-\nänderung", "Größenänderung"),
    ],
)  # fmt: skip
def test_compounds_are_written_as_their_language_does(cut: str, whole: str) -> None:
    assert join_hyphens([f"{GERMAN} {cut} hier"]) == [f"{GERMAN} {whole} hier"]


def test_the_rest_of_the_document_decides_first() -> None:
    assert join_hyphens([f"{ENGLISH} Our time-\nstamp", "A timestamp."])[0].endswith("Our timestamp")
    assert join_hyphens([f"{ENGLISH} An infor-\nmation", "infor-mation, infor-mation"])[0].endswith("An infor-mation")
    assert join_hyphens(["Java-\nScript and JavaScript"]) == ["JavaScript and JavaScript"]
    assert join_hyphens(["Well-\nknown ques-\ntions"]) == ["Well-known questions"]
    assert join_hyphens(["Сообще-\nние"]) == ["Сообщение"]


def test_ligatures_and_signs_that_cannot_be_seen_become_plain_text() -> None:
    assert (
        text_of("The o\ufb03ce".replace("\ufb03", "f\ufb01") + " \ufb01les a \ufb02at record.")
        == "The office files a flat record."
    )
    assert _clean("co\xadop\xa0eration\u200b") == "coop eration"


@pytest.mark.parametrize("junk", [b"\n", b"\xef\xbb\xbf", b"HTTP/1.1 200 OK\r\n\r\n", b"\0" * 900, b"x" * 1019])
def test_what_precedes_the_header_is_read_past(junk: bytes) -> None:
    (document,), _, _ = read_all("a.pdf", junk + pdf("The ferry leaves at seven."))
    assert document.text == "The ferry leaves at seven."


def test_a_text_about_the_format_is_no_pdf() -> None:
    (document,), _, _ = read_all("a.md", "A file begins with `%PDF-1.7`.")
    assert "%PDF" in document.text
    assert read_all("a.pdf", b"x" * 1100 + pdf("x"))[2] == "no .pdf file"


def test_pages_without_text_are_counted_and_named() -> None:
    (document,), (warning,), _ = read_all("a.pdf", pdf("Cover.", "", "Text.", "", "", "", "End."))
    assert document.metadata["pages"] == 7
    assert (warning.code, warning.message) == (
        "pages_without_text", "4 of 7 pages: pages 2, 4–6 have no text; scanned pages need OCR first.",
    )  # fmt: skip
    assert _ranges([3, 7, 8, 9, 11]) == "3, 7–9, 11"


def test_hostile_hyphens_are_read_in_linear_time() -> None:
    with cpu_limit():
        join_hyphens([f"{ENGLISH} " + "a-\n" * 200_000, "a" * 1_000_000 + "-\n" + "b" * 1_000_000, "-\n" * 300_000])


def objects(*found: str) -> bytes:
    """Return a PDF of these objects, the first of which is its catalogue."""
    numbered = "\n".join(f"{number} 0 obj {content} endobj" for number, content in enumerate(found, 1))
    return f"%PDF-1.7\n{numbered}\ntrailer << /Root 1 0 R >>\n%%EOF".encode()


def test_the_fields_of_a_form_are_text() -> None:
    content = objects(
        "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R 5 0 R 7 0 R] >> >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Annots [4 0 R 6 0 R 7 0 R] >>",
        "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Delivery) /V (Six working days.) /Rect [10 10 100 30] >>",
        "<< /FT /Tx /T (Returns) /V (Within 14 days.) /Kids [6 0 R] >>",
        "<< /Type /Annot /Subtype /Widget /Parent 5 0 R /Rect [10 40 100 60] >>",
        "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Empty) /Rect [10 70 100 90] >>",
    )
    (document,), warnings, reason = read_all("a.pdf", content)
    assert document.text == "Delivery: Six working days.\nReturns: Within 14 days."
    assert (warnings, reason) == ([], "")


@pytest.mark.parametrize(("size", "codes"), [("612 0 0 792", ["scanned_pages"]), ("100 0 0 80", [])])
def test_a_scanned_page_with_a_stamp_is_named(size: str, codes: list[str]) -> None:
    drawing = f"q {size} 0 0 cm /I1 Do Q BT /F1 12 Tf 72 20 Td (Received 3 May) Tj ET"
    content = objects(
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        " /Resources << /Font << /F1 5 0 R >> /XObject << /I1 6 0 R >> >> >>",
        f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8"
        " /Length 1 >>\nstream\nA\nendstream",
    )
    (document,), warnings, _ = read_all("a.pdf", content)
    assert document.text == "Received 3 May" and [warning.code for warning in warnings] == codes


def page_with(annotations: str, *others: str, about: str = "", kids: str = "3 0 R", drawing: str = "") -> bytes:
    """Return a PDF of one page with these annotations and this drawing; the others are the objects from 6 on."""
    return objects(
        f"<< /Type /Catalog /Pages 2 0 R {about} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {kids.count('R')} >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Annots [{annotations}]"
        " /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream",
        "<< /Type /Font /Subtype /TrueType /BaseFont /Helvetica /FirstChar 1 /LastChar 8 /ToUnicode 6 0 R >>",
        *others,
    )


TEXT = "BT /F1 12 Tf 72 720 Td (Ticket) Tj ET"


def test_words_that_were_typed_onto_a_page_and_checked_boxes_are_text() -> None:
    box = "<< /Type /Annot /Subtype /Widget /FT /Btn /Rect [10 10 20 20] /AP << /N << /Yes 11 0 R /Off 11 0 R >> >>"
    content = page_with(
        "7 0 R 8 0 R 9 0 R 10 0 R", "<< >>",
        "<< /Type /Annot /Subtype /FreeText /Contents (Valid until May) /Rect [10 10 100 30] /DA (/F 9 Tf) >>",
        "<< /Type /Annot /Subtype /FreeText /Contents (Withdrawn) /F 2 /Rect [10 10 100 30] /DA (/F 9 Tf) >>",
        f"{box} /T (Insured) /V /Yes /AS /Yes >>", f"{box} /T (Express) /V /Off /AS /Off >>",
        "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 0 >>\nstream\n\nendstream",
        about="/AcroForm << /Fields [9 0 R 10 0 R] >>", drawing=TEXT,
    )  # fmt: skip
    (document,), warnings, _ = read_all("a.pdf", content)
    assert document.text == "Ticket\n\nValid until May\nInsured: Yes" and not warnings


def test_embedded_files_and_broken_pages_are_told() -> None:
    content = page_with(
        "", "<< >>", "<< /Names [(a.txt) 8 0 R] >>",
        "<< /Type /Filespec /F (a.txt) /UF (a.txt) /EF << /F 9 0 R >> >>",
        "<< /Type /EmbeddedFile /Length 5 >>\nstream\nHello\nendstream",
        about="/Names << /EmbeddedFiles 7 0 R >>", kids="3 0 R 99 0 R", drawing=TEXT,
    )  # fmt: skip
    (document,), warnings, _ = read_all("a.pdf", content)
    assert document.text == "## Page 1\n\nTicket"
    assert [(warning.code, warning.message) for warning in warnings] == [
        ("pages_broken", "The file is broken at page 2, which is not read."),
        ("parts_not_read", "Not read: 1 embedded files."),
    ]


def test_radicals_are_the_characters_that_they_stand_for_and_controls_are_missing_text() -> None:
    codes = "".join(f"<{number:02}> <{code}> " for number, code in enumerate(("2F83", "2F2D", "0007", "0011"), 1))
    cmap = f"begincmap 1 begincodespacerange <00> <ff> endcodespacerange 4 beginbfchar {codes}endbfchar endcmap"
    stream = f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream"
    (document,), warnings, _ = read_all("a.pdf", page_with("", stream, drawing="BT /F1 9 Tf <01020102> Tj ET"))
    assert document.text == "自山自山" and not warnings
    (document,), (warning,), _ = read_all(
        "a.pdf", page_with("", stream, drawing="BT /F1 9 Tf <0102030403040304> Tj ET")
    )
    assert warning.code == "unmapped_characters"


def test_a_pdf_on_which_nothing_is_drawn_is_empty() -> None:
    assert read_all("a.pdf", page_with("", "<< >>"))[2] == "empty"
    assert read_all("a.pdf", page_with("", "<< >>", drawing="0 0 m 9 9 l S"))[2].startswith("no text in it")


def test_a_pdf_that_holds_more_than_is_drawn_is_not_called_empty() -> None:
    assert read_all("a.pdf", pdf("", title="x" * 9000))[2].startswith("no text in it")


@pytest.mark.parametrize(
    ("first", "second", "pages"),
    [
        ("All the infor-", "mation is here.", ["All the information", "is here."]),
        ("We know the well-", "known rules.\nAsk.", ["We know the well-known", "rules.\nAsk."]),
        ("Order E-", "4021 is here.", ["Order E-", "4021 is here."]),
        ("It has a dash -", "and goes on.", ["It has a dash -", "and goes on."]),
        ("All the infor-", "mation", ["All the infor-", "mation"]),
    ],
)
def test_a_word_that_a_page_divides_is_joined_on_the_page_where_it_begins(
    first: str, second: str, pages: list[str]
) -> None:
    (found,), _, _ = read_all("a.pdf", pdf(first, second))
    assert found.text == f"## Page 1\n\n{pages[0]}\n\n## Page 2\n\n{pages[1]}"
