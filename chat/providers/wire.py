"""What a model's server sends, brought into shape.

Servers that speak OpenAI's protocol differ in what they leave out, add or send in another type. Nothing behind this
module sees more than text, reasoning, a finish reason, a model's name and whole numbers of tokens.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chat.providers.end_marks import EndMarks
from chat.providers.marks import OF_TEMPLATE
from chat.providers.server_errors import MOST_TOKENS, count_of, error_in, is_error, name_of
from chat.providers.thinking import Thinking
from common.text import storable
from common.validation import is_blank

_IS_TEXT = re.compile(r"(?:[a-z]+_)?(?<!summary_)(?<!reasoning_)(?<!thinking_)text|message|refusal", re.IGNORECASE)
"""The kinds of parts that are shown, such as `output_text`; another one, such as `reasoning`, is what it thought."""
_FINISH_REASONS = {
    "stop": (),
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
_KNOWN_REASONS = {name: reason for reason, names in _FINISH_REASONS.items() for name in (reason, *names)}
CHARS_PER_TOKEN = 16
"""The most that an answer of many tokens has on average, several times what languages and code have."""
LEAST_CHARS = 1_000
"""Up to which no answer is cut off here: a few tokens may have more characters than is usual."""
_MOST_THOUGHTS = 100_000
"""Characters that a model may think beside its answer."""


@dataclass(kw_only=True)
class ModelAnswer:
    """An answer as it comes in; `add` takes one body of the server and returns what may be shown by now."""

    model: str
    thinking: Thinking = field(default_factory=Thinking)
    most_chars: int = 1_000_000
    """Of the answer. What is longer is cut off, whatever the server was asked for."""
    finish_reason: str | None = None
    """By OpenAI's names, where there is one for it."""
    has_text: bool = False
    refused_options: list[str] = field(default_factory=list)
    """Options of the prompt that the server did not take, or that the operator set to something else."""
    is_full: bool = False
    """Whether it was cut off here, so that nothing more of it needs to be read."""
    _ends: EndMarks = field(default_factory=EndMarks)
    _shown_chars: int = 0
    _taken_chars: int = 0
    """Of the text and of all thoughts."""
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
        for name, count in _tokens_of(_usage_in(body)).items():
            self._tokens[name] = max(count, self._tokens.get(name, 0))
        if is_error(body):
            raise error_in(body.get("error") or body)
        choices = body.get("choices")
        shown = ""
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and count_of(choice.get("index")) == 0:  # we ask for one answer
                shown += self._add_choice(choice, is_whole=is_whole)
        return shown

    def end(self) -> str:
        """Return the text that was held back until now, when nothing follows any more."""
        half, self._half = storable(self._half), ""
        shown = self.thinking.split(half)
        rest = self._ends.split(shown + self.thinking.end(is_cut_off=self.finish_reason == "length"))
        return self._bounded(rest + self._ends.end())

    def _add_choice(self, choice: dict[str, Any], *, is_whole: bool) -> str:
        reason = name_of(choice.get("finish_reason"))
        reason = _KNOWN_REASONS.get(reason.lower(), reason)
        self.finish_reason = reason or self.finish_reason
        if reason == "error" or choice.get("error"):
            raise error_in(choice.get("error"))
        piece, whole = choice.get("delta"), choice.get("message")
        # Some servers send both: the other one is empty in a whole answer, and tells all again in a stream.
        message = whole or piece if is_whole else piece or (None if self._has_pieces else whole)
        if not isinstance(message, dict):
            return ""
        self._think(_text(message.get("reasoning_content")) or _text(message.get("reasoning")))
        text = ""
        for is_thought, part in _parts(message.get("content")):
            if is_thought:
                self._think(part)
            else:
                text += part
        text += _text(message.get("refusal"))
        self._has_pieces = self._has_pieces or bool(text)
        closing = OF_TEMPLATE.closing.search(text) if is_whole or not isinstance(piece, dict) else None
        if closing and not OF_TEMPLATE.is_in(text[: closing.start()]):
            self.thinking.begins_with_thinking = True
        return self._split(self._take(text))

    def _think(self, thought: str) -> None:
        self.thinking.thoughts.append(self._take(thought))

    def _take(self, text: str) -> str:
        """Return what is read of a text or thought: a model that does not come to an end is not read for ever."""
        left = self.most_chars + _MOST_THOUGHTS - self._taken_chars
        self._taken_chars += len(text)
        if len(text) > left:
            self._cut_off()
        return text[: max(0, left)]

    def _split(self, text: str) -> str:
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return self._bounded(self._ends.split(self.thinking.split(storable(text))))

    def _bounded(self, text: str) -> str:
        """Return the text that is shown, up to the most that an answer may have."""
        left = self.most_chars - self._shown_chars
        if len(text) > left:
            self._cut_off()
            text = text[:left]
        self._shown_chars += len(text)
        self.has_text = self.has_text or not is_blank(text)
        return text

    def _cut_off(self) -> None:
        self.finish_reason, self.is_full = "length", True


def _parts(content: Any, is_thought: bool = False) -> Iterator[tuple[bool, str]]:
    """Yield whether it is a thought, and the text, of each part of a content, which is a text or a list of parts."""
    if isinstance(content, str):
        yield is_thought, content
    for part in [content] if isinstance(content, dict) else content if isinstance(content, list) else []:
        if isinstance(part, str):
            yield is_thought, part
        elif isinstance(part, dict):
            kind = _text(part.get("type")) or "text"
            is_inner = is_thought or _IS_TEXT.fullmatch(kind) is None or part.get("thought") is True
            for name in ("text", "refusal", "thinking", "reasoning", "summary", "content"):
                yield from _parts(part.get(name), is_inner or name not in ("text", "refusal", "content"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _usage_in(body: dict[str, Any]) -> Any:
    """Return the counts of tokens, wherever a body has them: Groq and Moonshot tell those of a stream elsewhere."""
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    holders = (body, body.get("x_groq"), choice)
    return next((holder["usage"] for holder in holders if isinstance(holder, dict) and holder.get("usage")), None)


def _tokens_of(usage: Any) -> dict[str, int]:
    """Return the counts of tokens; empty where a server does not tell them, or what it tells cannot be."""
    if not isinstance(usage, dict) or not usage:
        return {}
    counts = {name: count_of(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    details = usage.get("prompt_tokens_details")
    cached = count_of(details.get("cached_tokens")) if isinstance(details, dict) else 0
    if max(cached, *counts.values()) > MOST_TOKENS:
        return {}
    return counts | ({"cached_tokens": cached} if cached else {})
