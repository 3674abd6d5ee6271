"""What a model's server sends, brought into shape.

Servers that speak OpenAI's protocol differ in what they leave out, add or send in another type. Nothing behind this
module sees more than text, reasoning, a finish reason, a model's name and whole numbers of tokens.
"""

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from chat.errors import ModelError
from common.text import single_line, storable

_OPEN, THINKING_END = "<think>", "</think>"
_IS_TEXT = re.compile(r"(?:[a-z]+_)?(?<!summary_)(?<!reasoning_)(?<!thinking_)text|message", re.IGNORECASE)
"""The kinds of parts that are shown, such as `output_text`; another one, such as `reasoning`, is what it thought."""
_LINE_END = re.compile(rb"\r\n|\r|\n")
_DONE = "[DONE]"
_NAME_MAX_CHARS = 200
_MOST_TOKENS = 10_000_000
"""Of one call, twice the largest window there is; a server that tells more has not counted."""


@dataclass(kw_only=True)
class ModelAnswer:
    """An answer as it comes in; `add` takes one body of the server and returns what may be shown by now."""

    model: str
    begins_with_thinking: bool = False
    """The chat template opens the mark of thinking, so that the answer has the closing one only."""
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    has_text: bool = False
    refused_options: list[str] = field(default_factory=list)
    """Options of the prompt that the server did not take, or that the operator set to something else."""
    _thoughts: list[str] = field(default_factory=list)
    _held: str = ""
    """Text that may be the beginning of something else: of a pair of surrogates, or of a mark of thinking."""
    _assumed: list[str] | None = None
    """What came of an answer that is taken to begin with thinking, until the closing mark proves it."""
    _is_thinking: bool = False
    _is_behind_thoughts: bool = False
    """Between the closing mark and the first word, where blanks are no text."""
    _may_think: bool = field(default=True)
    """A mark of thinking stands at the beginning of an answer, nowhere else."""

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered: kept, not shown."""
        return storable("".join(self._thoughts))

    def add(self, body: Any) -> str:
        """Take a whole answer or a piece of one; return the text that may be shown. Raise ModelError for an error."""
        if not isinstance(body, dict):
            return ""
        if body.get("error"):
            raise ModelError("The language model's server answered with an error.")
        self.model = name_of(body.get("model")) or self.model
        self.usage = _usage(body.get("usage")) or self.usage
        choices = body.get("choices")
        shown = ""
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and _count(choice.get("index")) == 0:  # we ask for one answer
                shown += self._add_choice(choice)
        return shown

    def end(self) -> str:
        """Return the text that was held back until now, when nothing follows any more."""
        rest, self._held = storable(self._held), ""
        if not self._is_thinking:
            return self._shown(rest)
        thought = "".join([*(self._assumed or ()), rest])
        if self._assumed is not None and self.finish_reason != "length":
            return self._shown(thought)  # this time it has not thought
        self._thoughts.append(thought)
        return ""

    def _add_choice(self, choice: dict[str, Any]) -> str:
        self.finish_reason = name_of(choice.get("finish_reason")) or self.finish_reason
        is_whole = not isinstance(choice.get("delta"), dict)
        message = choice.get("delta") or choice.get("message")
        if not isinstance(message, dict):
            return ""
        self._thoughts.append(_text(message.get("reasoning_content")) or _text(message.get("reasoning")))
        text = ""
        for is_thought, part in _parts(message.get("content")):
            if is_thought:
                self._thoughts.append(part)
            else:
                text += part
        if is_whole and THINKING_END in text and _OPEN not in text.partition(THINKING_END)[0]:
            self.begins_with_thinking = True
        return self._split(text.replace("\x00", ""))

    def _split(self, text: str) -> str:
        """Return what is to be shown of the text so far; what lies between the marks of thinking is kept apart."""
        text = self._held + text
        if self._may_think and not self._is_thinking:
            start = text.lstrip()
            if _OPEN.startswith(start[: len(_OPEN)]) and len(start) < len(_OPEN):
                self._held = text  # empty, or the beginning of a mark
                return ""
            self._may_think = False
            if start.startswith(_OPEN):
                self._is_thinking, text = True, start[len(_OPEN) :]
            elif self.begins_with_thinking:
                self._is_thinking, self._assumed = True, []
        if self._is_thinking:
            thoughts = self._thoughts if self._assumed is None else self._assumed
            thought, mark, text = text.partition(THINKING_END)
            if not mark:
                keep = len(THINKING_END) - 1
                thoughts.append(thought[:-keep])
                self._held = thought[-keep:]
                return ""
            self._thoughts += [*(self._assumed or ()), thought]
            self._is_thinking, self._assumed, self._is_behind_thoughts = False, None, True
        if self._is_behind_thoughts:
            text = text.lstrip()
            self._is_behind_thoughts = not text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held, text = text[-1], text[:-1]
        else:
            self._held = ""
        return self._shown(storable(text))

    def _shown(self, text: str) -> str:
        self.has_text = self.has_text or bool(text.strip())
        return text


def name_of(value: Any) -> str:
    """Return a name that a server sends, of a model, a reason or an error, as a line that a column has room for."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return ""
    return single_line(storable(str(value)[: 2 * _NAME_MAX_CHARS]))[:_NAME_MAX_CHARS]


def parse_body(text: str | bytes) -> Any:
    """Return the JSON of an answer; raise ModelError if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError("The language model's server sent an answer that is not JSON.") from error


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


def data_of(line: str) -> str | None:
    """Return the data of a line of a stream of server-sent events; None for another line, and for empty data."""
    return line[5:].strip() or None if line.startswith("data:") else None


def is_end(data: str) -> bool:
    """Return whether the server says that its stream is complete."""
    return data == _DONE


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
            for name in ("text", "thinking", "reasoning", "summary", "content"):
                yield from _parts(part.get(name), is_inner or name not in ("text", "content"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _usage(usage: Any) -> dict[str, int] | None:
    """Return the counts of tokens; None where a server does not tell them, or what it tells cannot be."""
    if not isinstance(usage, dict) or not usage:
        return None
    counts = {name: _count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    if max(cached, *counts.values()) > _MOST_TOKENS:
        return None
    return counts | ({"cached_tokens": cached} if cached else {})


def _count(value: Any) -> int:
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError):
        return 0
    except OverflowError:
        return _MOST_TOKENS + 1
