"""The endpoint `/mcp` in the OpenAPI schema. drf-spectacular does not find it, since it is no view of Django."""

from typing import Any

from chat.paths import roots

Schema = dict[str, Any]

_VERSION: Schema = {"type": "string", "enum": ["2.0"]}
_ID: Schema = {"description": "A string or a whole number, which the answer has, too; a notification has none."}
_ANY: Schema = {"type": "object", "additionalProperties": True}
_MESSAGE: Schema = {
    "type": "object",
    "required": ["jsonrpc", "method"],
    "properties": {
        "jsonrpc": _VERSION,
        "id": _ID,
        "method": {"type": "string", "description": "Such as `tools/list` or `tools/call`."},
        "params": {"type": ["object", "null"], "additionalProperties": True},
    },
}
_RESULT: Schema = {
    "type": "object",
    "required": ["jsonrpc"],
    "properties": {"jsonrpc": _VERSION, "id": _ID, "result": _ANY, "error": _ANY},
}
_CALL = {
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {"name": "search", "arguments": {"query": "How do I reset my password?"}},
}  # fmt: skip
_ANSWER = {
    "jsonrpc": "2.0", "id": 1,
    "result": {"content": [{"type": "text", "text": "Nothing was found."}], "isError": False},
}  # fmt: skip
_ERROR = {"$ref": "#/components/schemas/Error"}
_REFUSALS = {
    "401": "No key, or one that is not usable.",
    "403": "The key may not, or the page's origin is not trusted.",
    "413": "The message is too large.",
}
_WRONG = "The host is none of ours, the audience or index of the address is wrong, or the body is no message."
_DESCRIPTION = (
    "The Model Context Protocol over streamable HTTP, without sessions: a message of JSON-RPC is a POST. The tools "
    "`search` and `get_document` need a key with the scope `search` or `ingest`. What a tool cannot do is its result, "
    "with `isError`. MCP clients need only the address and the key; see docs/mcp.md."
)


def describe_endpoint(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Put the endpoint into the schema."""
    result["paths"][f"{roots()[0]}mcp"] = {
        "post": {
            "operationId": "mcp",
            "description": _DESCRIPTION,
            "tags": ["mcp"],
            "security": [{"apiKey": []}],
            "requestBody": {"content": _json(_MESSAGE, "Search", _CALL)},
            "responses": {
                "200": {"description": "The answer.", "content": _json(_RESULT, "Passages", _ANSWER)},
                "202": {"description": "A notification was taken."},
                "400": {"description": _WRONG},  # its body is ours, or in the protocol's own shapes
                **{status: {"description": text, "content": _refusal()} for status, text in _REFUSALS.items()},
            },
        }
    }
    return result


def _json(schema: Schema, name: str, example: Any) -> Schema:
    return {"application/json": {"schema": schema, "examples": {name: {"value": example}}}}


def _refusal() -> Schema:
    return {"application/json": {"schema": _ERROR}}
