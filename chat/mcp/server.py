"""The protocol's server: it lists the tools, and calls one with the caller's limits, errors and audit entry."""

from typing import Any

import mcp_types as types
from asgiref.sync import sync_to_async
from django.conf import settings
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from chat.audit.entries import caller_columns, record
from chat.error_descriptions import describe, error_body
from chat.limits.messages import count_request
from chat.mcp.connection import Connection
from chat.mcp.tools import INSTRUCTIONS, TOOLS, Tool
from common.errors import InvalidInput

CONNECTION = "fabra.mcp"
"""The key of the ASGI scope under which the connection is."""

_READS = types.ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


async def list_tools(
    context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    names = await sync_to_async(_connection_of(context).index_names)()
    return types.ListToolsResult(tools=[_described(tool, names) for tool in TOOLS.values()])


async def call_tool(context: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
    """Run a tool in a thread; raise MCPError for one that does not exist, and return any other error as its result."""
    tool = TOOLS.get(params.name)
    if tool is None:
        raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name[:100]!r}; there are: {', '.join(TOOLS)}.")
    return await sync_to_async(_call)(_connection_of(context), tool, params.arguments or {})


def _call(connection: Connection, tool: Tool, arguments: dict[str, Any]) -> types.CallToolResult:
    target, status = "", 200
    try:
        given = _checked(tool.arguments, arguments)
        target = tool.target(connection, given)
        if connection.caller.key is not None:
            count_request(connection.caller.key)
        text, data = tool.run(connection, given)
        result = types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=data.model_dump(mode="json")
        )
    except Exception as error:  # whatever it is, the model gets its code and sentence, and nothing else
        status, code, message = describe(error)
        result = types.CallToolResult(
            content=[types.TextContent(type="text", text=f"{code}: {message}")],
            structured_content=error_body(code, message),
            is_error=True,
        )
    caller = caller_columns(connection.request.META, None, connection.caller.key)
    if caller is not None:
        action = tool.name.replace("_", " ")
        record(**caller, action=action, target=target, endpoint=f"mcp:{tool.name}", status=status)
    return result


def _checked(arguments: type[BaseModel], given: dict[str, Any]) -> BaseModel:
    try:
        return arguments.model_validate(given)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in error.errors()]
        raise InvalidInput(". ".join(wrong)[:1000] + ".") from None


def _described(tool: Tool, index_names: list[str]) -> types.Tool:
    schema = tool.arguments.model_json_schema()
    if index_names:
        schema["properties"]["index"]["description"] += f" There are: {', '.join(index_names)}."
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=schema,
        output_schema=tool.result.model_json_schema(),
        annotations=_READS,
    )


def _connection_of(context: ServerRequestContext[Any]) -> Connection:
    request: Any = context.request
    connection: Connection = request.scope[CONNECTION]
    return connection


server: Server[Any] = Server(
    "fabra",
    version=str(settings.FABRA_API_SCHEMA["VERSION"]),
    title="Knowledge base",
    instructions=INSTRUCTIONS,
    on_list_tools=list_tools,
    on_call_tool=call_tool,
)
