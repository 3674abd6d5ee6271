"""`openapi-python-client` makes a client from the schema without a warning, and it works with a real server."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from chat.models import ApiKey
from retrieval.indexing.documents import index_document
from tests.missing import required
from tests.processes import Processes

generator = required("openapi_python_client")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("embedder")]

PACKAGE = "generated_fabra_client"
# As in docs/api.md: the generator knows no lines of JSON.
OVERRIDES = {"application/x-ndjson": "application/octet-stream"}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Processes]:
    environment = {
        "DEBUG": "0", "FABRA_WEB": "1", "FABRA_HTTPS_ONLY": "0", "FABRA_API_DOCS": "1", "OPENAI_API_KEY": "",
        "FABRA_EMBEDDER": "tests.embedders.FragileEmbedder", "FABRA_EMBEDDING_MODEL": "hashing-256",
    }  # fmt: skip
    index_document("knowledge_base", "reset", "To reset your password, click the link on the sign-in page.")
    with Processes(tmp_path, **environment) as processes:
        processes.start_web()
        yield processes


@pytest.fixture
def client(web: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that was generated from the server's own schema, with a key."""
    from openapi_python_client.config import Config, ConfigFile, MetaType

    schema = tmp_path / "schema.json"
    schema.write_bytes(urllib.request.urlopen(f"{web.url}/api/schema/?format=json").read())
    file = ConfigFile(package_name_override=PACKAGE, content_type_overrides=OVERRIDES, post_hooks=[])
    config = Config.from_sources(file, MetaType.NONE, schema, "utf-8", False, tmp_path / PACKAGE)
    assert [f"{error.header} {error.detail}" for error in generator.generate(config=config)] == []
    monkeypatch.syspath_prepend(str(tmp_path))
    _, key = ApiKey.make("client", ["chat", "ingest", "debug"])
    made = import_module(PACKAGE).AuthenticatedClient(base_url=web.url, token=key, raise_on_unexpected_status=True)
    yield made
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


def call(path: str, client: Any, *args: Any, **kwargs: Any) -> Any:
    """Call an operation of the generated client; return its detailed response."""
    return import_module(f"{PACKAGE}.api.{path}").sync_detailed(*args, client=client, **kwargs)


def model(name: str, data: dict[str, Any]) -> Any:
    return getattr(import_module(f"{PACKAGE}.models"), name).from_dict(data)


def test_the_generated_client_chats_writes_lists_searches_and_deletes(client: Any) -> None:
    document = {
        "index_name": "docs",
        "entity_id": "pay",
        "text": "# Pay\n\nBy card.",
        "metadata": {"a": [1, {"b": None}]},
    }
    body = model("DocumentRequestRequest", document)
    created = call("documents.documents_create", client, body=body, if_none_match="*")
    assert (created.status_code, created.parsed.version, created.headers["ETag"]) == (201, 1, '"v1"')
    refused = call("documents.documents_create", client, body=body, if_match='"v7"')
    assert (refused.status_code, refused.parsed.error.code) == (412, "document_changed")

    lines = b"".join(json.dumps({"entity_id": str(n), "text": f"Text {n}."}).encode() + b"\n" for n in range(3))
    file = import_module(f"{PACKAGE}.types").File(payload=lines)
    answers = call("documents.documents_bulk", client, body=file, index_name="docs").parsed.payload.read()
    assert [json.loads(answer)["status"] for answer in answers.splitlines()] == ["indexed"] * 3

    ids, cursor = [], None
    while True:
        more: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        page = call("documents.documents_list", client, index_name="docs", page_size=3, **more).parsed
        ids += [row.entity_id for row in page.results]
        if page.next_ is None:
            break
        cursor = page.next_.split("cursor=")[1].split("&")[0].replace("%3D", "=")
    assert sorted(ids) == ["0", "1", "2", "pay"]
    shown = call("documents.documents_retrieve", client, "pay", index_name="docs").parsed
    assert (shown.text, shown.metadata, shown.deleted_at) == (document["text"], document["metadata"], None)

    hits = call("search.search_retrieve", client, index_name="docs", query="card").parsed.hits
    assert hits[0].document_id == "pay"

    question = model("ChatRequestRequest", {"user_id": "ana", "message": "How do I reset my password?"})
    answered = [call("chat.chat", client, body=question, idempotency_key="question-1") for _ in range(2)]
    assert "click the link" in answered[0].parsed.response
    assert answered[0].parsed.citations[0].document_id == "reset"
    assert answered[1].headers["Idempotent-Replayed"] == "true"
    assert answered[1].parsed == answered[0].parsed

    poked = model("EventRequestRequest", {"event_type": "poked", "entity_id": "ana", "payload": {"x": 1}})
    event = call("events.events_create", client, body=poked, idempotency_key="event-1")
    assert (event.status_code, event.parsed.entity_id) == (202, "ana")
    assert call("events.events_retrieve", client, event.parsed.id).parsed.payload == {"x": 1}

    of_ana = {"user_id": "ana"}
    talk_id, message_id = answered[0].parsed.conversation_id, answered[0].parsed.message_id
    (talk,) = call("conversations.conversations_list", client, **of_ana).parsed.results
    assert talk.id == talk_id
    messages = call("conversations.conversations_messages_retrieve", client, talk_id, **of_ana).parsed
    assert [message.role for message in messages.messages] == ["user", "assistant"]
    rated = model("FeedbackRequestRequest", {"value": "up"})
    assert call("messages.give_feedback", client, message_id, body=rated, **of_ana).status_code == 200
    assert call("traces.trace", client, answered[0].parsed.context_id).status_code == 200
    assert call("features.features_retrieve", client, "User", "ana", names="user_tier").status_code == 200
    (offered, *_) = call("v1.list_models", client).parsed.data
    asked = {"model": offered.id, "messages": [{"role": "user", "content": "How do I reset my password?"}]}
    completion = call("v1.create_chat_completion", client, body=model("CompletionRequestRequest", asked)).parsed
    assert "click the link" in completion.choices[0].message.content

    assert call("documents.documents_destroy", client, "pay", index_name="docs", if_match='"v1"').status_code == 204
    changes = call(
        "documents.documents_list", client, index_name="docs", updated_since=timezone.now() - timedelta(days=1)
    )
    assert changes.status_code == 200 and changes.parsed.updated_until


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", "--file", str(path))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def operations_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def contents_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each operation takes, and answers where it succeeds, by media type; and the parameters it needs."""
    for name, operation in operations_of(schema):
        bodies = {"request": operation.get("requestBody", {})}
        bodies |= {status: response for status, response in operation["responses"].items() if status.startswith("2")}
        for where, body in bodies.items():
            for media_type, content in body.get("content", {}).items():
                yield f"{name} {where} {media_type}", content
        for parameter in operation.get("parameters", []):
            if parameter.get("required"):
                yield f"{name} ?{parameter['name']}", parameter


def test_every_request_and_every_answer_has_an_example(schema: dict[str, Any]) -> None:
    assert [where for where, content in contents_of(schema) if not content.get("examples")] == []
    assert len(list(operations_of(schema))) > 25


def test_the_examples_are_as_the_schema_says(schema: dict[str, Any]) -> None:
    validator = required("jsonschema")
    checked = 0
    for where, content in contents_of(schema):
        if "schema" not in content or content["schema"].get("format") == "binary":
            continue
        rules = validator.Draft202012Validator({**content["schema"], "components": schema["components"]})
        for name, example in content["examples"].items():
            wrong = [f"{error.json_path}: {error.message}" for error in rules.iter_errors(example["value"])]
            assert not wrong, (where, name)
            checked += 1
    assert checked > 60


def test_answers_tell_the_headers_that_they_have(schema: dict[str, Any]) -> None:
    found = {
        (operation["operationId"], status): set(response.get("headers", ()))
        for _, operation in operations_of(schema)
        for status, response in operation["responses"].items()
    }
    limit = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    assert found["chat", "200"] == limit | {"Idempotent-Replayed", "X-Fabra-Freshness"}
    completion = found["create_chat_completion", "200"]
    assert completion == limit | {"Idempotent-Replayed", "X-Fabra-Freshness", "X-Fabra-Ignored", "X-Request-Id"}
    assert found["create_chat_completion", "429"] == found["chat", "default"] == limit | {"Retry-After"}
    assert found["documents_create", "201"] == {"ETag", "Idempotent-Replayed"}
    assert "ETag" in found["documents_retrieve", "200"]
    assert found["documents_list", "200"] == set()


def test_every_answer_says_what_is_in_it(schema: dict[str, Any]) -> None:
    for where, content in contents_of(schema):
        shape = content.get("schema", {})
        assert shape and (shape.get("type") != "object" or shape.get("properties")), where
