"""Each cell of a table on a page stays in its column, and no text in a table is lost."""

import pytest

from tests.retrieval.test_html import PROSE, text_of


def table_of(content: str) -> list[str]:
    return text_of(f"<p>Prices:</p><table>{content}</table>").split("\n")[2:]


def test_merged_cells_stay_in_their_columns() -> None:
    assert table_of(
        "<thead><tr><th rowspan=2>Route</th><th colspan=2>Price</th></tr><tr><th>Adult</th><th>Child</th></tr></thead>"
        "<tr><td rowspan=2>Norway</td><td>9</td><td>4</td></tr><tr><td>8</td><td>3</td></tr>"
        "<tr><td>Iceland</td><td colspan=2>free</td></tr><tr><td colspan=3>In summer</td></tr>"
    ) == [
        "| Route | Price Adult | Price Child |", "| --- | --- | --- |", "| Norway | 9 | 4 |", "| Norway | 8 | 3 |",
        "| Iceland | free | free |", "| In summer |  |  |",
    ]  # fmt: skip


def test_what_is_in_a_cell_does_not_break_the_table() -> None:
    assert table_of(
        "<tr><th>Sign</th><th>Means</th></tr><tr><td>a|b</td><td><code>x | y</code></td></tr>"
        "<tr><td>one<br>two</td><td><p>p</p><ul><li>q</li><li>r</li></ul></td></tr>"
        "<tr><td><pre>s\nt</pre></td><td><table><tr><td>u</td><td>v</td></tr><tr><td>w</td></tr></table></td></tr>"
        "<tr><td>short</td></tr>"
    ) == [
        "| Sign | Means |", "| --- | --- |", "| a\\|b | `x \\| y` |", "| one two | p q; r |", "| `s t` | u v w |",
        "| short |  |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("<pre>x = 1</pre>", "`x = 1`"), ("<h4>One</h4>", "One"),
        ("<table><tr><td>Min</td><td>5</td></tr><tr><td>Max</td><td>9</td></tr></table>", "Min 5 Max 9"),
    ],
)  # fmt: skip
def test_a_block_in_a_cell_keeps_the_columns_of_a_table_without_a_head(cell: str, read: str) -> None:
    assert table_of(
        "<tr><td>Plan</td><td>Seats</td><td>Price</td></tr><tr><td rowspan=2>Free</td><td>1</td><td>0</td></tr>"
        f"<tr><td>2</td><td>{cell}</td></tr>"
    ) == ["| Plan | Seats | Price |", "| --- | --- | --- |", "| Free | 1 | 0 |", f"| Free | 2 | {read} |"]


def test_commands_and_headings_in_cells_keep_the_columns() -> None:
    rows = "".join(f"<tr><td><pre>fab {name}</pre></td><td>Does {name}</td></tr>" for name in ("up", "down"))
    assert table_of(f"<tr><td>Command</td><td>Does</td></tr>{rows}")[2:] == [
        "| `fab up` | Does up |", "| `fab down` | Does down |",
    ]  # fmt: skip
    assert table_of("<tr><td><h4>Free</h4></td><td><h4>Pro</h4></td></tr><tr><td>0</td><td>9</td></tr>") == [
        "| Free | Pro |", "| --- | --- |", "| 0 | 9 |",
    ]  # fmt: skip


def test_a_table_of_several_rows_that_arranges_the_page_is_no_table() -> None:
    text = text_of(
        "<table><tr><td>Shop</td><td>Tel. 5</td></tr>"
        f"<tr><td>Menu</td><td><h1>Shipping</h1><p>{PROSE * 4}</p></td></tr></table>"
    )
    assert "\n# Shipping\n\nParcels" in text and "|" not in text


def test_a_table_that_arranges_the_page_is_no_table() -> None:
    text = text_of(f"<table><tr><td><h1>Shipping</h1>{PROSE}</td><td><h2>Fees</h2><p>Nine.</p></td></tr></table>")
    assert text.startswith("# Shipping\n\nParcels") and text.endswith("## Fees\n\nNine.")


@pytest.mark.parametrize(
    ("rows", "above"),
    [
        ("<form action=a><tr><th>Plan</th><th>Price</th></tr><tr><td>Free</td><td>0</td></tr></form>", []),
        ("<tr><form><th>Plan</th><th>Price</th></form></tr><center><tr><td>Free</td><td>0</td></tr></center>", []),
        ("<th>Plan<th>Price<tr><td>Free<td>0", []),
        ("<tr><th>Plan</th><th>Price</th></tr>In crowns.<div>Without tax.</div><tr><td>Free</td><td>0</td></tr>",
         ["In crowns.", "", "Without tax.", ""]),
    ],
)  # fmt: skip
def test_a_table_whose_tags_are_misplaced_keeps_its_text(rows: str, above: list[str]) -> None:
    assert table_of(rows) == [*above, "| Plan | Price |", "| --- | --- |", "| Free | 0 |"]


def test_no_cell_reaches_beyond_its_group_of_rows() -> None:
    head = "<tr><th rowspan=2>Route</th><th>Adult</th></tr>"
    norway = "<tr><td rowspan=0>Norway</td><td>9</td></tr><tr><td>8</td></tr>"
    assert table_of(
        f"<thead>{head}</thead><tbody>{norway}</tbody><tbody><tr><td rowspan=99>Iceland</td><td>4</td></tr></tbody>"
        "<thead><tr><th>Boat</th><th>Fee</th></tr></thead><tbody><tr><td>Oars</td><td>2</td></tr></tbody>"
    ) == [
        "| Route | Adult |", "| --- | --- |", "| Norway | 9 |", "| Norway | 8 |", "| Iceland | 4 |", "| Boat | Fee |",
        "| Oars | 2 |",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "icon",
    ["<svg aria-label='Included'><path/></svg>", "<svg role=img><title>Included</title></svg>",
     "<i class=check aria-label=Included></i>", "<img src=a title=Included>"],
)  # fmt: skip
def test_a_cell_says_what_its_icon_says(icon: str) -> None:
    rows = (
        f"<tr><th>Feature</th><th>Pro</th></tr><tr><td>Logs</td><td>{icon}</td></tr><tr><td>{icon} A</td><td></td></tr>"
    )
    assert table_of(rows)[2:] == ["| Logs | Included |", "| A |  |"]
