"""What a model's server sends, brought into shape.

Servers that speak OpenAI's protocol differ in what they leave out, add or send in another type. Nothing behind this
module sees more than text, reasoning, a finish reason, a model's name and whole numbers of tokens.
"""

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from chat.errors import ModelError, ModelRefused, ModelTimeout
from chat.providers.thinking import THINKING, THINKING_END, Thinking
from common.text import single_line, storable

_IS_TEXT = re.compile(r"(?:[a-z]+_)?(?<!summary_)(?<!reasoning_)(?<!thinking_)text|message|refusal", re.IGNORECASE)
"""The kinds of parts that are shown, such as `output_text`; another one, such as `reasoning`, is what it thought."""
_LINE_END = re.compile(rb"\r\n|\r|\n")
DONE = "[DONE]"
"""What a server sends at last, when its stream is complete."""
_FINISH_REASONS = {
    "length": (
        "max_tokens", "model_length", "max_output_tokens", "model_context_window_exceeded", "token_limit",
        "length_limit",
    ),
    "content_filter": (
        "content_filtered", "safety", "sensitive", "recitation", "blocklist", "prohibited_content", "spii", "refusal",
        "guardrail_intervened",
    ),
    "error": ("insufficient_system_resource", "network_error", "abort", "aborted", "malformed_response"),
    "": ("null", "none"),
}  # fmt: skip
"""What servers call the reasons that matter here: Mistral, DeepSeek, Gemini, Zhipu, Anthropic, Bedrock, vLLM."""
_KNOWN_REASONS = {name: reason for reason, names in _FINISH_REASONS.items() for name in names}
_IS_NO_JSON = "The language model's server sent an answer that is not JSON."
_NAME_MAX_CHARS = 200
_MOST_TOKENS = 10_000_000
"""The most tokens of one call, twice the largest window there is; a server that tells more has not counted."""


@dataclass(kw_only=True)
class ModelAnswer:
    """An answer as it comes in; `add` takes one body of the server and returns what may be shown by now."""

    model: str
    thinking: Thinking = field(default_factory=Thinking)
    finish_reason: str | None = None
    """By OpenAI's names, where there is one for it."""
    has_text: bool = False
    refused_options: list[str] = field(default_factory=list)
    """Options of the prompt that the server did not take, or that the operator set to something else."""
    _tokens: dict[str, int] = field(default_factory=dict)
    _has_pieces: bool = False
    """Whether text came in pieces, shown or not: a whole message after them tells it again."""
    _half: str = ""
    """The first of a pair of surrogates."""

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered: kept, not shown."""
        return storable("".join(self.thinking.thoughts))

    @property
    def usage(self) -> dict[str, int] | None:
        """The counts of tokens; None where the server does not tell those of the prompt, which has some.

        Gemini and xAI leave what was thought out of `completion_tokens`, though it is billed like the answer.
        """
        counts = dict(self._tokens)
        if not counts.get("prompt_tokens"):
            return None
        written = counts["total_tokens"] - counts["prompt_tokens"]
        return counts | {"completion_tokens": max(counts["completion_tokens"], written)}

    def add(self, body: Any, *, is_whole: bool = False) -> str:
        """Take a whole answer or a piece of one; return the text that may be shown. Raise ModelError for an error."""
        if not isinstance(body, dict):
            return ""
        self.model = name_of(body.get("model")) or self.model
        for name, count in _tokens_of(body.get("usage")).items():
            self._tokens[name] = max(count, self._tokens.get(name, 0))
        if _is_error(body):
            raise _error_in(body.get("error") or body)
        choices = body.get("choices")
        shown = ""
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and _count(choice.get("index")) == 0:  # we ask for one answer
                shown += self._add_choice(choice, is_whole=is_whole)
        return shown

    def end(self) -> str:
        """Return the text that was held back until now, when nothing follows any more."""
        half, self._half = storable(self._half), ""
        shown = self.thinking.split(half)
        return self._shown(shown + self.thinking.end(is_cut_off=self.finish_reason == "length"))

    def _add_choice(self, choice: dict[str, Any], *, is_whole: bool) -> str:
        reason = name_of(choice.get("finish_reason"))
        reason = _KNOWN_REASONS.get(reason.lower(), reason)
        self.finish_reason = reason or self.finish_reason
        if reason == "error" or choice.get("error"):
            raise _error_in(choice.get("error"))
        piece, whole = choice.get("delta"), choice.get("message")
        # Some servers send both: the other one is empty in a whole answer, and tells all again in a stream.
        message = whole or piece if is_whole else piece or (None if self._has_pieces else whole)
        if not isinstance(message, dict):
            return ""
        self.thinking.thoughts.append(_text(message.get("reasoning_content")) or _text(message.get("reasoning")))
        text = ""
        for is_thought, part in _parts(message.get("content")):
            if is_thought:
                self.thinking.thoughts.append(part)
            else:
                text += part
        text += _text(message.get("refusal"))
        self._has_pieces = self._has_pieces or bool(text)
        before, closing, _ = text.partition(THINKING_END)
        if (is_whole or not isinstance(piece, dict)) and closing and THINKING not in before:
            self.thinking.begins_with_thinking = True
        return self._split(text)

    def _split(self, text: str) -> str:
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return self._shown(self.thinking.split(storable(text)))

    def _shown(self, text: str) -> str:
        self.has_text = self.has_text or bool(text.strip())
        return text


def name_of(value: Any) -> str:
    """Return a name that a server sends, of a model, a reason or an error, as a line that fits a column."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return ""
    return single_line(storable(str(value)[: 2 * _NAME_MAX_CHARS]))[:_NAME_MAX_CHARS]


def error_of(status: int, code: str) -> ModelError:
    """Return the error that a server tells by an HTTP status; `code` is what it calls it, such as `model_not_found`."""
    found: ModelError
    if status in (408, 504):
        found = ModelTimeout()
    elif 400 <= status < 500:
        found = ModelRefused(f"The language model's server refused the request with status {status}.")
    else:
        found = ModelError(f"The language model's server failed with status {status}.")
    found.status, found.why = status, code
    # As OpenAI's own SDK: 409 is a lock that was not free. A quota that is used up is a 429 that no wait ends.
    found.may_retry = (status in (408, 409, 429) or status >= 500) and code != "insufficient_quota"
    found.is_of_request = status in (400, 413, 422)
    return found


def parse_body(body: bytes) -> Any:
    """Return the JSON of an answer; raise ModelError if it is none."""
    try:
        return json.loads(body.decode("utf-8-sig", "replace"))
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
    if rest:
        yield rest.decode("utf-8", "replace")


async def bodies_of(pieces: AsyncIterable[bytes]) -> AsyncIterator[Any]:
    """Yield the JSON of each event of a stream of server-sent events, and DONE; raise ModelError.

    The data of an event may have several lines. A server may leave out the empty line behind an event.
    """
    data, is_error, is_plain = "", False, False
    async for line in lines_of(pieces):
        name, _, value = line.partition(":")
        # The body, in one line or in many, of a server that does not stream, or fails before it does.
        is_plain = is_plain or (not data and line.startswith("{"))
        if is_plain:
            name, value = "data", line
            if data and not line.startswith("}"):  # not its last line
                data += f"\n{line}"
                continue
        if name == "event":
            is_error = value.strip() == "error"
        elif name == "data" and value.strip():
            data = f"{data}\n{value.strip()}" if data else value.strip()
            if data == DONE:
                body = DONE
            else:
                try:
                    body = json.loads(data)
                except ValueError:
                    continue  # the next line may have the rest
                except RecursionError:
                    break
            if is_error:
                raise _error_in(body.get("error") or body if isinstance(body, dict) else None)
            yield body
            data, is_plain = "", False
        elif not line:
            if data:
                break
            is_error = False
    if is_error:
        raise _error_in(None)
    if data:
        if not is_plain:
            raise ModelError(_IS_NO_JSON)
        yield parse_body(data.encode())


def _error_in(told: Any) -> ModelError:
    """Return the error that a body with a good status reports; gateways put the status of the other one into it."""
    code = told.get("code") if isinstance(told, dict) else None
    status = _count(code)
    if 400 <= status < 600:
        return error_of(status, name_of(told.get("type"))[:100])
    error = ModelError("The language model's server answered with an error.")
    error.why = name_of(code)[:100]
    return error


def _is_error(body: dict[str, Any]) -> bool:
    """Return whether a body reports an error; not all servers put it into `error`."""
    if body.get("error") or body.get("error_code") or body.get("object") == "error":
        return True
    return "choices" not in body and bool(body.get("message") or body.get("detail"))


def _parts(content: Any, is_thought: bool = False) -> Iterator[tuple[bool, str]]:
    """Yield whether it is a thought, and the text, of each part of a content, which is a text or a list of parts."""
    if isinstance(content, str):
        yield is_thought, content
    for part in content if isinstance(content, list) else []:
        if isinstance(part, str):
            yield is_thought, part
        elif isinstance(part, dict):
            kind = _text(part.get("type")) or "text"
            is_inner = is_thought or _IS_TEXT.fullmatch(kind) is None or part.get("thought") is True
            for name in ("text", "refusal", "thinking", "reasoning", "summary", "content"):
                yield from _parts(part.get(name), is_inner or name not in ("text", "refusal", "content"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _tokens_of(usage: Any) -> dict[str, int]:
    """Return the counts of tokens; empty where a server does not tell them, or what it tells cannot be."""
    if not isinstance(usage, dict) or not usage:
        return {}
    counts = {name: _count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    if max(cached, *counts.values()) > _MOST_TOKENS:
        return {}
    return counts | ({"cached_tokens": cached} if cached else {})


def _count(value: Any) -> int:
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError):
        return 0
    except OverflowError:
        return _MOST_TOKENS + 1
