"""Markdown that comes in pieces: blocks come early, once, and are what the whole text would give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.markdown import ALL_SOURCES, render
from common.markdown_stream import Block, MarkdownStream, finished_chars
from tests.calls import calls_of

ANSWER = """Intro with **bold** [1].

- one

- two
  more

> quoted

```py
a = 1

b = 2
```

| a | b |
|---|---|
| 1 | 2 |

Last *line*"""


def streamed(text: str, size: int) -> list[Block]:
    stream = MarkdownStream()
    blocks = [stream.add(text[at : at + size]) for at in range(0, len(text), size)]
    return [block for block in [*blocks, stream.end()] if block]


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("one", ""),
        ("one\n", ""),
        ("one\n\n", "one\n\n"),
        ("one\n\ntwo", "one\n\n"),
        ("one\r\n\r\ntwo", "one\r\n\r\n"),
        ("# one\ntwo\n", "# one\n"),
        ("- one\n\n", ""),  # a second item may follow
        ("- one\n\n1", ""),  # as may another list
        ("- one\n\ntwo\n", "- one\n\n"),
        ("```\none\n\n", ""),
        ("```\none\n```\n\n", "```\none\n```\n\n"),
        ("    code\n\n", ""),
        ("one\n\n[a]: /b\n", "one\n\n"),  # a title may follow in the next line
        ("> one\n\n> two", "> one\n\n"),
    ],
)
def test_what_nothing_can_change_is_finished(text: str, finished: str) -> None:
    assert text[: finished_chars(text)] == finished


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_blocks_are_the_whole(size: int) -> None:
    blocks = streamed(ANSWER, size)
    assert "".join(block.html for block in blocks) == render(ANSWER, ALL_SOURCES)
    assert blocks[-1].length == len(ANSWER)
    if size < 10:
        assert len(blocks) == 6
        assert blocks[0] == Block(html=render("Intro with **bold** [1].", {1}), length=26)


def test_the_length_is_counted_as_browsers_count() -> None:
    assert [block.length for block in streamed("a 😀\n\nb", 1)] == [6, 7]


def test_a_definition_reaches_what_follows() -> None:
    blocks = streamed("one\n\n[a]: https://a.example\n\n[a]\n\n[a]", 1)
    assert sum('href="https://a.example"' in block.html for block in blocks) == 2


LINES = [
    "", "", "word", "# head", "===", "---", "- item", "  - inner", "1. first", "2. second", "> quote", "```", "~~~",
    "    code", "a | b", "|---|---|", "| `x` | y |", "**bold *both***", "\ttab", "* * *", "   three", "word [1]", "+",
    "1", ">", "- ",
]  # fmt: skip
HOSTILE = ["a\n", "- a\n", "- a\n\n", "a\n\n", "> a\n", "```\n\n", "\n", "[", "# a\n", "[a]: b\n\n"]


@given(st.lists(st.sampled_from(LINES), max_size=25), st.integers(1, 12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_blocks_are_the_whole(lines: list[str], size: int, end: str) -> None:
    """Without link definitions, which reach back to what is already rendered."""
    text = end.join(lines)
    assert "".join(block.html for block in streamed(text, size)) == render(text, ALL_SOURCES)


@pytest.mark.parametrize(
    "piece", ["a\n", "- a\n", "- a\n\n", "a\n\n", "> a\n", "```\n\n", "\n", "[", "# a\n", "[a]: b\n\n"]
)
def test_a_stream_takes_linear_work(piece: str) -> None:
    def work_for(chars: int) -> int:
        return calls_of(lambda: streamed((piece * chars)[:chars], 5))

    assert work_for(8_000) < 6 * work_for(2_000)
