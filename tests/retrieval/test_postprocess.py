"""What happens to ranked hits: twins collapse, neighbours join, a reranker reads again."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from retrieval import rerankers
from retrieval.errors import RerankerUnavailable
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk
from retrieval.search.execute import search_sync

pytestmark = pytest.mark.django_db

PAGE = (
    "# Exports\n\nAn export holds every project of a workspace with its boards, cards, labels, comments and files. "
    "It is ready within the hour, and the link to it stays in the mail for seven days. Ask the owner for another."
)


def test_twins_collapse_and_are_named(put: Any) -> None:
    put("first", PAGE)
    put("mirror", PAGE.replace("seven days. Ask", "seven\u00a0days; Ask").replace("within", "WITHIN"))
    put("other", "# Imports\n\nAn import reads the boards of another service.")
    hits = search_sync("docs", "how long is the export link there", 5).hits
    assert {hit.document_id for hit in hits} in ({"first", "other"}, {"mirror", "other"})
    assert {hits[0].document_id, *hits[0].duplicates} == {"first", "mirror"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7 days", "14 days"), ("in Norway", "in Sweden"), ("can be read", "cannot be read"), ("C++", "C#"),
        ("before", "after"), ("enable", "disable"), ("yes", "no"), ("v2.3.1", "v2.31"), ("5 MB", "5 GB"), ("+5", "-5"),
        ("-v", "-V"), ("US", "us"), ("5'", '5"'), ("$5", "\u20ac5"), ("A and not B", "not A and B"),
        ("public", "private"), ("<", ">"), ("x = y", "x != y"), ("C", "C++"), ("useState", "UseState"),
        ("`git add` .", "`git add`"), ("cd .", "cd .."), ("press ;", "press :"), ("src/. x", "src/.. x"),
    ],
)  # fmt: skip
def test_another_word_or_sign_is_another_answer(put: Any, one: str, other: str) -> None:
    put("old", f"{PAGE} Last of all: {one} is meant.")
    put("new", f"{PAGE} Last of all: {other} is meant.")
    hits = search_sync("docs", "how long is the export link there", 5).hits
    assert {hit.document_id for hit in hits} == {"old", "new"}


def test_the_same_answer_to_another_question_is_another_answer() -> None:
    for place in ("Norway", "Sweden"):
        index_document("docs", place, "Yes, within 14 days.", title=f"Can I return from {place}?")
    hits = search_sync("docs", "can I return from Norway", 5).hits
    assert {hit.title for hit in hits} == {"Can I return from Norway?", "Can I return from Sweden?"}
    index_document("docs", "mirror", "Yes, within 14 days.", title="Can I return from Norway?")
    assert len(search_sync("docs", "can I return from Norway", 5).hits) == 2


def test_the_same_text_below_the_same_heading_of_two_pages_is_one_answer() -> None:
    for name in ("install", "update"):
        index_document("docs", name, "## Options\n\nWith `--global` it works on all packages.", title=f"npm {name}")
    assert len(search_sync("docs", "global packages", 5).hits) == 1


def test_the_same_text_under_another_heading_is_another_answer(put: Any) -> None:
    filler = "The files of the project are written into one archive, which the browser then loads. " * 30
    steps = "Open the settings of the workspace and choose the archive. " * 30
    put("guide", f"# Guide\n\n## Windows\n\n{filler}\n\n{steps}\n\n## Linux\n\n{filler.upper()}\n\n{steps}")
    hits = search_sync("docs", "settings of the workspace", 50).hits
    assert {hit.heading_path for hit in hits if "settings" in hit.content} == {"Windows", "Linux"}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("“Open” the  file\u2014now\u2026", '"Open" the\nfile-now...'),
        ("It can\u2019t be.", "It can't be"),
        ("Reset Your password;", "RESET your password"),
        ("caf\u00e9", "cafe\u0301"),
        ("pass\u00adword", "password"),
    ],
)
def test_typography_is_no_difference(put: Any, text: str, same: str) -> None:
    put("one", f"{PAGE} {text}")
    put("other", f"{PAGE} {same}")
    (hit,) = search_sync("docs", "how long is the export link there", 5).hits
    assert {hit.document_id, *hit.duplicates} == {"one", "other"}


def test_what_twins_leave_short_is_filled_from_deeper(put: Any) -> None:
    for number in range(40):
        put(f"mirror-{number:02}", PAGE)
    for number in range(3):
        put(f"far-{number}", f"# Weather {number}\n\nChapter {number}: the harbour is calm.")
    record = search_sync("docs", "how long is the export link there", 4)
    assert len(record.hits) == 4
    assert len(record.hits[0].duplicates) == 39
    assert "short" not in record.flags


def long_text(words: str, sections: int) -> str:
    parts = [
        f"## Part {n}\n\n" + f"{words} in part {n}, told at length and {n} times over. " * 12 for n in range(sections)
    ]
    return "# Guide\n\n" + "\n\n".join(parts)


def test_a_document_gives_at_most_so_many_hits(put: Any) -> None:
    put("long", long_text("How to export a board", 70))
    put("short", "# Weather\n\nThe harbour is calm.")
    assert {hit.document_id for hit in search_sync("docs", "export a board", 5).hits} == {"long"}
    hits = search_sync("docs", "export a board", 2, max_per_document=1).hits
    assert [hit.document_id for hit in hits] == ["long", "short"]
    record = search_sync("docs", "export a board", 5, max_per_document=2)
    assert [hit.document_id for hit in record.hits] == ["long", "long", "short"]
    assert record.flags == ("short",)


def test_neighbours_join_a_hit_and_nothing_stands_twice(put: Any) -> None:
    put("long", long_text("How to export a board", 6))
    texts = dict(Chunk.objects.values_list("position", "text"))
    plain = search_sync("docs", "part 3", 1).hits[0]
    joined = search_sync("docs", "part 3", 1, expand=1).hits[0]
    assert joined.chunk_id == plain.chunk_id
    for position in range(plain.position - 1, plain.position + 2):
        assert texts.get(position, "").strip() in joined.content
    everything = search_sync("docs", "export a board", 50, expand=5).hits
    assert len(everything) < len(texts)
    for position, text in texts.items():
        assert any(text.strip() in hit.content for hit in everything), position


class Backwards:
    """A reranker that likes the longest text best."""

    def __init__(self, model: str) -> None:
        self.model = model

    def scores(self, query: str, texts: list[str]) -> list[float]:
        return [float(len(text)) for text in texts]


class Broken(Backwards):
    def scores(self, query: str, texts: list[str]) -> list[float]:
        raise ZeroDivisionError


class Wrong(Backwards):
    def scores(self, query: str, texts: list[str]) -> list[float]:
        return [1.0]


class Hanging(Backwards):
    awaken = threading.Event()

    def scores(self, query: str, texts: list[str]) -> list[float]:
        self.awaken.wait(30)
        return [0.0] * len(texts)


class Missing(Backwards):
    def __init__(self, model: str) -> None:
        raise RerankerUnavailable("not installed")


@pytest.fixture
def reranker(settings: Any, put: Any) -> Iterator[Any]:
    for number in range(8):
        put(f"doc-{number}", f"# Exports {number}\n\nAn export holds every board" + f" and file {number}" * number)

    def use(backend: type) -> None:
        settings.FABRA_RERANK_MODEL, settings.FABRA_RERANKER = "a-model", f"{__name__}.{backend.__name__}"
        settings.FABRA_RERANK_TIMEOUT = 0.2 if backend is Hanging else 30.0

    Hanging.awaken.clear()
    yield use
    Hanging.awaken.set()
    for thread in threading.enumerate():
        if thread.name == "rerank":
            thread.join()


def test_a_reranker_reads_more_than_was_asked_for(reranker: Any) -> None:
    reranker(Backwards)
    record = search_sync("docs", "export", 3, rerank=True)
    assert [hit.document_id for hit in record.hits] == ["doc-7", "doc-6", "doc-5"]
    assert record.hits[0].rerank_score == len(record.hits[0].content)
    assert record.flags == ()


@pytest.mark.parametrize("backend", [Broken, Wrong, Missing, Hanging])
def test_without_its_answer_the_ranking_stands_and_says_so(reranker: Any, backend: type) -> None:
    reranker(backend)
    record = search_sync("docs", "export", 3, rerank=True)
    assert record.flags == ("rerank_unavailable",)
    assert record.hits == search_sync("docs", "export", 3).hits


def test_a_reranker_that_hangs_takes_few_threads(reranker: Any) -> None:
    reranker(Hanging)
    for _ in range(6):
        assert search_sync("docs", "export", 3, rerank=True).flags == ("rerank_unavailable",)
    assert sum(thread.name == "rerank" for thread in threading.enumerate()) == 4


def test_the_local_reranker_says_what_is_missing(settings: Any, tmp_path: Any) -> None:
    settings.FABRA_RERANK_MODEL, settings.FABRA_DATA_DIR = "Xenova/ms-marco-MiniLM-L-6-v2", tmp_path
    with pytest.raises(RerankerUnavailable, match="not installed"):
        rerankers.get_reranker()


@pytest.mark.parametrize(
    "options", [{"mode": "best"}, {"fusion": "sum"}, {"lexical_weight": -1}, {"lexical_weight": float("nan")},
                {"max_per_document": 0}, {"expand": 6}, {"expand": True}, {"order": "newest"}],
)  # fmt: skip
def test_an_option_that_is_not_known_is_an_error(put: Any, options: Any) -> None:
    from common.errors import InvalidInput

    index_document("docs", "a", "text")
    with pytest.raises(InvalidInput):
        search_sync("docs", "text", **options)
