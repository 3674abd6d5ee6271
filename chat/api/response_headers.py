"""The headers that answers have besides their body, as the OpenAPI schema tells them: by what each operation takes."""

from typing import Any

Schema = dict[str, Any]

_WHOLE: Schema = {"type": "integer", "minimum": 0}
_LIMIT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
HEADERS: dict[str, Schema] = {
    "ETag": {
        "description": "The document's version, for `If-Match` and `If-None-Match`.",
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "`true` where this is the stored answer to an earlier request with the `Idempotency-Key`.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "Seconds until the request may be sent again, where it was refused for now.",
        "schema": _WHOLE,
    },
    "X-RateLimit-Limit": {
        "description": "The messages or requests of the limit's window; without a limit there is none.",
        "schema": _WHOLE,
    },
    "X-RateLimit-Remaining": {"description": "How many of them are left.", "schema": _WHOLE},
    "X-RateLimit-Reset": {"description": "When the oldest of them leaves the window, in Unix time.", "schema": _WHOLE},
    "X-Request-Id": {"description": "The id of the answer's trace.", "schema": {"type": "string", "format": "uuid"}},
    "X-Fabra-Ignored": {"description": "What of the request had no effect.", "schema": {"type": "string"}},
    "X-Fabra-Freshness": {
        "description": "Whether the context kept its `freshness_sla`, if it has one.",
        "schema": {"type": "string"},
    },
}
_OF_ANSWERS = {
    "chat": (*_LIMIT, "X-Fabra-Freshness"),
    "create_chat_completion": (*_LIMIT, "X-Fabra-Freshness", "X-Fabra-Ignored", "X-Request-Id"),
}
"""The headers of the operations that answer a message."""


def describe_headers(method: str, operation: Schema) -> None:
    """Put into an operation which headers each of its answers may have."""
    takes = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"}
    for status, response in operation["responses"].items():
        names: list[str] = []
        if status.startswith("2"):
            names += ["Idempotent-Replayed"] if "Idempotency-Key" in takes else []
            names += _OF_ANSWERS.get(operation["operationId"], ())
        if status.startswith(("2", "304")) and "If-None-Match" in takes and method in ("get", "post"):
            names.append("ETag")
        if status in ("402", "429", "default") or (status == "409" and "Idempotency-Key" in takes):  # refused for now
            names += ["Retry-After", *(_LIMIT if status in ("429", "default") else ())]
        if names:
            response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
