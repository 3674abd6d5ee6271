"""What the OpenAPI schema says of values, as exactly as the code that checks them: clients and schemathesis read it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from chat.api.etags import TAGS
from chat.api.examples import IN_PATH
from chat.api.response_headers import HEADERS, describe_headers
from chat.idempotency import request_key
from chat.paths import own_path
from common.validation import BLANKS, KEY_MAX_CHARS
from retrieval.search.filters import AUDIENCE_MAX_CHARS
from retrieval.search.query import MAX_EXPAND, MAX_TOP_K, QUERY_MAX_CHARS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "pattern": r"^[^\u0000]*$"}
_NOT_BLANK = rf"^[^\u0000]*[^{BLANKS}][^\u0000]*$"
_FORMATS = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3" \
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\U000e0100-\U000e01ef"  # fmt: skip
_SEEN = f"[^{BLANKS}{_FORMATS}]"
_JSON = {"$ref": "#/components/schemas/JsonValue"}
_PLAIN = {"$ref": "#/components/schemas/Plain"}
# Generators of clients cannot follow a schema that refers to itself. They read `additionalProperties` and take the rest
# for any JSON; who checks or makes values, as schemathesis does, reads `patternProperties` and `items`, too.
OBJECT: Schema = {
    "type": "object",
    "propertyNames": TEXT,
    "additionalProperties": True,
    "patternProperties": {"": _JSON},
}
COMPONENTS: dict[str, Schema] = {
    "JsonValue": {
        "description": "Any JSON without NUL characters.",
        "pattern": TEXT["pattern"],
        "items": _JSON,
        "propertyNames": TEXT,
        "patternProperties": {"": _JSON},
    },
    "Filter": {
        "description": "Conditions on the metadata; see docs/search.md.",
        "type": "object",
        "propertyNames": {"pattern": r"^(\$(and|or|not)|[^$\u0000][^\u0000]*)?$"},
        "properties": {
            "$and": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/SubFilter"}},
            "$or": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/SubFilter"}},
            "$not": {"$ref": "#/components/schemas/SubFilter"},
        },
        "additionalProperties": {"$ref": "#/components/schemas/Condition"},
    },
    "SubFilter": {"allOf": [{"$ref": "#/components/schemas/Filter"}], "minProperties": 1},
    "Plain": {"anyOf": [{"type": ["null", "boolean", "number"]}, TEXT]},
    "Condition": {
        "anyOf": [
            _PLAIN,
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    **{name: _PLAIN for name in ("$eq", "$ne")},
                    **{name: {"anyOf": [{"type": "number"}, TEXT]} for name in ("$gt", "$gte", "$lt", "$lte")},
                    **{name: {"type": "array", "minItems": 1, "items": _PLAIN} for name in ("$in", "$nin")},
                    "$exists": {"type": "boolean"},
                },
            },
        ]
    },
}

SERVER_SENT_EVENT: Schema = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["start", "delta", "done", "stopped", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}


def not_blank(max_chars: int | None = None) -> Schema:
    """Return the schema of a text of visible characters."""
    limit = {} if max_chars is None else {"maxLength": max_chars}
    return {"type": "string", "minLength": 1, "pattern": _NOT_BLANK, **limit}


KEY = not_blank(KEY_MAX_CHARS)
IDENTITY: Schema = {**KEY, "pattern": f"^{_SEEN}(( |{_SEEN})*{_SEEN})?$"}
"""The id of a user or of another entity, as `check_identity` takes it."""
INDEX_NAME = not_blank(200)
_HEX = "[0-9a-fA-F]"
UUID: Schema = {"type": "string", "format": "uuid", "pattern": f"^{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}$"}
MESSAGE = {**not_blank(), "description": "Too long a message is answered 413."}
AUDIENCE: Schema = {
    "type": "array",
    "maxItems": 100,
    "items": {**not_blank(AUDIENCE_MAX_CHARS), "not": {"enum": ["*"]}},
}
NAME_OR_EMPTY: Schema = {"type": "string", "maxLength": 200, "pattern": rf"{_NOT_BLANK}|^$"}


def moment() -> Schema:
    """Return the schema of a time that is not in the future, as far as a pattern can say that: by its year."""
    last = datetime.now(UTC).year
    decade, year = divmod(last % 100, 10)
    years = f"19[7-9][0-9]|20[0-{decade - 1}][0-9]|20{decade}[0-{year}]"
    leap_years = "|".join(str(year) for year in range(1972, last + 1, 4))
    days = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
    clock = "([01][0-9]|2[0-3])(:[0-5][0-9]){2}([.][0-9]{1,6})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])"
    return {
        "type": "string",
        "description": "A time in ISO 8601 with its offset, not in the future.",
        "pattern": f"^(({years})-({days})|({leap_years})-02-29)T{clock}$",
    }


def in_path(name: str, schema: Schema = KEY, example: Any = None) -> OpenApiParameter:
    """Return the parameter of a part of the address; its example is by default that of its name."""
    shown = [OpenApiExample(name, value=IN_PATH[name] if example is None else example)]
    return OpenApiParameter(name, schema, OpenApiParameter.PATH, required=True, examples=shown)


INDEX = OpenApiParameter("index_name", NAME_OR_EMPTY, description="Default, also for an empty one: the default index.")
SLUG_OR_EMPTY = {"type": "string", "pattern": r"^[^\u0000]*$"}
BOT = OpenApiParameter("bot", SLUG_OR_EMPTY, description="The bot's slug; by default the key's, or `default`.")
_QUESTION = [OpenApiExample("query", value="How do I reset my password?")]
QUERY = OpenApiParameter("query", MESSAGE, required=True, examples=_QUESTION)
NAMES = OpenApiParameter(
    "names",
    {"type": "string", "pattern": rf"^[^\u0000]*[^{BLANKS},][^\u0000]*$"},
    required=True,
    description="Feature names, with commas between.",
    examples=[OpenApiExample("names", value="user_tier,support_history")],
)
REQUEST_DATA = OpenApiParameter(
    "request", OpenApiTypes.OBJECT, description='JSON that on-demand features are computed from, as {"query": "Why?"}.'
)
PAGE = [
    OpenApiParameter("page_size", {"type": "integer", "minimum": 1}, description="At most 200 rows are sent."),
    OpenApiParameter("cursor", str, description="From `next` or `previous` of another page."),
]
RANGE = [
    OpenApiParameter("since", {"type": "string", "format": "date-time"}, description="Of this time or later."),
    OpenApiParameter("until", {"type": "string", "format": "date-time"}, description="Before this time."),
]
UPDATED_SINCE = OpenApiParameter(
    "updated_since",
    {"type": "string", "format": "date-time"},
    description="The documents that changed at this time or later, the oldest change first, deleted ones too: their "
    "`state` is `deleted`. Ask the next time from the last page's `updated_until`.",
)


def one_of(name: str, choices: Iterable[str]) -> OpenApiParameter:
    return OpenApiParameter(name, str, enum=list(choices))


def exactly(name: str, schema: Schema, description: str = "") -> OpenApiParameter:
    """Return the parameter of a filter by a value."""
    return OpenApiParameter(name, schema, description=description)


def _header(name: str, description: str, schema: Schema, example: str) -> OpenApiParameter:
    examples = [OpenApiExample(name, value=example)]
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description, examples=examples)


_IN_JSON = {"filters": {"$ref": "#/components/schemas/Filter"}, "request": {"type": "object"}}
"""Parameters whose text is JSON, with its schema."""
_TAGS: Schema = {"type": "string", "format": "etag", "pattern": TAGS}
IDEMPOTENCY_KEY = _header(
    request_key.HEADER,
    "A UUID, or another text of 1 to 255 visible ASCII characters, bare or in quotes: a request that is sent again "
    "with it has its effect once, and its answer with `Idempotent-Replayed: true`.",
    {"type": "string", "pattern": request_key.PATTERN},
    "8e03978e-40d5-43e8-bc93-6894a57f9324",
)
IF_MATCH = _header("If-Match", "Change it only in this version; else 412 `document_changed`.", _TAGS, '"v3"')
IF_NONE_MATCH = _header(
    "If-None-Match", "304 if it is still in this version. What is no tag is none of ours.", {"type": "string"}, '"v3"'
)
IF_ABSENT = _header(
    "If-None-Match", "Only if there is no such document; else 412.", {"type": "string", "enum": ["*"]}, "*"
)
SEARCH = [
    INDEX,
    OpenApiParameter("query", not_blank(QUERY_MAX_CHARS), required=True, examples=_QUESTION),
    OpenApiParameter("top_k", {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": 5}),
    OpenApiParameter("filters", OpenApiTypes.OBJECT, description='JSON, as {"category": {"$in": ["billing"]}}.'),
    OpenApiParameter(
        "audience",
        {"type": "string", "pattern": rf"^[^\u0000]{{0,{AUDIENCE_MAX_CHARS}}}$"},
        description='Names with commas between, or "*" for all documents.',
    ),
    OpenApiParameter("mode", str, enum=["hybrid", "semantic", "lexical"]),
    OpenApiParameter("max_per_document", {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K}),
    OpenApiParameter(
        "expand", {"type": "integer", "minimum": 0, "maximum": MAX_EXPAND}, description="Neighbours joined to each hit."
    ),
    OpenApiParameter("rerank", str, enum=["true", "false", "1", "0"]),
]


def complete(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Put into the schema what drf-spectacular can't express.

    That are the errors of all operations, the headers of answers, and JSON in queries.
    """
    reference = {"$ref": "#/components/schemas/Error"}
    error = {"description": "An error.", "content": {"application/json": {"schema": reference}}}
    result["components"]["schemas"] |= COMPONENTS
    result["components"]["headers"] = HEADERS
    for path in result["paths"].values():
        for method, operation in path.items():
            operation["responses"].setdefault("default", dict(error))
            describe_headers(method, operation)
            if "requestBody" in operation:
                operation["requestBody"]["required"] = method != "patch"  # which changes nothing without one
            for parameter in operation.get("parameters", []):
                if shape := _IN_JSON.get(parameter["name"]):
                    del parameter["schema"]
                    parameter["content"] = {"application/json": {"schema": shape}}
    for component in result["components"]["schemas"].values():
        if "oneOf" in component:  # one of several shapes, which need not exclude one another
            component["anyOf"] = component.pop("oneOf")
    return result


def schema_settings() -> dict[str, Any] | None:
    """Return drf-spectacular's settings for the bot's API in another's project; None in its own, which has them."""
    if settings.FABRA_OWN_PROJECT:
        return None
    return settings.FABRA_API_SCHEMA | {
        "SCHEMA_PATH_PREFIX": r"^/[^/]+/(api/)?",
        "PREPROCESSING_HOOKS": ["chat.api.openapi.only_own"],
    }


def only_own(endpoints: list[Any]) -> list[Any]:
    """Leave out what is not below the bot's path."""
    return [endpoint for endpoint in endpoints if own_path(endpoint[0])]
