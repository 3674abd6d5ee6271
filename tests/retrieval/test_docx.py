"""A Word document is read with all that it says, however its package is written."""

from typing import Any

import pytest

from tests.retrieval.files import docx, docx_parts, paragraph, zipped
from tests.retrieval.reading import read_all

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def text_of(content: bytes) -> str:
    (document,), warnings, reason = read_all("a.docx", content)
    assert (warnings, reason) == ([], "")
    return document.text


def boxed(text: str) -> str:
    return f"<w:txbxContent>{paragraph(text)}</w:txbxContent>"


def choice(text: str) -> str:
    return f'<mc:Choice Requires="wps"><w:drawing><wps:txbx>{boxed(text)}</wps:txbx></w:drawing></mc:Choice>'


def in_run(xml: str) -> str:
    return f"<w:p><w:r>{xml}</w:r></w:p>"


@pytest.mark.parametrize("main", ["word/document.xml", "word/document2.xml", "doc/main.xml"])
def test_the_main_part_has_any_name(main: str) -> None:
    parts = docx_parts(paragraph("The lighthouse."), main=main)
    assert text_of(zipped(parts)) == "The lighthouse."
    assert text_of(zipped({name: part for name, part in parts.items() if name != "_rels/.rels"})) == "The lighthouse."
    if main != "doc/main.xml":
        assert text_of(
            zipped({name: part for name, part in parts.items() if name.startswith("word/") or "_rels" in name})
        )


@pytest.mark.parametrize("change", [lambda n: n.replace("/", "\\"), lambda n: f"/{n}", str.upper, lambda n: f"./{n}"])
def test_names_of_members_are_written_in_any_way(change: Any) -> None:
    parts = docx_parts(paragraph("The harbour.") + "<w:p/>", header=paragraph("Acme Pier"))
    changed = {name if name.startswith("[") else change(name): part for name, part in parts.items()}
    assert text_of(zipped(changed)) == "The harbour.\n\nAcme Pier"


def test_the_strict_format_is_read() -> None:
    parts = docx_parts(
        paragraph("Strict.") + f"<w:p>{'<m:oMath><m:r><m:t>x+y</m:t></m:r></m:oMath>'}</w:p>", header=paragraph("Top")
    )
    office = "http://schemas.openxmlformats.org/officeDocument/2006/"
    strict = {
        name: part.replace(WORD, "http://purl.oclc.org/ooxml/wordprocessingml/main").replace(
            office, "http://purl.oclc.org/ooxml/officeDocument/"
        )
        for name, part in parts.items()
        if isinstance(part, str)
    }
    assert text_of(zipped(strict)) == "Strict.\n\nx+y\n\nTop"


@pytest.mark.parametrize(
    "box",
    [
        f"<mc:AlternateContent>{choice('Boxed.')}<mc:Fallback><w:pict><v:shape><v:textbox>{boxed('Boxed.')}</v:textbox>"
        "</v:shape></w:pict></mc:Fallback></mc:AlternateContent>",
        f"<mc:AlternateContent>{choice('Boxed.')}<mc:Fallback/></mc:AlternateContent>",
        f"<mc:AlternateContent>{choice('Boxed.')}</mc:AlternateContent>",
        f"<w:drawing><wps:txbx>{boxed('Boxed.')}</wps:txbx></w:drawing>",
        "<w:drawing><a:txBody><a:p><a:r><a:t>Boxed</a:t></a:r><a:r><a:t>.</a:t></a:r></a:p></a:txBody></w:drawing>",
    ],
)  # fmt: skip
def test_text_boxes_are_read_once(box: str) -> None:
    assert text_of(docx(paragraph("Before.") + in_run(box) + paragraph("After."))) == "Before.\n\nBoxed.\n\nAfter."


def test_a_text_box_inside_of_a_text_box_is_read_once() -> None:
    inner = f"<mc:AlternateContent>{choice('Inner.')}<mc:Fallback/></mc:AlternateContent>"
    outer = f"<w:txbxContent>{paragraph('Outer.')}{in_run(inner)}</w:txbxContent>"
    assert text_of(docx(in_run(f"<w:drawing><wps:txbx>{outer}</wps:txbx></w:drawing>"))) == "Outer.\n\nInner."


def test_tracked_changes_are_read_as_accepted() -> None:
    def change(tag: str, text: str, kind: str = "t") -> str:
        return f'<w:{tag} w:id="1" w:author="A"><w:r><w:{kind}>{text}</w:{kind}></w:r></w:{tag}>'

    body = f"<w:p>{change('del', 'forty', 'delText')}{change('ins', 'fifty')}{change('moveFrom', 'gone')}</w:p>"
    body += f"<w:p>{change('moveTo', 'moved')}</w:p>"
    assert text_of(docx(body)) == "fifty\n\nmoved"


def test_fields_formulas_and_directions_are_read() -> None:
    run = "<w:r><w:t>{}</w:t></w:r>".format
    body = (
        f'<w:p><w:fldSimple w:instr="REF x">{run("Section 4")}</w:fldSimple></w:p>'
        f'<w:p><w:bdo w:val="rtl">{run("turned")}</w:bdo></w:p>'
        "<w:p><m:oMathPara><m:oMath><m:r><m:t>E=m</m:t></m:r><m:r><m:t>c²</m:t></m:r></m:oMath></m:oMathPara></w:p>"
        f"<w:sdt><w:sdtContent>{paragraph('In a control.')}</w:sdtContent></w:sdt>"
        f"<w:p><w:r><w:ruby><w:rt>{run('kana')}</w:rt><w:rubyBase>{run('漢字')}</w:rubyBase></w:ruby></w:r></w:p>"
    )
    assert text_of(docx(body)) == "Section 4\n\nturned\n\nE=mc²\n\nIn a control.\n\n漢字"


def test_headers_footers_and_notes_are_read() -> None:
    def field(name: str, text: str) -> str:
        return f'<w:fldSimple w:instr=" {name} "><w:r><w:t>{text}</w:t></w:r></w:fldSimple>'

    number = f"<w:p><w:r><w:t>Page</w:t></w:r>{field('PAGE', '3')}</w:p>"
    note = f'<w:footnote w:id="1"><w:p>{field("REF", "See the tariff.")}</w:p></w:footnote>'
    body = f'<w:p><w:r><w:t>The fee</w:t></w:r><w:r><w:footnoteReference w:id="1"/></w:r></w:p>{paragraph("End.")}'
    text = text_of(docx(body, header=paragraph("Acme Pier, tariff of 2024") * 2, footer=number, footnotes=note))
    assert text.count("Acme Pier, tariff of 2024") == 1
    assert "See the tariff." in text and "Page" not in text and text.startswith("The fee")


def test_a_row_that_begins_later_keeps_its_columns() -> None:
    def row(*cells: str, before: str = "") -> str:
        return f"<w:tr>{before}{''.join(f'<w:tc>{paragraph(cell)}</w:tc>' for cell in cells)}</w:tr>"

    before = '<w:trPr><w:gridBefore w:val="1"/></w:trPr>'
    text = text_of(docx(f"<w:tbl>{row('Plan', 'Price')}{row('12 euros', before=before)}</w:tbl>"))
    assert text.splitlines()[-1].replace(" ", "") == "||12euros|"


def test_what_is_not_read_is_said() -> None:
    body = paragraph("Read.") + "<w:p><w:unknownThing><w:r><w:t>left out words</w:t></w:r></w:unknownThing></w:p>"
    (document,), warnings, _ = read_all("a.docx", docx(body, chart="<w:p/>"))
    assert document.text == "Read."
    assert {warning.code: warning.message for warning in warnings} == {
        "parts_not_read": "Not read: 1 charts.",
        "text_left_out": "3 words could not be read, such as: left out words.",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped({"a.txt": "x"}), "no Word document"), (docx("<w:p>"), "broken XML"),
        (docx("<w:p>" * 1000 + "</w:p>" * 1000), "broken XML"), (docx(paragraph("x"))[:200], "a broken DOCX"),
        (docx(""), "empty"), (docx(paragraph("&x;"), '<!DOCTYPE x [<!ENTITY x "y">]>'), "broken"),
    ],
)  # fmt: skip
def test_a_broken_document_ends_with_a_reason(content: bytes, said: str) -> None:
    assert said in read_all("a.docx", content)[2]


def test_a_large_document_is_read_in_linear_time() -> None:
    body = (paragraph("Some words.") + "<w:p><w:r><w:t>x</w:t></w:r></w:p>") * 3_000
    assert text_of(docx(body)).count("Some words.") == 3_000
