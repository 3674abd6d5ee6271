"""The bodies of completions and of the pieces of a stream, as OpenAI's SDKs read them."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

from chat.citations import Citation
from chat.idempotency.views import StreamFormat
from chat.openai_api.annotations import annotations_of
from chat.providers.protocol import OPTION_REFUSED
from chat.turns.turn import Answer, Answered, Turn
from common.event_stream import event_of

_FINISH = {"answer_cut_off": "length", "answer_filtered": "content_filter"}
"""The finish reason for a flag of an answer; without one it is `stop`."""
_NOT_SHOWN = ("response", "context_used")
_NOTHING_USED = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
END = b"data: [DONE]\n\n"


Annotate = Callable[[str, Sequence[Citation]], Iterable[dict[str, Any]]]


class CompletionBodies:
    """One completion: what all of its bodies have in common."""

    def __init__(self, model: str, context_id: str | None, annotate: Annotate = annotations_of) -> None:
        self._annotate = annotate
        self._head = {"id": f"chatcmpl-{context_id or uuid4()}", "created": int(time.time()), "model": model}

    def whole(self, answer: Answer, text: str, usage: dict[str, int], ignored: Sequence[str]) -> dict[str, Any]:
        message = {
            "role": "assistant", "content": text, "refusal": None,
            "annotations": list(self._annotate(text, answer.citations)),
        }  # fmt: skip
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason_of(answer)}
        return {
            **self._head, "object": "chat.completion", "choices": [choice], "usage": usage,
            "fabra": more_of(answer, text, ignored),
        }  # fmt: skip

    def plain(self, text: str) -> dict[str, Any]:
        """Return the body of a text that the bot's model, conversations and documents have nothing to do with."""
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": _NOTHING_USED}

    def plain_pieces(self, text: str, *, includes_usage: bool) -> bytes:
        """Return the same as a stream."""
        pieces = [self.piece({"role": "assistant", "content": text}), self.piece({}, "stop")]
        return b"".join([*pieces, *([self.usage_piece(_NOTHING_USED)] if includes_usage else []), END])

    def piece(self, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._chunk([choice], **more)

    def last_piece(self, answer: Answer, text: str, ignored: Sequence[str], **more: Any) -> bytes:
        """Return the piece that ends the text: its annotations, and what is known of the answer."""
        delta = {"annotations": list(self._annotate(text, answer.citations))}
        return self.piece(delta, finish_reason_of(answer), fabra=more_of(answer, text, ignored), **more)

    def usage_piece(self, usage: dict[str, int]) -> bytes:
        return self._chunk([], usage=usage)

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return event_of({**self._head, "object": "chat.completion.chunk", "choices": choices, **more})


def _whole_stream(events: Sequence[bytes]) -> bytes:
    """Return a stream with one piece of text in place of many."""
    kept: list[bytes | dict[str, Any]] = []
    for sent in events:
        body = {} if sent == END else json.loads(sent.removeprefix(b"data: "))
        last = kept[-1] if kept else None
        if not _is_text(body):
            kept.append(sent)
        elif isinstance(last, dict):
            last["choices"][0]["delta"]["content"] += body["choices"][0]["delta"]["content"]
        else:
            kept.append(body)
    return b"".join(event_of(item) if isinstance(item, dict) else item for item in kept)


def _is_text(body: dict[str, Any]) -> bool:
    choices = body.get("choices") or []
    return bool(choices) and set(choices[0]["delta"]) == {"content"}


STREAM_FORMAT = StreamFormat(is_end=lambda sent: sent == END, whole=_whole_stream)


def finish_reason_of(answer: Answer) -> str:
    return next((_FINISH[flag] for flag in answer.flags if flag in _FINISH), "stop")


def more_of(answer: Answer, text: str, ignored: Sequence[str]) -> dict[str, Any]:
    """Return what `POST /chat` answers beside the text; `response` is there if the text is another one."""
    shown = {name: value for name, value in answer.to_dict().items() if name not in _NOT_SHOWN}
    refused = [flag.removeprefix(OPTION_REFUSED) for flag in answer.flags if flag.startswith(OPTION_REFUSED)]
    response = {"response": answer.response} if answer.response != text else {}
    return {**shown, "ignored": [*ignored, *refused], **response}


def asks_model(begun: Turn | Answered) -> bool:
    """Return whether a language model answers, or has answered before, rather than the program itself."""
    if isinstance(begun, Answered):
        return bool(begun.answer.usage.get("prompt_tokens"))
    return not begun.provider.is_extractive and bool(begun.context.evidence.get("messages"))


def usage_of(answer: Answer) -> dict[str, int]:
    """Return the tokens as they are billed: counted by the model's server, or here if it did not; 0 without a model."""
    found = {name: answer.usage.get(name) or 0 for name in _NOTHING_USED}
    found["total_tokens"] = found["total_tokens"] or found["prompt_tokens"] + found["completion_tokens"]
    return found
