"""Ask a configured model whether it works, how fast it is, and what its server reports."""

import time
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import openai

from chat.errors import ModelError
from chat.models import Purpose
from chat.providers.bodies import parse_body
from chat.providers.clients import client_of
from chat.providers.configured import ModelConfig
from chat.providers.marks import OF_TEMPLATE
from chat.providers.openai import OpenAIProvider, refused_parameters
from chat.providers.protocol import Completion, Prompt, whole_answer

# Without a longest answer of its own it gets the model's, as a chat does: one that thinks first needs many.
PROMPT = Prompt(
    messages=[
        {"role": "system", "content": "You are a support bot."},
        {"role": "user", "content": "Answer with one word: does this work?"},
    ],
    purpose=Purpose.CHECK,
)

OPTIONS = {
    "temperature": 0.5, "seed": 1, "stop": ["###"], "presence_penalty": 0.1, "frequency_penalty": 0.1,
    "reasoning_effort": "low",
}  # fmt: skip
"""What clients of `/v1` may ask for, and servers may refuse."""
_WITH_OPTIONS = replace(PROMPT, options=OPTIONS)

_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens", "n_ctx")
"""What servers call the window in `/models`: vLLM, OpenRouter, Groq, Mistral and LM Studio, Anthropic, llama.cpp."""


@dataclass(kw_only=True)
class Probe:
    """What came of asking one model."""

    config: ModelConfig
    text: str = ""
    completion: Completion | None = None
    ms: float = 0.0
    first_ms: float | None = None
    window: int | None = None
    """As the server tells; None where it does not."""
    begins_with_thinking: bool = False
    """Its answer has the end of its thoughts, and no mark before them."""
    refused: list[str] = field(default_factory=list)
    """Parameters that the server does not take: its own are not sent any more, options are left out of each call."""
    refuses_options: bool = False
    """It refused the call with options, and did not say which of them."""
    with_options: Completion | None = None
    """What came of the call with options."""
    text_with_options: str = ""
    error: ModelError | None = None

    @property
    def is_working(self) -> bool:
        return self.error is None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.config.name,
            "model": self.config.model,
            "base_url": self.config.base_url,
            "is_working": self.is_working,
            "answered_model": self.completion.model if self.completion else None,
            "first_token_ms": self.first_ms,
            "latency_ms": self.ms,
            "window": self.window or self.config.window or None,
            "window_is_told": self.window is not None,
            "refused_parameters": self.refused,
            "refuses_options": self.refuses_options,
            "begins_with_thinking": self.begins_with_thinking,
            "usage": self.completion.usage if self.completion else None,
            "error": self.error and {"code": self.error.code, "status": self.error.status, "why": self.error.why},
        }


async def probe(config: ModelConfig) -> Probe:
    """Return what came of one short question; nothing is raised for a model that fails."""
    found, started = Probe(config=config), time.perf_counter()
    try:
        async with aclosing(OpenAIProvider(config).run(PROMPT, is_streamed=True)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if isinstance(piece, Completion):
                    found.completion = piece
                else:
                    found.first_ms = found.first_ms or _elapsed_ms(started)
                    found.text += piece.text
    except ModelError as error:
        found.error = error
    found.ms, found.refused = _elapsed_ms(started), refused_parameters(config)
    found.begins_with_thinking = config.begins_with_thinking or bool(OF_TEMPLATE.closing.search(found.text))
    if found.is_working:
        found.window = await _told_window(config)
        await _try_options(found)
    return found


async def _try_options(found: Probe) -> None:
    """Note which options the server refuses; one that fails otherwise tells nothing of them."""
    try:
        found.text_with_options, completion = await whole_answer(OpenAIProvider(found.config), _WITH_OPTIONS)
    except ModelError as error:
        found.refuses_options = error.is_of_request
        return
    found.with_options = completion
    found.refused += [name for name in completion.refused_options if name not in found.config.parameters]


async def _told_window(config: ModelConfig) -> int | None:
    """Return the window that the server's list of models has, if it has one."""
    client = await client_of(config)
    try:
        response = await client.get("/models", cast_to=httpx2.Response)
        body = parse_body(response.content)
    except (openai.OpenAIError, httpx2.HTTPError, ModelError):
        return None
    listed = body.get("data") if isinstance(body, dict) else None
    models = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    chosen = [entry for entry in models if entry.get("id") == config.model] or (models if len(models) == 1 else [])
    for model in chosen:
        about = model | (model["meta"] if isinstance(model.get("meta"), dict) else {})
        for name in _WINDOWS:
            if isinstance(about.get(name), int) and about[name] > 0:
                return int(about[name])
    return None


def _elapsed_ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
