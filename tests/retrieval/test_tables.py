"""No cell of a table is lost: separators, quotes, ragged rows, and columns, ids and lines that are wrong."""

import pytest

from retrieval.readers import ReadDocument
from retrieval.readers.audience import split_audience
from tests.retrieval.reading import read_all


def rows(content: str, path: str = "t.csv") -> list[ReadDocument]:
    documents, warnings, reason = read_all(path, content)
    assert (warnings, reason) == ([], "")
    return documents


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("Name, Vorname;Alter\nMüller, Hans;20\nMaier, Eva;30\n", ["Name, Vorname: Müller, Hans\nAlter: 20",
                                                                 "Name, Vorname: Maier, Eva\nAlter: 30"]),
        ("id;text\n1;a, b, c, d, e, f\n2;g\n", ["a, b, c, d, e, f", "g"]),
        ("Plan|Preis, netto|Preis, brutto\nA|1,0|2,0\n", ["Plan: A\nPreis, netto: 1,0\nPreis, brutto: 2,0"]),
        ("a;b\n1,5;2,5\n1,6;2,6\n", ["a: 1,5\nb: 2,5", "a: 1,6\nb: 2,6"]),
        ('"question";"answer"\n"Was, wann?";"Neun; Kinder frei"\n', ["Neun; Kinder frei"]),
        ("a\tb\n1, 2\t3\n", ["a: 1, 2\nb: 3"]),
        ('id, text\n1, "a, b"\n', ["a, b"]),
        ('id,text\n1,"He said \\"hi, you\\", ok"\n2,"x"\n', ['He said "hi, you", ok', "x"]),
        ('id,text\n1,"a ""b"" c"\n2,5" screen\n', ['a "b" c', '5" screen']),
        ("\ufeffid;text\r\n1;x\r\n2;y\r\n", ["x", "y"]),
        ("id;text\r1;x\r2;y\r", ["x", "y"]),
        ("sep=;\nid;text\n1;a, b\n", ["a, b"]),
        ('"sep=|"\r\nid|text\r\n1|a, b; c\r\n', ["a, b; c"]),
        ("SEP=\t\nid\ttext\n1\tx\n", ["x"]),
        ("text\nOne word\nTwo words\n", ["One word", "Two words"]),
        ("a;b;\n1;2;\n3;4;;;\n", ["a: 1\nb: 2", "a: 3\nb: 4"]),
        ("\n\nid,text\n\n1,x\n,,,\n2,y\n", ["x", "y"]),
    ],
)  # fmt: skip
def test_the_separator_is_the_one_that_makes_the_rows_agree(content: str, texts: list[str]) -> None:
    assert [row.text for row in rows(content)] == texts


def test_a_tsv_may_have_commas_and_may_be_a_csv() -> None:
    assert rows("id\ttext\n1\ta, b, c\n", "t.tsv")[0].text == "a, b, c"
    assert rows("id,text\n1,a\n", "t.tsv")[0].text == "a"


def test_cells_beyond_the_columns_are_part_of_the_text() -> None:
    found, (warning,), _ = read_all("t.csv", "question,answer\nIn the box?,A lamp, a cable, and a plug\nWhy?,So\n")
    assert [row.text for row in found] == ["A lamp, a cable, and a plug", "So"]
    assert (warning.code, warning.message) == (
        "ragged_rows", "Line 2 had more cells than the 2 columns; they were added to the text.",
    )  # fmt: skip
    (row,), _, _ = read_all("t.csv", "text,team\nA lamp, a cable,x,y\n")
    for cell in ("A lamp", "x", "y"):
        assert cell in row.text
    assert "a cable" in f"{row.text} {row.metadata}"
    (row,), _, _ = read_all("t.csv", "a,b\n1,2,3,4\n")
    assert row.text == "a: 1\nb: 2,3,4"


def test_rows_that_are_short_or_have_a_title_only_are_read() -> None:
    found = rows("id,question,answer,team\n1,Why?\n2,,So,\n")
    assert [(row.title, row.text) for row in found] == [("Why?", "Why?"), ("", "So")]
    found, (warning,), _ = read_all("t.csv", "id,text\n1,x\n2,\n3,y\n")
    assert [row.text for row in found] == ["x", "y"]
    assert (warning.code, warning.message) == ("empty_rows", "There is no text on line 3.")


def test_a_dash_is_no_text() -> None:
    found, warnings, _ = read_all("t.csv", "title,text,price\nWarranty,-,5\nReturns,-,\nNo,+1,\n,-,\n")
    assert [document.text for document in found] == ["price: 5", "Returns", "+1"]
    assert [warning.code for warning in warnings] == ["empty_rows"]


def test_columns_of_one_name_are_told_and_both_are_read() -> None:
    (row,), (warning,), _ = read_all("t.csv", "name,note,note\nBoat,about oars,about sails\n")
    assert row.text == "note: about oars\nnote (2): about sails"
    assert warning.message == (
        "Several columns are called 'note'; the later ones were read with (2) and so on after the name."
    )
    (row,), _, _ = read_all("t.csv", "text,text,text (2)\na,b,c\n")
    assert row.text.split("\n") == ["a", "b", "c"]
    assert rows("id,,\n1,a,b\n")[0].text == "column 2: a\ncolumn 3: b"


def test_columns_called_as_our_own_metadata_keep_their_values() -> None:
    (row,) = rows("text,row,path\nx,C,/tmp\n")
    assert row.metadata == {"row (column)": "C", "path (column)": "/tmp", "row": 2, "path": "t.csv"}


def test_ids_that_occur_twice_are_told_and_replace_nothing() -> None:
    content = "id,question,answer\nA1,What?,Forty.\nA1,In winter?,Sixty.\nA1#2,Odd?,Yes.\nA1,Again?,Ten.\n"
    found, (warning,), _ = read_all("faq.csv", content)
    assert [(row.entity_id, row.text) for row in found] == [
        ("faq/A1", "Forty."), ("faq/A1#2", "Sixty."), ("faq/A1#2#2", "Yes."), ("faq/A1#3", "Ten."),
    ]  # fmt: skip
    assert warning.code == "duplicate_ids"
    assert "lines 3, 4, 5" in warning.message and "'A1'" in warning.message
    found, (warning,), _ = read_all("t.csv", "sku,text\nx,a\nx,b\n", mapping={"id": "sku"})
    assert [row.entity_id for row in found] == ["x", "x#2"]
    found, _, _ = read_all("t.csv", "id,text\n2,a\n,b\n")
    assert len({row.entity_id for row in found}) == 2


def test_rows_without_an_id_keep_their_numbers_below_a_line_that_is_broken() -> None:
    found, _, _ = read_all("t.jsonl", '{"text": "a"}\n{"text": \n{"text": "c"}\n{}\n{"text": "e"}\n')
    assert [(row.entity_id, row.text) for row in found] == [("t/1", "a"), ("t/3", "c"), ("t/5", "e")]


@pytest.mark.parametrize(
    "broken",
    [
        '{"text": "b", "audience": ["staff"],}',
        "{text: 'b', AUDIENCE: 'staff'}",
        '{"text": "b", "ａudience": ["staff"]',
        '["b", {"audience": "staff"}]',
    ],
)
def test_the_audience_of_a_line_that_is_broken_is_not_known(broken: str) -> None:
    _, _, reason = read_all("t.jsonl", f'{{"text": "a"}}\n{broken}\n')
    assert "line 2 is no JSON" in reason and "so the audience is not known; the other 1 were read" in reason
    _, _, reason = read_all("t.jsonl", '{"text": "a", "audience": ["staff"]}\n{"text": "b", "au\n')
    assert "so the audience is not known" in reason, "as the others name theirs"
    _, _, reason = read_all("t.jsonl", '{"text": "a"}\n{"text": "Of an audience: all"\n')
    assert "the audience" not in reason


def test_the_audience_below_a_row_that_is_broken_is_not_known() -> None:
    long = "x" * 1_000_001
    _, _, reason = read_all("t.csv", f"text,audience\na,staff\n{long},staff\nc,staff\n")
    assert "line 3: field larger" in reason and "so the audience is not known" in reason


def test_a_quote_without_end_is_told() -> None:
    (row,), (warning,), _ = read_all("t.csv", 'sep=,\nid,name,note\n1,a,"x\n2,b,y\n')
    assert (row.text, warning.code) == ("note: x\n2,b,y\n", "open_quote")
    assert "line 3" in warning.message


def test_lines_that_are_no_json_are_named_and_the_others_are_read() -> None:
    content = '{"id": 1, "text": "a"}\nbad\n\n[1]\n{"id": 2, "text": NaN}\n{"title": "only"}\n{"body": "c"}\n'
    found, _, reason = read_all("t.jsonl", content)
    assert [row.text for row in found] == ["a", "NaN", "only", "c"]
    assert reason == "lines 2, 4 are no JSON (JSONDecodeError); the other 4 were read"
    (row,), (warning,), _ = read_all("t.jsonl", '{"text": "a", "text": "b"}\n')
    assert (row.text, warning.code) == ("a\nb", "duplicate_columns")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("," * 1_000_000 + "\n1\n", ""), ("a," * 100_000 + "\n1\n", "100,001 columns, and the limit is 2,000"),
        ('"' * 3_000_000, "field larger than"), ('\\"' * 2_000_000, "field larger than"), (",\n" * 500_000, ""),
        ("text\n" + "," * 1_000_000 + "\n", ""), ("a;" + "'" * 3_000_000, "field larger than"),
    ],
)  # fmt: skip
def test_hostile_tables_end_with_a_clear_reason(content: str, said: str) -> None:
    found, _, reason = read_all("t.csv", content)
    assert found == []
    assert said in reason


@pytest.mark.parametrize("above", ["", "Report of May\n\n", "Report of May;\n;\n", "# Help\n"])
def test_a_header_that_names_nothing_but_the_audience_is_one(above: str) -> None:
    documents, _, _ = read_all("t.csv", f"{above};audience\nAlpha;premium\nBeta;\n")
    assert [document.text for document in documents] == ["column 1: Alpha", "column 1: Beta"]
    assert [split_audience(document.metadata, ["staff"])[1] for document in documents] == [["premium"], ["staff"]]


@pytest.mark.parametrize(
    "content",
    [
        "Report of May, 2024\n\ntext,audience\nAlpha,premium\n",
        "Report\n2024,,\ntext,info,audience\nAlpha,x,premium\n",
        "Export of 2024,12,3\ntext,info,audience\nAlpha,x,premium\n",
        "Report\n\ntext;audience\nAlpha, and so on;premium\nBeta\nGamma;so;on\n",
    ],
    ids=range(4),
)
def test_a_header_with_an_audience_is_not_taken_for_a_row(content: str) -> None:
    documents, _, reason = read_all("t.csv", content)
    public = [document.text for document in documents if not split_audience(document.metadata, [])[1]]
    assert public == [] and ("audience" in reason or documents)


def test_a_table_may_be_about_audiences() -> None:
    for content in ("term,meaning\naudience,Who reads a text.\n", "en,de\nhouse,Haus\naudience,Publikum\n"):
        documents, _, reason = read_all("t.csv", content)
        assert documents and not reason


@pytest.mark.parametrize("name", ["audience", "Audience", "AUDIENCE", " Audience "])
def test_the_audience_of_a_row_is_known_in_any_case(name: str) -> None:
    tables = {
        "t.csv": f"Question,Answer,{name}\nHow?,So.,premium\nWhy?,Because.,\n",
        "t.jsonl": f'{{"question": "How?", "answer": "So.", "{name}": ["premium"]}}\n'
        f'{{"question": "Why?", "answer": "Because.", "{name}": null}}\n',
    }
    for path, content in tables.items():
        documents = rows(content, path)
        assert [split_audience(document.metadata, ["staff"])[1] for document in documents] == [["premium"], ["staff"]]
        assert [document.text for document in documents] == ["So.", "Because."]


def test_a_column_of_the_audience_is_no_text_and_no_title() -> None:
    (document,) = rows("Colour,Audience\nred,premium\n")
    assert document.text == "Colour: red"
    documents, _, _ = read_all("t.csv", "text,Audience\nx,premium\n", mapping={"title": "Audience"})
    assert split_audience(documents[0].metadata, [])[1] == ["premium"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("t.csv", "text,audience,Audience\nx,premium,staff\n"),
        ("t.csv", "text,Audience,Audience\nx,premium,\n"),
        ("t.jsonl", '{"text": "x", "audience": ["premium"], "AUDIENCE": null}\n'),
        ("t.jsonl", '{"text": "x", "audience": ["premium"], "audience": null}\n'),
        ("t.csv", "text,Audience,note\nYes, you may,premium,n\n"),
    ],
)
def test_a_row_whose_audience_is_unclear_is_refused(path: str, content: str) -> None:
    documents, _, reason = read_all(path, content)
    assert not documents and "audience" in reason


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_a_stray_quote_makes_no_row_of_several(separator: str) -> None:
    table = 'id|text|note\n1|"Loud said he|a\n2|of it|"b"\n3|"Quiet" said she|c\n4|x|d\n'
    for path in ("t.tsv", "t.csv"):
        documents, warnings, reason = read_all(path, table.replace("|", separator))
        assert [document.text for document in documents] == ['"Loud said he', "of it", "Quiet said she", "x"], path
        assert [document.metadata["note"] for document in documents] == ["a", "b", "c", "d"]
        assert ([warning.code for warning in warnings], reason) == (["quotes_as_text"], "")


def test_a_quote_without_an_end_costs_no_rows() -> None:
    table = "id\ttext\n" + '1\t"a\n' + "".join(f"{number}\tb\n" for number in range(2, 500))
    documents, warnings, _ = read_all("t.tsv", table)
    assert len(documents) == 499 and [warning.code for warning in warnings] == ["quotes_as_text"]


@pytest.mark.parametrize("cell", ["a,\nb", "one\ntwo, three\nfour", "x\n\ny"])
def test_a_cell_of_several_lines_stays_one(cell: str) -> None:
    (document,) = rows(f'id,text\n1,"{cell}"\n')
    assert document.text == cell
    (document,) = rows(f'id\ttext\n1\t"{cell}"\n', "t.tsv")
    assert document.text == cell


def test_rows_that_a_quote_hides_are_told_and_never_public() -> None:
    inner = "".join(f"{number},b,premium\n" for number in range(2, 9))
    table = f'id,text,Audience\n1,"a\n{inner}9,c, d",premium\n'
    documents, _, reason = read_all("t.csv", table)
    assert not documents and "audience is not known" in reason
    _, warnings, _ = read_all("t.csv", table.replace("Audience", "note"))
    assert "merged_rows" in [warning.code for warning in warnings]


@pytest.mark.parametrize(
    "table",
    [
        'id,audience,text\n1,,"Open begins here\n2,premium,A secret\n3,premium,More of it\n',  # no end
        'id,audience,text\n1,,"Open\n2,premium,A secret\n3,premium,of five inch"\n4,,Last\n',
        'id,audience,text\n1,,"Open\n2,premium,"A, secret"\n',
        'id,text,audience\n1,"Secret, too,premium\n2,"Open text",\n',
        'text,audience\n"Secret,premium\nOpen",\n',
        'audience;text\n;"Open\nstaff;A secret"\n',
        'id\taudience\ttext\n1\t\t"Open\n2\tstaff\tA\tsecret\n3\tstaff\tend"\n',
    ],
)
def test_a_quote_publishes_no_row_of_another_audience(table: str) -> None:
    documents, _, reason = read_all("t.tsv" if "\t" in table else "t.csv", table)
    assert not any("ecret" in document.text for document in documents if not document.metadata.get("audience"))
    assert "audience is not known" in reason


@pytest.mark.parametrize(
    "cell",
    ["Dear customer,\nRefunds take 14 days, or 30 for partners, as said.\n\nYours, Kim", "a, b\nc, d", "Hello,\nyou"],
)
@pytest.mark.parametrize("columns", ["id,audience,text", "id,text,audience", "text,audience", "audience,text"])
def test_a_text_of_several_lines_keeps_its_audience(cell: str, columns: str) -> None:
    values = {"id": "1", "audience": "staff", "text": f'"{cell}"'}
    row = ",".join(values[column] for column in columns.split(","))
    (document,) = rows(f"{columns}\n{row}\n")
    assert (document.text, document.metadata["audience"]) == (cell, "staff")


def test_a_header_whose_quote_has_no_end_is_no_empty_table() -> None:
    documents, _, reason = read_all("t.csv", 'id,"text\n1,a\n2,b\n')
    assert not documents and "a quote in the header has no end" in reason


@pytest.mark.parametrize(
    ("above", "separator", "titles"),
    [
        ("Price list 2026\n", ";", ["Price list 2026"]),
        ("Price list 2026;;\nfrom May on;;\n;;\n", ";", ["from May on"]),
        ("Report\n\n", ",", ["Report"]), ("# exported on Monday\n", ",", ["# exported on Monday"]),
        ('"Price list\nof May",,\n', ",", ["of May"]), ("Price list\t\t\n", "\t", ["Price list"]),
    ],
)  # fmt: skip
def test_titles_above_the_header_are_told_and_no_header(above: str, separator: str, titles: list[str]) -> None:
    table = "Plan|Price|Audience\nFree|0|\nPro|9|premium\n".replace("|", separator)
    found, (warning,), _ = read_all("t.csv", above + table)
    assert [row.text for row in found] == ["Plan: Free\nPrice: 0", "Plan: Pro\nPrice: 9"]
    assert split_audience(found[1].metadata, [])[1] == ["premium"]
    assert warning.code == "rows_above_header" and all(title in warning.message for title in titles)


@pytest.mark.parametrize(
    ("content", "first"),
    [
        (",Basic,Pro\nPrice,9,19\nUsers,1,5\n", "column 1: Price\nBasic: 9\nPro: 19"),
        ("Full name,\nAnn,1\nBob,2\n", "Full name: Ann\ncolumn 2: 1"),
        ("Your question\nHow, when?\nWhy, then?\n", "Your question: How, when?"),
        ("Opening hours\nNine to five\n", "Opening hours: Nine to five"),
    ],
)
def test_a_header_of_few_names_is_a_header(content: str, first: str) -> None:
    documents, _, _ = read_all("t.csv", content)
    assert documents[0].text == first


@pytest.mark.parametrize(
    "rows",
    [
        "How do I pay?;By card, or invoice.\nWhen?;Soon\n",
        "101;Returns;Within 14 days of the delivery\n102;Fares;Two\n101;Returns;Within 14 days of the delivery\n",
    ],
)
def test_a_table_without_a_header_loses_no_row(rows: str) -> None:
    found, warnings, _ = read_all("t.csv", rows)
    lines = [[f"column {n}: {cell}" for n, cell in enumerate(row.split(";"), 1)] for row in rows.splitlines()]
    assert [document.text for document in found] == ["\n".join(line) for line in lines]
    assert [document.metadata["row"] for document in found] == [n + 1 for n in range(len(lines))]
    assert [warning.code for warning in warnings] == ["no_header"]


@pytest.mark.parametrize(
    "header",
    ["How content are you?,Would you come again?", "id,1,2", "Name,Nr. of the pos.", "2023,Sum of all the fares"],
)
def test_questions_and_numbers_may_name_columns(header: str) -> None:
    found, warnings, _ = read_all("t.csv", f"{header}\n{'7,' * header.count(',')}7\n")
    assert len(found) == 1 and not warnings


def test_a_header_that_is_repeated_is_no_row_and_told() -> None:
    table = "question,answer\nHow?,So.\nquestion,answer\nWhy?,Thus.\n"
    found, [warning], _ = read_all("t.csv", table)
    assert [row.text for row in found] == ["So.", "Thus."]
    assert (warning.code, "line 3" in warning.message) == ("repeated_header", True)


def test_a_space_before_a_quote_moves_no_cell() -> None:
    (row, _) = rows('id,text,note\n1, "a, b",x\n2, "c, d",y\n')
    assert (row.text, row.metadata["note"]) == ("a, b", "x")


def test_a_mapped_column_may_be_missing_in_the_first_row() -> None:
    mapping = {"text": "body", "title": "headline"}
    found, _, reason = read_all("a.csv", "headline,body\nSoon\nPay,By card.\n", mapping=mapping)
    assert [document.text for document in found] == ["Soon", "By card."] and not reason
    lines = '{"body": "Soon."}\n' * 3 + '{"body": "By card.", "headline": "Pay"}\nbroken\n'
    found, _, reason = read_all("a.jsonl", lines, mapping=mapping)
    assert [document.title for document in found] == ["", "", "", "Pay"] and "the other 4 were read" in reason


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.csv", "name,body\nSoon\n"),
        ("a.jsonl", '{"name": 1}\n{"body": 2}\n'),
        ("a.jsonl", '{"body": 2}\n' * 3000 + '{"headline": 3}\n'),
    ],
)
def test_a_mapped_column_that_no_row_has_is_an_error_that_names_those_there_are(path: str, content: str) -> None:
    found, _, reason = read_all(path, content, mapping={"text": "body", "title": "headline"})
    assert not found and reason.startswith("no column 'headline'; there are ") and "body" in reason
