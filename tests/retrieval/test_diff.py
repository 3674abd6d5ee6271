"""A difference can be read: which lines, which words, which values."""

import random

from hypothesis import given
from hypothesis import strategies as st

from retrieval.indexing.diff import Side, diff_texts, diff_values


def text_of(side: Side | None) -> str:
    return "".join(text for text, _ in side.parts) if side else ""


def test_a_changed_word_is_marked_in_its_line() -> None:
    before = "\n".join(["# Birds", "", "Penguins live in the south.", *["Gulls."] * 20, "End."])
    rows = diff_texts(before, before.replace("the south", "the zoo"))
    changed = [row for row in rows if row.is_changed]
    assert len(changed) == 1
    assert changed[0].before == Side(number=3, parts=[("Penguins live in the ", False), ("south", True), (".", False)])
    assert changed[0].after == Side(number=3, parts=[("Penguins live in the ", False), ("zoo", True), (".", False)])
    # Two lines before the change, three after it; the other seventeen Gulls and the End are folded.
    assert [row.hidden for row in rows] == [0, 0, 0, 0, 0, 0, 18]


def test_added_and_removed_lines_stand_alone() -> None:
    rows = diff_texts("one\ntwo\nthree", "one\nthree\nfour")
    assert [(text_of(row.before), text_of(row.after)) for row in rows if row.is_changed] == [("two", ""), ("", "four")]


def test_the_same_text_has_no_rows() -> None:
    assert diff_texts("a\nb", "a\nb") == []


def test_values_that_differ_are_named() -> None:
    found = diff_values({"a": 1, "b": None, "c": [1]}, {"a": 1, "c": [2], "d": "x"})
    assert found == [("b", None, None), ("c", [1], [2]), ("d", None, "x")]


def test_what_is_too_different_to_align_is_shown_at_once() -> None:
    """Aligning 100,000 lines with 100,000 others would take the square of that."""
    lines = [str(n % 150) for n in range(100_000)]
    random.Random(1).shuffle(lines)
    rows = diff_texts("\n".join(lines), "\n".join(reversed(lines)))
    assert len([row for row in rows if row.is_changed]) > 90_000
    words = " ".join(lines)
    (row,) = diff_texts(words, " ".join(reversed(lines)))
    assert row.is_changed


texts = st.lists(st.sampled_from(["a b", "a c", "", "x"]), max_size=30).map("\n".join)


@given(texts, texts)
def test_no_line_is_lost(before: str, after: str) -> None:
    rows = diff_texts(before, after)
    shown = [text_of(row.before) for row in rows if row.before]
    hidden = sum(row.hidden for row in rows)
    assert not rows or len(shown) + hidden == len(before.splitlines())
    assert all(text in before.splitlines() for text in shown)
