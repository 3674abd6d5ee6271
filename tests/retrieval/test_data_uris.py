"""A picture that is written as a data URI is no text; its alternative text is."""

import base64
import random
import textwrap
from typing import Any

import pytest

from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.processing import process
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.indexing.document_input import IndexResult
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk, Document, SourcedObject
from retrieval.readers import Empty, FetchedFile, ReadDocument, ReadWarning, read
from tests.factories import TicketFactory
from tests.retrieval.model_sources import declare_tickets, process_events, texts
from tests.retrieval.reading import read_all

BLOB = base64.b64encode(random.Random(7).randbytes(60_000)).decode()
URI = f"data:image/png;base64,{BLOB}"
WRAPPED = "data:image/png;base64," + "\n".join(textwrap.wrap(BLOB, 76))


def text_of(path: str, content: str) -> tuple[str, list[str]]:
    found = list(read(FetchedFile(path=path, content=content.encode())))
    (document,) = (item for item in found if isinstance(item, ReadDocument))
    return document.text, [item.code for item in found if isinstance(item, ReadWarning)]


@pytest.mark.parametrize("path", ["a.md", "a.mdx", "a.txt"])
@pytest.mark.parametrize(
    ("content", "left"),
    [
        (f"Show it.\n\n![the map]({URI})\n\nGo.", "Show it.\n\nthe map\n\nGo."),
        (f"Show it: ![the map](<{URI}> 'Of the pier').", "Show it: the map."),
        (f"Show it: ![]({URI} 'Of the pier').", "Show it: Of the pier."),
        (f"Show it: ![the map]({WRAPPED}) and go.", "Show it: the map and go."),
        (f"See ![the map][1].\n\n[1]: {URI}\n\nGo.", "See the map.\n\n\nGo."),
        (f"See ![Map  A][] and ![b][x].\n\n[map a]: <{URI}> 'Of the pier'\n\nGo.", "See Map  A and ![b][x].\n\n\nGo."),
        (f"Show it: ![the map](data:image/png;name=my%20map(1).png;base64,{BLOB}).", "Show it: the map."),
        (f'Show it: ![the map](data:image/png;name="my map.png";base64,{BLOB}).', "Show it: the map."),
        (f"Show it: ![the map](data:image/png;base64, {BLOB}).", "Show it: the map."),
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


@pytest.mark.django_db
@pytest.mark.usefixtures("embedder")
def test_a_picture_is_no_text_however_the_document_came(admin_client: Any) -> None:
    text = f"Show it.\n\n![the map]({URI})\n\nGo."
    index_document("docs", "code", text)
    (outcome,) = next(index_in_bulk("docs", [[Draft(entity_id="bulk", text=text)]]))
    assert isinstance(outcome, IndexResult)
    body = {"index_name": "docs", "entity_id": "api", "text": text}
    assert admin_client.post("/api/documents/", body, content_type="application/json").status_code < 300
    event = AxiomEvent(event_type="doc_updated", entity_id="event", payload={"index": "docs", "content": text})
    process(record_event(event, Event.Source.API)[0].pk)
    assert set(Document.objects.values_list("entity_id", "text")) == {
        (name, "Show it.\n\nthe map\n\nGo.") for name in ("code", "bulk", "api", "event")
    }
    assert not Chunk.objects.filter(text__contains="base64").exists()
    body["text"] = f"![]({URI})"
    refused = admin_client.post("/api/documents/", body, content_type="application/json")
    assert refused.status_code == 400 and "nothing but embedded" in refused.json()["error"]["message"]


@pytest.mark.django_db
@pytest.mark.usefixtures("embedder")
def test_what_an_object_embeds_is_told() -> None:
    declare_tickets()
    TicketFactory(note=f"Leaks. [plan](data:application/pdf;base64,{BLOB})")
    process_events()
    assert list(texts().values()) == ["Leaks. [plan]()"]
    assert SourcedObject.objects.get().warnings[0]["code"] == "data_uris_left_out"


@pytest.mark.parametrize(
    "drawing",
    [
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox=\"0 0 8 8\"><text>zz</text></svg>",
        "%3Csvg xmlns='http://www.w3.org/2000/svg'%3E%3Ctext%3Ezz%3C/text%3E%3C/svg%3E",
    ],
)
@pytest.mark.parametrize("path", ["a.md", "a.txt"])
def test_a_drawing_that_is_written_as_it_is_is_no_text(path: str, drawing: str) -> None:
    (found,), _, _ = read_all(path, f"Open ![the gate](data:image/svg+xml;utf8,{drawing}) and wait.")
    assert found.text == "Open the gate and wait."
    unclosed = "![x](data:image/svg+xml,<svg " * 30_000
    assert not read_all(path, unclosed)[2]
