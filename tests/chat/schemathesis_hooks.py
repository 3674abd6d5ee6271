"""What schemathesis cannot make of the schema by itself: lines of JSON, entity tags, and what no schema can say."""

import itertools
import json
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st

NDJSON = "application/x-ndjson"

_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_IDS = st.sampled_from(["a", "b", "bulk"])
_DOCUMENTS = st.fixed_dictionaries(
    {"entity_id": _IDS | _ANY, "text": st.sampled_from(["Penguins.", "Bears."]) | _ANY},
    optional={"title": _ANY, "metadata": _ANY, "audience": st.just(["staff"]) | _ANY, "action": _ANY},
)
_DELETIONS = st.fixed_dictionaries({"action": st.just("delete"), "entity_id": _IDS | _ANY})
_LINES = (_DOCUMENTS | _DELETIONS | _ANY).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)

schemathesis.openapi.media_type(NDJSON, st.lists(_LINES, min_size=1, max_size=4).map(b"\n".join))
# From the pattern alone it makes no values of headers that are not letters and digits.
_TAGS = st.sampled_from(["*", '"v1"', '"v2"', 'W/"v1"', '"v1", "v2"', '"else",W/"x"', '""'])
schemathesis.openapi.format("etag", _TAGS)


@schemathesis.hook
def before_load_schema(context: Any, schema: dict[str, Any]) -> None:
    """Let the example of lines be bytes, as what is made of the strategy."""
    content = schema["paths"]["/api/documents/bulk/"]["post"]["requestBody"]["content"]
    for example in content[NDJSON]["examples"].values():
        example["value"] = example["value"].encode()


_numbers = itertools.count()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make requests of which more is tried than that they are refused for what was sent before, or beside it.

    A key is another one in each request, as of clients, and of two conditions that exclude each other one is left. An
    event about a document has its text.
    """
    number = next(_numbers)
    headers = case.headers or {}
    if re.fullmatch(r"[\w.-]{1,240}", headers.get("Idempotency-Key", "")):
        headers["Idempotency-Key"] += f"-{number}"
    if "If-Match" in headers and "If-None-Match" in headers:
        del headers[("If-Match", "If-None-Match")[number % 2]]
    if case.operation.label == "POST /api/events/" and case.meta.generation.mode.is_positive:
        for event in case.body.get("events", [case.body]):
            if event.get("event_type") == "doc_updated":
                event["payload"] = {"content": "Penguins."} | event.get("payload", {})
