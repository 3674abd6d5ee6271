"""The bodies of what a model's server answers: one of JSON, or many in a stream of server-sent events."""

import json
import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from chat.errors import ModelError
from chat.providers.server_errors import error_in

_LINE_END = re.compile(rb"\r\n|\r|\n")
DONE = "[DONE]"
"""What a server sends at last, when its stream is complete."""
_IS_NO_JSON = "The language model's server sent an answer that is not JSON."
_MOST_BYTES = 16_000_000
"""Of one body, or one line of a stream, and of what is read to find where the data of an event ends."""


async def whole_body(pieces: AsyncIterable[bytes]) -> Any:
    """Return the JSON of an answer that comes in pieces; raise ModelError if it is none, or longer than any."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        _check_size(len(body))
    return parse_body(body)


def parse_body(body: bytes | bytearray) -> Any:
    """Return the JSON of an answer; raise ModelError if it is none. Signs of control may stand in its texts."""
    try:
        return json.loads(body.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError) as error:
        raise ModelError(_IS_NO_JSON) from error


async def lines_of(pieces: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """Yield the lines of a stream of server-sent events, which end with CR, LF or both.

    Only those end a line there: U+2028, U+2029 and U+0085 may stand in JSON as they are, and `str.splitlines` splits at
    them.
    """
    rest, ended_with_cr, is_first = bytearray(), False, True
    async for piece in pieces:
        if ended_with_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        if piece:
            ended_with_cr = piece.endswith(b"\r")
        *lines, last = _LINE_END.split(piece)
        for line in lines:
            rest += line
            yield rest.decode("utf-8-sig" if is_first else "utf-8", "replace")
            rest, is_first = bytearray(), False
        rest += last
        _check_size(len(rest))
    if rest:
        yield rest.decode("utf-8", "replace")


async def bodies_of(pieces: AsyncIterable[bytes]) -> AsyncIterator[Any]:
    """Yield the JSON of each event of a stream of server-sent events, and DONE; raise ModelError.

    The data of an event may have several lines. A server may leave out the empty line behind an event.
    """
    data, is_error, is_plain, read = "", False, False, 0
    async for line in lines_of(pieces):
        name, _, value = line.partition(":")
        # The body, in one line or in many, of a server that does not stream, or fails before it does.
        is_plain = is_plain or (not data and line.startswith("{"))
        if is_plain:
            name, value = "data", line
            if data and not line.startswith("}"):  # not its last line
                data += f"\n{line}"
                _check_size(len(data))
                continue
        if name == "event":
            is_error = value.strip() == "error"
        elif name == "data" and value.strip():
            data = f"{data}\n{value.strip()}" if data else value.strip()
            read += len(data)
            _check_size(read)
            if data == DONE:
                body = DONE
            else:
                try:
                    body = json.loads(data, strict=False)
                except ValueError:
                    continue  # the next line may have the rest
                except RecursionError:
                    break
            if is_error:
                raise error_in(body.get("error") or body if isinstance(body, dict) else None)
            yield body
            data, is_plain, read = "", False, 0
        elif not line:
            if data:
                break
            is_error = False
    if is_error:
        raise error_in(None)
    if data:
        if not is_plain:
            raise ModelError(_IS_NO_JSON)
        yield parse_body(data.encode())


def _check_size(size: int) -> None:
    if size > _MOST_BYTES:
        raise ModelError("The language model's server sent more than an answer has.")
