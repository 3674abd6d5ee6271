"""Answer by any OpenAI-compatible server: OpenAI, Azure, Anthropic's compatible endpoint, Ollama, vLLM."""

import logging
from collections.abc import AsyncIterator
from json import JSONDecodeError
from typing import Any

import openai
from django.conf import settings
from httpx2 import Response

from chat.errors import ModelError, ModelRefused, ModelTimeout, ModelUnreachable
from chat.providers.protocol import Completion, Delta, Prompt
from common.per_loop import PerLoop

logger = logging.getLogger(__name__)


def _make() -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=settings.OPENAI_API_KEY,
        base_url=settings.OPENAI_BASE_URL,
        timeout=settings.FABRA_MODEL_TIMEOUT_S,
        max_retries=settings.FABRA_MODEL_RETRIES,
    )


_client: PerLoop[openai.AsyncOpenAI] = PerLoop(_make, lambda client: client.close())


class OpenAIProvider:
    """Call `/chat/completions`; the SDK retries temporary errors a bounded number of times, with backoff."""

    is_extractive = False

    def __init__(self, model: str) -> None:
        self.model = model

    async def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        pieces = self._stream(prompt) if is_streamed else self._complete(prompt)
        try:
            async for piece in pieces:
                yield piece
        except openai.APITimeoutError as error:
            raise ModelTimeout from error
        except openai.APIConnectionError as error:
            raise ModelUnreachable from error
        except openai.APIStatusError as error:
            raise _from_status(error) from error
        except openai.OpenAIError as error:
            raise ModelError from error
        except JSONDecodeError as error:
            raise ModelError("The language model's server sent an answer that is not JSON.") from error

    async def _complete(self, prompt: Prompt) -> AsyncIterator[Delta | Completion]:
        client = await _client.get()
        # `chat.completions.create` would spend half of the call's time on converting dicts to models and back.
        answer = await client.post("/chat/completions", body=self._request(prompt), cast_to=Response)
        text, completion = self._read(answer)
        yield Delta(text=text)
        yield completion

    def _read(self, answer: Response) -> tuple[str, Completion]:
        try:
            body = answer.json()
            choice = body["choices"][0]
            text, finish_reason = choice["message"]["content"], choice.get("finish_reason")
            model, usage = body.get("model") or self.model, _usage(body.get("usage"))
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise ModelError("The language model's server sent an answer without choices.") from error
        if not text or not isinstance(text, str):
            raise ModelError(f"The language model sent no text (finish reason {finish_reason!r}).")
        return text, Completion(model=model, usage=usage, finish_reason=finish_reason)

    async def _stream(self, prompt: Prompt) -> AsyncIterator[Delta | Completion]:
        client = await _client.get()
        usage, finish_reason, model, has_text = None, None, self.model, False
        stream = await client.chat.completions.create(
            **self._request(prompt), stream=True, stream_options={"include_usage": True}
        )
        async with stream:  # leaving it early, when the client disconnects, closes the model's connection
            async for chunk in stream:
                model, usage = chunk.model or model, _usage(chunk.usage and chunk.usage.to_dict()) or usage
                for choice in chunk.choices:
                    finish_reason = choice.finish_reason or finish_reason
                    if choice.delta.content:
                        has_text = True
                        yield Delta(text=choice.delta.content)
        if finish_reason is None:
            raise ModelError("The language model's stream broke off.")
        if not has_text:
            raise ModelError(f"The language model sent no text (finish reason {finish_reason!r}).")
        yield Completion(model=model, usage=usage, finish_reason=finish_reason)

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        return {"model": self.model, "messages": prompt.messages, "max_tokens": settings.FABRA_MODEL_MAX_TOKENS}


def _usage(usage: dict[str, Any] | None) -> dict[str, int] | None:
    if not usage:
        return None
    return {name: usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _from_status(error: openai.APIStatusError) -> ModelError:
    # The code, such as `model_not_found` or `insufficient_quota`, helps the operator; the message may contain a key.
    logger.warning("The model's server answered %d, code %.100r.", error.status_code, error.code)
    if error.status_code in (408, 504):
        return ModelTimeout()
    if 400 <= error.status_code < 500:
        return ModelRefused(f"The language model's server refused the request with status {error.status_code}.")
    return ModelError(f"The language model's server failed with status {error.status_code}.")
