"""A picture that is written as a data URI is no text; its alternative text is."""

import base64
import random
import textwrap

import pytest

from retrieval.readers import Empty, FetchedFile, ReadDocument, ReadWarning, read

BLOB = base64.b64encode(random.Random(7).randbytes(60_000)).decode()
URI = f"data:image/png;base64,{BLOB}"
WRAPPED = "data:image/png;base64," + "\n".join(textwrap.wrap(BLOB, 76))


def text_of(path: str, content: str) -> tuple[str, list[str]]:
    found = list(read(FetchedFile(path=path, content=content.encode())))
    (document,) = (each for each in found if isinstance(each, ReadDocument))
    return document.text, [each.code for each in found if isinstance(each, ReadWarning)]


@pytest.mark.parametrize("path", ["a.md", "a.mdx", "a.txt"])
@pytest.mark.parametrize(
    ("content", "left"),
    [
        (f"Show it.\n\n![the map]({URI})\n\nGo.", "Show it.\n\nthe map\n\nGo."),
        (f"Show it: ![the map](<{URI}> 'Of the pier').", "Show it: the map."),
        (f"Show it: ![]({URI} 'Of the pier').", "Show it: Of the pier."),
        (f"Show it: ![the map]({WRAPPED}) and go.", "Show it: the map and go."),
        (f"See ![the map][1].\n\n[1]: {URI}\n\nGo.", "See ![the map][1].\n\n\nGo."),
        ("Write `data:image/gif;base64,R0lGODlhAQABAIAAAP` in CSS.", None),
        ("The metadata:image/x, and data: these.", None),
    ],
)
def test_a_picture_is_its_alternative_text(path: str, content: str, left: str | None) -> None:
    assert text_of(path, content) == (content if left is None else left, [])


def test_a_picture_in_html_is_its_alternative_text() -> None:
    page = f'<p>Show it. <img src="{URI}" alt="the map"> Go.</p><p style="background: url({URI})">End.</p>'
    assert text_of("a.html", page) == ("Show it. the map Go.\n\nEnd.", [])
    tag, _ = text_of("a.md", f'Show it. <img src="{URI}" alt="the map"> Go.')
    assert "the map" in tag and len(tag) < 60
    assert text_of("a.mdx", f'Show it. <img src="{URI}" alt="the map" /> Go.') == ("Show it. the map Go.", [])


def test_another_embedded_file_is_told() -> None:
    text, codes = text_of("a.md", f"[terms](data:application/pdf;base64,{BLOB}) apply.")
    assert (text, codes) == ("[terms]() apply.", ["data_uris_left_out"])


def test_a_giant_word_is_told_and_stays() -> None:
    assert text_of("a.md", f"The key is {BLOB} and no other.") == (
        f"The key is {BLOB} and no other.", ["giant_words"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "content"),
    [("a.md", f"![]({URI})"), ("a.html", f'<p><img src="{URI}"></p>'), ("a.csv", f'id,text\n1,"![]({URI})"\n')],
)
def test_a_file_of_nothing_but_pictures_is_empty(path: str, content: str) -> None:
    with pytest.raises(Empty, match="empty"):
        text_of(path, content)


def test_a_row_of_nothing_but_a_picture_costs_the_others_nothing() -> None:
    rows = f'id,text\n1,"![]({URI})"\n2,By card.\n'
    assert text_of("a.csv", rows) == ("By card.", ["documents_without_text"])
