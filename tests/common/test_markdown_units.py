"""The units of a Markdown text: where they stand, how they read, and what they bring from around them."""

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.markdown_units import Unit, UnitKind, units
from tests.calls import calls_of

ARTICLE = """# Reset *your* password

Open **Settings**. Then click [Security. Now](https://a.example/b "x y"). See `settings.py. Or` e.g. v1.2.3. [1] Dr.
Smith said "Go away. Now." He left.

## By hand

To reset it:

1. Open **Settings**. It is on top.

   ```sh
   npm login
   ```
2. Click *Reset*:
   - in the app
   - on the web
3. Done.

> Note. This is
> quoted &amp; good.

| Code | Meaning |
|------|---------|
| `E-4021` | Disk **full**. Try again. |
| E-2 | x\\|y |
"""


def shown(text: str) -> list[tuple[str, str]]:
    return [(unit.kind.value, unit.text) for unit in units(text)]


def one(text: str, wanted: str) -> Unit:
    return next(unit for unit in units(text) if wanted in unit.text)


def test_the_units_of_an_article_in_order() -> None:
    assert shown(ARTICLE) == [
        ("heading", "Reset your password"),
        ("sentence", "Open Settings."),
        ("sentence", "Then click Security. Now."),
        ("sentence", "See settings.py. Or e.g. v1.2.3. [1]"),
        ("sentence", 'Dr. Smith said "Go away. Now."'),
        ("sentence", "He left."),
        ("heading", "By hand"),
        ("sentence", "To reset it:"),
        ("item", "Open Settings."),
        ("item", "It is on top."),
        ("code", "npm login"),
        ("item", "Click Reset:"),
        ("item", "in the app"),
        ("item", "on the web"),
        ("item", "Done."),
        ("sentence", "Note."),
        ("sentence", "This is quoted & good."),
        ("row", "E-4021 | Disk full. Try again."),
        ("row", "E-2 | x|y"),
    ]


def test_the_place_of_a_unit_has_its_markup() -> None:
    sources = [ARTICLE[unit.start : unit.end] for unit in units(ARTICLE)]
    assert sources[0] == "Reset *your* password"
    assert sources[1:4] == [
        "Open **Settings**.",
        'Then click [Security. Now](https://a.example/b "x y").',
        "See `settings.py. Or` e.g. v1.2.3. [1]",
    ]
    assert sources[4] == 'Dr.\nSmith said "Go away. Now."'
    assert sources[16] == "This is\n> quoted &amp; good."
    assert sources[17] == "| `E-4021` | Disk **full**. Try again. |"


def test_an_item_knows_its_list_and_is_whole() -> None:
    step, code, nested = one(ARTICLE, "It is on top"), one(ARTICLE, "npm login"), one(ARTICLE, "on the web")
    assert ARTICLE[slice(*step.block)].startswith("1. Open **Settings**. It is on top.\n\n   ```sh")
    assert code.block == step.block and code.kind is UnitKind.CODE
    assert step.lead == "To reset it:" and step.marker == "" and one(ARTICLE, "Done.").marker == "3."
    assert nested.parents == ("Click Reset:",)
    assert ARTICLE[slice(*nested.block)] == "- on the web"
    assert nested.alone == "To reset it: Click Reset: on the web"
    assert nested.group == step.group
    assert ARTICLE[slice(*step.group)].startswith("1. Open") and ARTICLE[slice(*step.group)].endswith("3. Done.")


def test_a_row_knows_its_header_and_its_table() -> None:
    row = one(ARTICLE, "E-4021")
    assert row.header == ("Code", "Meaning") and row.cells == ("E-4021", "Disk full. Try again.")
    assert row.alone == "Code: E-4021; Meaning: Disk full. Try again."
    assert ARTICLE[slice(*row.group)].startswith("| Code | Meaning |")


def test_a_unit_knows_the_headings_above_it() -> None:
    assert one(ARTICLE, "He left").headings == ("Reset your password",)
    assert one(ARTICLE, "By hand").headings == ("Reset your password",)
    assert one(ARTICLE, "Done").headings == ("Reset your password", "By hand")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "- a\n- b\n\n  Now come. Then go.",
            [("item", "a"), ("item", "b"), ("item", "Now come."), ("item", "Then go.")],
        ),
        ("Line one  \nLine two", [("sentence", "Line one"), ("sentence", "Line two")]),
        ("Part\n---\n\n***\n\nx", [("heading", "Part"), ("sentence", "x")]),
        ("See [the docs][d]. Go.\n\n[d]: https://a.example", [("sentence", "See the docs."), ("sentence", "Go.")]),
        ("![A chart. Big](i.png) shows it.", [("sentence", "A chart. Big shows it.")]),
        ("<b>raw</b> html. More.", [("sentence", "<b>raw</b> html."), ("sentence", "More.")]),
        ("| | |\n|--|--|\n| a |\n| | |", [("row", "a | ")]),
        ("- > quoted\n- - deep", [("item", "quoted"), ("item", "deep")]),
        ("    indented\n    code", [("code", "indented\ncode")]),
        ("**第一句。** 第二句。", [("sentence", "第一句。"), ("sentence", "第二句。")]),
        ("a\r\n\r\nb\rc", [("sentence", "a"), ("sentence", "b c")]),
        ("", []),
    ],
)
def test_other_blocks(text: str, expected: list[tuple[str, str]]) -> None:
    assert shown(text) == expected


MARKUP = [
    "# a", "- b. C", "  1. d", "> e", "| f | g |", "|--|--|", "```", "`h. i`", "**j**", "[k](l)", "[1]", 
    "&amp;", "\\*", "\n", "\n\n", " ", "\t", "\r\n", "。", "“", "!", "m.", "\x00", "\ud800", "é", "😀", "    ",
]  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.sampled_from(MARKUP)).map("".join)))
def test_units_stand_in_the_text_in_order_and_show_what_stands_there(text: str) -> None:
    check(text)


def test_naughty_strings_have_units(shared_data: Any) -> None:
    for text in json.loads((shared_data("naughty_strings") / "blns.json").read_text()):
        check(text)
        check(f"- {text}\n\n| a |\n|--|\n| {text} |")


def test_every_example_of_commonmark_has_units(shared_data: Any) -> None:
    check((shared_data("commonmark") / "spec.txt").read_text())


@pytest.mark.parametrize(
    "piece", ["- a b. c\n", "`` ` ", "“a. B” ", "**a ", "[a](b) ", "word. Word ", "> ", "[", "| a | b |\n|--|--|\n"]
)
def test_the_work_grows_with_the_length(piece: str) -> None:
    short, long = (calls_of(partial(units, piece * size)) for size in (2_000, 8_000))
    assert long < 6 * short


def check(text: str) -> None:
    end = 0
    for unit in units(text):
        assert end <= unit.start < unit.end <= len(text)
        assert unit.block[0] <= unit.start and unit.end <= unit.block[1]
        assert unit.group[0] <= unit.block[0] and unit.block[1] <= unit.group[1]
        assert unit.text
        if unit.kind in (UnitKind.SENTENCE, UnitKind.ITEM):
            shown_start = next(char for char in unit.text if not char.isspace())
            assert shown_start in text[unit.start : unit.end] or "&" in text or "\x00" in text or "\ud800" in text
        end = unit.end
