"""What embedding servers send: limits are found out, a refused text fails alone, and a bad answer stores nothing."""

import base64
import json
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
import pytest

from common.errors import FabraError
from retrieval.embedders.openai import OpenAIEmbedder
from retrieval.errors import EmbedderAnswerInvalid, EmbedderMismatch, EmbedderUnavailable, TextRefused
from retrieval.generations import lifecycle
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.indexing.document_input import IndexResult
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk, Document, DocumentVersion, Index
from retrieval.search.execute import search_sync
from tests.model_server import ModelServer

KEY = "sk-never-shown-0123456789"
Rows = list[dict[str, Any]]


class EmbeddingServer(ModelServer):
    """Has limits as real servers do, and alters its answers as `alter` says."""

    def __init__(self) -> None:
        super().__init__()
        self.max_texts = 1000
        self.max_chars = 1_000_000
        self.refusal = 413
        self.refused_word = ""
        self.first_answers: list[tuple[int, str]] = []
        """(status, Retry-After) of the next answers."""
        self.alter: Callable[[Rows], Any] = lambda rows: rows

    def _respond(self, http: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        texts = body["input"]
        if self.first_answers:
            status, retry_after = self.first_answers.pop(0)
            self._refuse(http, status, body, retry_after)
        elif len(texts) > self.max_texts or sum(map(len, texts)) > self.max_chars or self._is_refused(texts):
            self._refuse(http, self.refusal, body)
        else:
            super()._respond(http, body)

    def _is_refused(self, texts: list[str]) -> bool:
        return self.refused_word != "" and any(self.refused_word in text for text in texts)

    def _refuse(self, http: BaseHTTPRequestHandler, status: int, body: Any, retry_after: str = "") -> None:
        http.send_response(status)
        if retry_after:
            http.send_header("Retry-After", retry_after)
        data = json.dumps({"error": {"message": f"The key {http.headers['Authorization']} sent {body['input']}."}})
        http.send_header("Content-Length", str(len(data)))
        http.end_headers()
        http.wfile.write(data.encode())

    def _embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = super()._embeddings(body)
        altered = self.alter(answer["data"])
        return answer | {"data": altered} if isinstance(altered, list) or altered is None else altered

    def batches(self) -> list[int]:
        return [len(request["input"]) for request in self.requests]


@pytest.fixture
def server(settings: Any) -> Iterator[EmbeddingServer]:
    server = EmbeddingServer()
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.FABRA_MODEL_RETRIES = server.url, KEY, 0
    yield server
    server.close()


@pytest.fixture
def embedder(server: EmbeddingServer) -> OpenAIEmbedder:
    return OpenAIEmbedder(server.embedding_model(64))


@pytest.fixture
def use_it(server: EmbeddingServer, settings: Any) -> None:
    """Make the server's the model of new indexes."""
    settings.FABRA_EMBEDDER = "retrieval.embedders.openai.OpenAIEmbedder"
    settings.FABRA_EMBEDDING_MODEL = server.embedding_model(64)


TEXTS = [f"text number{number} of many" for number in range(100)]


def failure(embedder: OpenAIEmbedder, texts: list[str]) -> FabraError:
    with pytest.raises(FabraError) as failed:
        embedder.embed(texts)
    assert KEY not in "".join(traceback.format_exception(failed.value))
    return failed.value


@pytest.mark.parametrize("refusal", [400, 413, 422, 500])
def test_the_batch_that_a_server_takes_is_found_by_halving_and_remembered(
    server: EmbeddingServer, embedder: OpenAIEmbedder, refusal: int
) -> None:
    expected = embedder.embed(TEXTS)
    server.requests.clear()
    server.max_texts, server.refusal = 10, refusal
    assert np.array_equal(embedder.embed(TEXTS), expected)
    assert embedder._batch == 7
    server.requests.clear()
    embedder.embed(TEXTS)
    assert max(server.batches()) == 7


def test_a_limit_on_the_size_of_a_request_is_found_too(server: EmbeddingServer, embedder: OpenAIEmbedder) -> None:
    server.max_chars = 300
    assert len(embedder.embed(TEXTS)) == 100


@pytest.mark.parametrize("refusal", [400, 413, 422, 500])
def test_a_text_that_is_refused_fails_alone(server: EmbeddingServer, embedder: OpenAIEmbedder, refusal: int) -> None:
    server.refused_word, server.refusal = "number42", refusal
    refused = failure(embedder, TEXTS)
    assert isinstance(refused, TextRefused)
    assert list(refused.refused) == [42]
    assert f"refuses a text of 21 characters (HTTP {refusal})" in str(refused)
    assert sorted(refused.vectors) == [number for number in range(100) if number != 42]
    assert embedder._batch == 128  # nothing was wrong with the number of texts
    assert len(server.requests) < 30


def test_a_server_that_refuses_everything_is_not_asked_for_each_text(
    server: EmbeddingServer, embedder: OpenAIEmbedder
) -> None:
    server.max_texts, server.refusal = 0, 400
    refused = failure(embedder, TEXTS)
    assert isinstance(refused, EmbedderUnavailable)
    assert str(refused) == "The embedding model refuses every text (HTTP 400)."
    assert len(server.requests) < 12


def test_a_server_that_knows_no_base64_is_asked_for_floats(server: EmbeddingServer, embedder: OpenAIEmbedder) -> None:
    respond = server._respond

    def only_floats(http: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        if body["encoding_format"] == "float":
            respond(http, body)
        else:
            server._refuse(http, 400, body)

    server._respond = only_floats  # type: ignore[method-assign]
    assert len(embedder.embed(TEXTS)) == 100
    server.requests.clear()
    embedder.embed(TEXTS[:3])
    assert len(server.requests) == 1


def changed(**values: Any) -> Callable[[Rows], Rows]:
    return lambda rows: [rows[0], rows[1] | values, *rows[2:]]


def with_value(value: Any) -> Callable[[Rows], Rows]:
    return lambda rows: [rows[0], rows[1] | {"embedding": [value, *rows[1]["embedding"][1:]]}, *rows[2:]]


def without(name: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{key: value for key, value in row.items() if key != name} for row in rows]


BAD = {
    "fewer": (lambda rows: rows[:-1], "gave 2 vectors for 3 texts"),
    "more": (lambda rows: [*rows, rows[0]], "gave 4 vectors for 3 texts"),
    "none": (lambda rows: [], "gave 0 vectors for 3 texts"),
    "no list": (lambda rows: {"data": "x"}, "no list `data`"),
    "no data": (lambda rows: {"object": "list"}, "no list `data`"),
    "null data": (lambda rows: None, "no list `data`"),
    "rows of text": (lambda rows: ["x"] * 3, "without the index"),
    "no index": (without("index"), "without the index"),
    "null index": (changed(index=None), "without the index"),
    "true as index": (changed(index=True), "without the index"),
    "index too high": (changed(index=3), "without the index"),
    "negative index": (changed(index=-1), "without the index"),
    "double index": (changed(index=0), "two vectors for the text 0"),
    "no embedding": (without("embedding"), "neither numbers nor"),
    "null": (changed(embedding=None), "neither numbers nor"),
    "object": (changed(embedding={"0": 1}), "neither numbers nor"),
    "null inside": (with_value(None), "neither numbers nor"),
    "text inside": (with_value("0.5"), "neither numbers nor"),
    "true inside": (with_value(True), "neither numbers nor"),
    "list inside": (with_value([0.5]), "neither numbers nor"),
    "NaN": (with_value(float("nan")), "not finite"),
    "infinite": (with_value(float("-inf")), "not finite"),
    "a giant number": (with_value(10**400), "neither numbers nor"),
    "empty": (changed(embedding=[]), "is empty"),
    "zeros": (changed(embedding=[0] * 64), "all zeros"),
    "base64 of NaN": (changed(embedding=base64.b64encode(np.full(64, np.nan, "<f4").tobytes()).decode()), "finite"),
    "no base64": (changed(embedding="not base64!"), "neither numbers nor"),
    "base64 of half a number": (changed(embedding="AAAAAAA="), "neither numbers nor"),
    "another dimension": (changed(embedding=[1.0] * 63), "63 to 64 numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_answer_that_is_not_one_vector_for_each_text_is_a_clear_error(
    server: EmbeddingServer, embedder: OpenAIEmbedder, name: str
) -> None:
    server.alter, message = BAD[name]
    error = failure(embedder, TEXTS[:3])
    assert isinstance(error, EmbedderAnswerInvalid)
    assert message in str(error)


@pytest.mark.parametrize("answer", [b"", b"{not JSON", b"[" * 100_000, b"null", b"[]", b'"x"'])
def test_an_answer_that_is_no_object_is_a_clear_error(
    server: EmbeddingServer, embedder: OpenAIEmbedder, answer: bytes
) -> None:
    server._respond = lambda http, body: server._send(http, 200, answer)  # type: ignore[method-assign]
    assert isinstance(failure(embedder, TEXTS[:3]), EmbedderAnswerInvalid)


def test_vectors_in_any_order_and_form_are_read(server: EmbeddingServer, embedder: OpenAIEmbedder) -> None:
    expected = embedder.embed(TEXTS[:3])
    packed = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in expected]
    server.alter = lambda rows: [row | {"embedding": packed[row["index"]]} for row in reversed(rows)]
    assert np.allclose(embedder.embed(TEXTS[:3]), expected)
    server.alter = lambda rows: [row | {"embedding": [int(8 * value) for value in row["embedding"]]} for row in rows]
    assert np.allclose(embedder.embed(TEXTS[:3]), expected)
    assert all(abs(float(np.linalg.norm(vector)) - 1) < 1e-6 for vector in embedder.embed(TEXTS[:3]))


def test_a_model_whose_dimension_changes_is_noticed(server: EmbeddingServer, embedder: OpenAIEmbedder) -> None:
    assert embedder.dimension == 64
    server.alter = lambda rows: [row | {"embedding": row["embedding"][:32]} for row in rows]
    error = failure(embedder, TEXTS[:3])
    assert isinstance(error, EmbedderMismatch)
    assert "32 dimensions instead of 64" in str(error)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again_and_not_for_ever(
    server: EmbeddingServer, settings: Any, status: int
) -> None:
    settings.FABRA_MODEL_RETRIES = 2
    embedder = OpenAIEmbedder(server.embedding_model(64))
    server.first_answers = [(status, "0.05")] * 2
    assert len(embedder.embed(TEXTS)) == 100
    assert len(server.requests) == 3
    server.first_answers = [(status, "0.05")] * 9
    error = failure(embedder, TEXTS)
    assert isinstance(error, EmbedderUnavailable)
    assert str(error) == f"The embedding model answers HTTP {status}."
    assert len(server.requests) == 6 + (status == 500)  # a 500 may be about the texts: a word is asked for


def test_texts_that_are_too_long_for_a_server_that_fails_with_500_are_refused_and_the_others_embedded(
    server: EmbeddingServer, settings: Any
) -> None:
    settings.FABRA_MODEL_RETRIES = 1
    embedder = OpenAIEmbedder(server.embedding_model(64))
    server.refused_word, server.refusal = "long", 500
    texts = [f"text {number}{' long' * (number % 40 == 7)}" for number in range(100)]
    refused = failure(embedder, texts)
    assert isinstance(refused, TextRefused)
    assert (sorted(refused.refused), len(refused.vectors)) == ([7, 47, 87], 97)
    server.refused_word, server.max_texts = "", 0
    assert str(failure(embedder, ["a"])) == "The embedding model answers HTTP 500."


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_an_unknown_model_is_no_fault_of_a_text(
    server: EmbeddingServer, embedder: OpenAIEmbedder, status: int
) -> None:
    server.first_answers = [(status, "")]
    assert isinstance(failure(embedder, TEXTS), EmbedderUnavailable)
    assert len(server.requests) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("use_it")
def test_a_refused_text_fails_its_document_and_not_the_batch(server: EmbeddingServer) -> None:
    drafts = [Draft(entity_id=f"d{number}", text=f"# Doc\n\nAbout topic{number}.") for number in range(20)]
    server.refused_word = "topic7."
    (outcomes,) = index_in_bulk("docs", [drafts])
    assert [isinstance(outcome, IndexResult) for outcome in outcomes] == [number != 7 for number in range(20)]
    assert isinstance(outcomes[7], TextRefused)
    assert "HTTP 413" in str(outcomes[7])
    assert "passage 1 of 1" in str(outcomes[7])
    assert not Document.objects.filter(entity_id="d7").exists()
    assert sum(server.batches()) < 100  # the other texts were not embedded again for it
    with pytest.raises(TextRefused):
        index_document("docs", "d7", drafts[7].text)
    server.refused_word = ""
    assert index_document("docs", "d7", drafts[7].text).is_changed


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("use_it")
@pytest.mark.parametrize("name", ["fewer", "null inside", "NaN", "double index"])
def test_a_bad_answer_stores_nothing(server: EmbeddingServer, name: str) -> None:
    text = "# Doc\n\nAbout birds.\n\n# Other\n\n" + "And about ships. " * 400
    index_document("docs", "d", text)
    server.alter = BAD[name][0]
    with pytest.raises(EmbedderAnswerInvalid):
        index_document("docs", "d", text.replace("birds", "cats").replace("ships", "dogs"))
    assert DocumentVersion.objects.count() == 1
    assert not Chunk.objects.filter(text__contains="dogs").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("use_it")
def test_a_question_that_is_refused_is_searched_by_its_words(server: EmbeddingServer) -> None:
    index_document("docs", "d", "About albatrosses and other birds.")
    server.refused_word = "albatrosses"
    found = search_sync("docs", "albatrosses")
    assert "semantic_unavailable" in found.flags
    assert [hit.document_id for hit in found.hits] == ["d"]


@pytest.mark.django_db(transaction=True)
def test_a_generation_names_the_document_that_its_model_refuses(server: EmbeddingServer) -> None:
    for number in range(3):
        index_document("docs", f"d{number}", f"It tells of topic{number}.")
    server.refused_word = "topic1."
    model, backend = server.embedding_model(64), "retrieval.embedders.openai.OpenAIEmbedder"
    generation = lifecycle.open_generation(Index.objects.get(), model=model, backend=backend)
    with pytest.raises(TextRefused):
        lifecycle.execute_build(generation.pk)
    generation.refresh_from_db()
    assert "'d1' cannot be built" in generation.error
    assert generation.state == "building"
    built = set(Chunk.objects.filter(generation=generation).values_list("document__entity_id", flat=True))
    assert built in ({"d0", "d2"}, {"d0"})  # d2 is not reached where a window of ids ends before it
    server.refused_word = ""
    lifecycle.execute_build(generation.pk)
    generation.refresh_from_db()
    assert (generation.state, generation.error) == ("ready", "")
