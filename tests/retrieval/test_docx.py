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


def strict(parts: dict[str, str | bytes]) -> dict[str, str | bytes]:
    """Return the parts as the strict format writes them."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/"
    return {
        name: part.replace(WORD, "http://purl.oclc.org/ooxml/wordprocessingml/main").replace(
            office, "http://purl.oclc.org/ooxml/officeDocument/"
        )
        for name, part in parts.items()
        if isinstance(part, str)
    }


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
    assert text_of(zipped(strict(parts))) == "Strict.\n\nx+y\n\nTop"


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


W14 = 'xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml"'


def text_run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def field(instruction: str, result: str = "", data: str = "") -> str:
    return (
        f'<w:r><w:fldChar w:fldCharType="begin">{data}</w:fldChar></w:r>'
        f"<w:r><w:instrText> {instruction} </w:instrText></w:r>"
        f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{result}<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def checkbox(state: int, sign: str) -> str:
    about = f'<w:sdtPr><w14:checkbox {W14}><w14:checked w14:val="{state}"/></w14:checkbox></w:sdtPr>'
    return f"<w:sdt>{about}<w:sdtContent>{text_run(sign)}</w:sdtContent></w:sdt>"


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (checkbox(1, "☒") + text_run(" Yes ") + checkbox(0, "☐") + text_run(" No"), "☒ Yes ☐ No"),
        (field("FORMCHECKBOX", data="<w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData>") + text_run("Paid"),
         "☒Paid"),
        (text_run("Plan: ") + field("FORMDROPDOWN", data='<w:ffData><w:ddList><w:result w:val="1"/><w:listEntry w:val='
         '"Basic"/><w:listEntry w:val="Premium"/></w:ddList></w:ffData>'), "Plan: Premium"),
        (field('HYPERLINK "https://e.com/pay" \\o "Pay here" \\t "_blank"', text_run("Pay")), "[Pay](https://e.com/pay)"),
        (text_run("Left") + "<w:r><w:ptab/></w:r>" + text_run("right") + "<w:r><w:cr/></w:r>" + text_run("next"),
         "Left right\nnext"),
        (text_run("infor") + "<w:r><w:softHyphen/></w:r>" + text_run("mation E") + "<w:r><w:noBreakHyphen/></w:r>"
         + text_run("4021"), "information E\u20114021"),
        (text_run("End.") + '<w:r><w:br w:type="page"/></w:r>' + text_run("Fares"), "End.\nFares"),
        (field('HYPERLINK "https://e.com/pay"', text_run("Pay")) + field("MERGEFIELD Sum", text_run("5")),
         "[Pay](https://e.com/pay)5"),
        (text_run("10") + '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>6</w:t></w:r>'
         '<w:r><w:rPr><w:strike/></w:rPr><w:t>old</w:t></w:r>', "10^6~~old~~"),
        (f"<w:r><w:pict><v:oval><v:textbox>{boxed('In an oval.')}</v:textbox></v:oval></w:pict></w:r>", "In an oval."),
    ],
)  # fmt: skip
def test_what_a_paragraph_says_is_read_whatever_says_it(xml: str, text: str) -> None:
    assert text_of(docx(f"<w:p>{xml}</w:p>")) == text


def part(name: str, *inner: str) -> str:
    return f"<m:{name}>{''.join(inner)}</m:{name}>"


def sign(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


HALF = part("f", part("num", sign("1")), part("den", sign("2")))
SUM = part(
    "nary", '<m:naryPr><m:chr m:val="∑"/></m:naryPr>', part("sub", sign("i=1")), part("sup", sign("n")),
    part("e", sign("i")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (HALF, "1/2"), (sign("2") + HALF, "2 1/2"),
        (part("f", part("num", sign("a+b")), part("den", HALF)), "(a+b)/(1/2)"),
        (part("sSup", part("e", sign("10")), part("sup", sign("6"))), "10^6"),
        (part("sSup", part("e", sign("e")), part("sup", sign("-x"))), "e^(-x)"),
        (part("sSub", part("e", sign("H")), part("sub", sign("2"))) + sign("O"), "H2O"),
        (part("rad", part("deg"), part("e", sign("x+1"))), "√(x+1)"), (SUM, "∑_(i=1)^n i"),
        (part("d", '<m:dPr><m:begChr m:val="["/><m:endChr m:val="]"/></m:dPr>', part("e", SUM)), "[∑_(i=1)^n i]"),
        (part("m", part("mr", part("e", sign("a")), part("e", sign("b"))), part("mr", part("e", HALF))), "a, b; 1/2"),
    ],
)  # fmt: skip
def test_a_formula_keeps_its_figures_apart(formula: str, text: str) -> None:
    assert text_of(docx(f"<w:p>{part('oMath', formula)}</w:p>")) == text


@pytest.mark.parametrize("is_in_row", [False, True])
def test_a_bookmark_in_a_table_moves_no_cell(is_in_row: bool) -> None:
    def cell(text: str, merge: str = "") -> str:
        return f"<w:tc><w:tcPr>{merge}</w:tcPr>{paragraph(text)}</w:tc>"

    bookmark = '<w:bookmarkStart w:id="1" w:name="prices"/>'
    outer, inner = ("", bookmark) if is_in_row else (bookmark, "")
    merged = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    rows = f"<w:tr>{inner}{cell('Basic', merged[0])}{cell('5')}</w:tr><w:tr>{cell('', merged[1])}{cell('6')}</w:tr>"
    text = text_of(docx(f"<w:tbl><w:tr>{cell('Plan')}{cell('Price')}</w:tr>{outer}{rows}</w:tbl>"))
    assert text.splitlines()[2:] == ["| Basic | 5 |", "| Basic | 6 |"]


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        (paragraph("Two", "Heading1"), "Two"),
        (paragraph("Two", "Heading1") + paragraph("At least."), "Two At least."),
        (f"<w:tbl><w:tr><w:tc>{paragraph('Min')}</w:tc><w:tc>{paragraph('5')}</w:tc></w:tr></w:tbl><w:p/>", "Min 5"),
    ],
)
def test_a_heading_or_a_table_in_a_cell_keeps_the_columns(cell: str, read: str) -> None:
    def row(*cells: str, merge: str = "") -> str:
        first, *others = cells
        return (
            f"<w:tr><w:tc><w:tcPr>{merge}</w:tcPr>{first}</w:tc>"
            + "".join(f"<w:tc>{other}</w:tc>" for other in others) + "</w:tr>"
        )  # fmt: skip

    begins, goes_on = '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    heads = [paragraph(name, "Heading2") for name in ("Plan", "Seats", "Price")]
    text = text_of(docx(
        f"<w:tbl>{row(*heads)}{row(*map(paragraph, ('Free', '1', '0')), merge=begins)}"
        f"{row('<w:p/>', paragraph('2'), cell, merge=goes_on)}</w:tbl>"
    ))  # fmt: skip
    assert text.split("\n") == [
        "| Plan | Seats | Price |",
        "| --- | --- | --- |",
        "| Free | 1 | 0 |",
        f"| Free | 2 | {read} |",
    ]


def test_a_paragraph_whose_end_was_deleted_stays_before_what_is_no_paragraph() -> None:
    deleted = '<w:pPr><w:rPr><w:del w:id="1" w:author="A"/></w:rPr></w:pPr>'
    joined = f"<w:p>{deleted}{text_run('One ')}</w:p>{paragraph('line.')}"
    table = f"<w:tbl><w:tr><w:tc>{paragraph('a')}</w:tc><w:tc>{paragraph('b')}</w:tc></w:tr></w:tbl>"
    last = f"<w:p>{deleted}{text_run('Last.')}</w:p>"
    assert text_of(docx(joined + last + table + last)).split("\n\n") == [
        "One line.", "Last.", "| a | b |\n| --- | --- |", "Last.",
    ]  # fmt: skip


def test_a_document_that_cannot_be_read_is_not_called_empty() -> None:
    body = "<w:p><w:unknownThing><w:r><w:t>left out words</w:t></w:r></w:unknownThing></w:p>"
    assert read_all("a.docx", docx(body))[2] == "none of its text could be read"


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


HIDDEN_STYLES = (
    '<w:style w:type="character" w:styleId="Note"><w:rPr><w:vanish/></w:rPr></w:style>'
    '<w:style w:type="character" w:styleId="SubNote"><w:basedOn w:val="Note"/></w:style>'
    '<w:style w:type="character" w:styleId="Shown"><w:basedOn w:val="Note"/><w:rPr><w:vanish w:val="0"/></w:rPr>'
    '</w:style><w:style w:type="character" w:styleId="Round"><w:basedOn w:val="Round"/></w:style>'
)  # fmt: skip


def run_with(properties: str, text: str) -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def in_row(properties: str, text: str) -> str:
    return f"<w:tr><w:trPr>{properties}</w:trPr><w:tc>{paragraph(text)}</w:tc></w:tr>"


@pytest.mark.parametrize(
    "hidden",
    [
        run_with("<w:vanish/>", " our price"),
        run_with('<w:vanish w:val="true"/>', " our price"),
        run_with('<w:rStyle w:val="Note"/>', " our price"),
        run_with('<w:rStyle w:val="SubNote"/>', " our price"),
        "<w:r><w:rPr><w:vanish/></w:rPr>"
        f"<w:pict><v:shape><v:textbox>{boxed('our price')}</v:textbox></v:shape></w:pict></w:r>",
    ],
)
@pytest.mark.parametrize("as_written", [dict, strict])
def test_hidden_text_is_left_out_and_said(hidden: str, as_written: Any) -> None:
    shown = [
        run_with(properties, " Seen.")
        for properties in ('<w:vanish w:val="off"/>', '<w:rStyle w:val="Shown"/>', '<w:rStyle w:val="Round"/>')
    ]
    body = f"<w:p>{run_with('', 'Open to all.')}{hidden}{''.join(shown)}</w:p>"
    (document,), warnings, reason = read_all("a.docx", zipped(as_written(docx_parts(body, styles=HIDDEN_STYLES))))
    assert document.text == "Open to all. Seen. Seen. Seen."
    assert [(warning.code, warning.message) for warning in warnings] == [
        ("hidden_text_left_out", "2 words are hidden in the document.")
    ]
    assert reason == ""


def test_a_hidden_row_is_left_out_and_a_hidden_field_ends_where_it_did() -> None:
    table = f"<w:tbl>{in_row('', 'Price')}{in_row('', 'Shown')}{in_row('<w:hidden/>', 'Cost')}</w:tbl>"
    entry = "".join(
        f"<w:r><w:rPr><w:vanish/></w:rPr>{xml}</w:r>"
        for xml in ('<w:fldChar w:fldCharType="begin"/>', "<w:instrText>XE refunds</w:instrText>",
                    '<w:fldChar w:fldCharType="end"/>')
    )  # fmt: skip
    body = f"<w:p>{run_with('', 'Before')}{entry}{run_with('', ' and after.')}</w:p>{table}"
    (document,), warnings, reason = read_all("a.docx", docx(body))
    assert "Before and after." in document.text
    assert "Shown" in document.text
    assert "Cost" not in document.text
    assert [warning.message for warning in warnings] == ["1 words are hidden in the document."]
    assert reason == ""


NEVER = '<w:lvlRestart w:val="0"/>'


def level(at: int, text: str, kind: str = "decimal", more: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{at}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'
    )


NUMBERING = (
    f'<w:abstractNum w:abstractNumId="1">{level(0, "%1.")}{level(1, "%2)", "lowerLetter")}</w:abstractNum>'
    f'<w:abstractNum w:abstractNumId="2">{level(0, "%1")}{level(1, "%1.%2")}</w:abstractNum>'
    f'<w:abstractNum w:abstractNumId="3">{level(0, "Article %1", "upperRoman")}'
    f"{level(1, '(%2)', 'decimal', NEVER)}</w:abstractNum>"
    f'<w:abstractNum w:abstractNumId="4">{level(0, "-", "bullet")}</w:abstractNum>'
    + "".join(f'<w:num w:numId="{n}"><w:abstractNumId w:val="{n}"/></w:num>' for n in (1, 2, 3, 4))
    + '<w:num w:numId="5"><w:abstractNumId w:val="1"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/>'
    "</w:lvlOverride></w:num>"
)
STYLES = "".join(
    f'<w:style w:type="paragraph" w:styleId="H{n}"><w:name w:val="heading {n}"/><w:pPr><w:numPr>'
    f'<w:ilvl w:val="{n - 1}"/><w:numId w:val="2"/></w:numPr></w:pPr></w:style>'
    for n in (1, 2)
)


def item(text: str, at: int = 0, num: int = 1) -> str:
    about = f'<w:numPr><w:ilvl w:val="{at}"/><w:numId w:val="{num}"/></w:numPr>'
    return f"<w:p><w:pPr>{about}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


@pytest.mark.parametrize("as_written", [lambda parts: parts, strict])
def test_lists_and_headings_are_numbered_as_word_shows_them(as_written: Any) -> None:
    def numbered(body: str) -> str:
        return text_of(zipped(as_written(docx_parts(body, numbering=NUMBERING, styles=STYLES))))

    note = paragraph("Wait for the light.")
    steps = item("Open it.") + item("Look.", 1) + item("Listen.", 1) + item("Close it.") + note + item("See step 2.")
    assert numbered(steps) == (
        "1. Open it.\n   a. Look.\n   b. Listen.\n2. Close it.\n\nWait for the light.\n\n3. See step 2."
    )
    assert numbered(steps + note + item("Again.", num=5) + item("On.", num=5)).endswith("7. Again.\n8. On.")
    assert numbered(item("One", num=4) + item("Two", num=4)) == "- One\n- Two"
    heads = "".join(paragraph(text, style) for text, style in (("Pay", "H1"), ("Refunds", "H1"), ("By card", "H2")))
    assert numbered(heads) == "# 1 Pay\n\n# 2 Refunds\n\n## 2.1 By card"
    clauses = item("Price", 0, 3) + item("Net", 1, 3) + item("Term", 0, 3) + item("A year", 1, 3)
    assert numbered(clauses) == "- Article I Price\n  1. Net\n- Article II Term\n  2. A year"
    empty = item("") + item("Second")
    assert numbered(empty) == "2. Second"
