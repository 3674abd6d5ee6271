"""What a model's server sends, brought into shape.

Servers that speak OpenAI's protocol differ in what they leave out, add or send in another type. Nothing behind this
module sees more than text, reasoning, a finish reason, a model's name and whole numbers of tokens.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chat.errors import ModelError

_OPEN, _CLOSE = "<think>", "</think>"
_DONE = "[DONE]"
_NO_CHARACTER = "\ufffd"


@dataclass(kw_only=True)
class ModelAnswer:
    """An answer as it comes in; `add` takes one body of the server, `text_of` what may be shown by now."""

    model: str
    reasoning: str = ""
    """What the model thought before it answered: kept, not shown."""
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    has_text: bool = False
    refused_options: list[str] = field(default_factory=list)
    """Options of the prompt that the server did not take, or that the operator set to something else."""
    _held: str = ""
    """Text that may be the beginning of something else: of a pair of surrogates, or of a mark of thinking."""
    _is_thinking: bool = False
    _may_think: bool = field(default=True)
    """A mark of thinking stands at the beginning of an answer, nowhere else."""

    def add(self, body: Any) -> str:
        """Take a whole answer or a piece of one; return the text that may be shown. Raise ModelError for an error."""
        if not isinstance(body, dict):
            return ""
        if body.get("error"):
            raise ModelError("The language model's server answered with an error.")
        self.model = _text(body.get("model")) or self.model
        self.usage = _usage(body.get("usage")) or self.usage
        choices = body.get("choices")
        shown = ""
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and choice.get("index", 0) == 0:  # we ask for one answer
                shown += self._add_choice(choice)
        return shown

    def end(self) -> str:
        """Return the text that was held back until now, when nothing follows any more."""
        rest, self._held = _whole(self._held), ""
        if self._is_thinking:
            self.reasoning += rest
            return ""
        return self._shown(rest)

    def _add_choice(self, choice: dict[str, Any]) -> str:
        self.finish_reason = _text(choice.get("finish_reason")) or self.finish_reason
        message = choice.get("delta") or choice.get("message")
        if not isinstance(message, dict):
            return ""
        self.reasoning += _text(message.get("reasoning_content") or message.get("reasoning"))
        text = ""
        for kind, part in _parts(message.get("content")):
            if kind == "thinking":
                self.reasoning += part
            else:
                text += part
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
        if self._is_thinking:
            thought, mark, text = text.partition(_CLOSE)
            if not mark:
                keep = len(_CLOSE) - 1
                self.reasoning += _whole(thought[:-keep]) if len(thought) > keep else ""
                self._held = thought[-keep:]
                return ""
            self.reasoning += _whole(thought)
            self._is_thinking, text = False, text.lstrip()
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held, text = text[-1], text[:-1]
        else:
            self._held = ""
        return self._shown(_whole(text))

    def _shown(self, text: str) -> str:
        self.has_text = self.has_text or bool(text.strip())
        return text


def parse_body(text: str | bytes) -> Any:
    """Return the JSON of an answer; raise ModelError if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError("The language model's server sent an answer that is not JSON.") from error


def data_of(line: str) -> str | None:
    """Return the data of a line of a stream of server-sent events; None for another line."""
    return line[5:].strip() if line.startswith("data:") else None


def is_end(data: str) -> bool:
    """Return whether the server says that its stream is complete."""
    return data == _DONE


def _parts(content: Any) -> Iterator[tuple[str, str]]:
    """Yield the kind and text of a content, which is a text or a list of parts."""
    if isinstance(content, str):
        yield "text", content
    for part in content if isinstance(content, list) else []:
        if not isinstance(part, dict):
            continue
        kind = _text(part.get("type"))
        value = part.get("thinking") if kind == "thinking" else part.get("text")
        yield from ((kind, text) for _, text in _parts(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _usage(usage: Any) -> dict[str, int] | None:
    if not isinstance(usage, dict) or not usage:
        return None
    counts = {name: _count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    return counts | ({"cached_tokens": cached} if cached else {})


def _count(value: Any) -> int:
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError, OverflowError):
        return 0


def _whole(text: str) -> str:
    """Return the text with its pairs of surrogates joined, and a sign in place of one that is alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
