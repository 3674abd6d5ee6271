"""Answers from any OpenAI-compatible server: OpenAI, Azure, Anthropic's compatible endpoint, Ollama, vLLM."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
from django.conf import settings

from chat.errors import ModelError, ModelRefused, ModelTimeout, ModelUnreachable
from chat.providers.protocol import Completion, Delta, Prompt
from chat.providers.wire import ModelAnswer, data_of, is_end, parse_body
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

_refused: dict[tuple[str, str], set[str]] = {}
"""Parameters that a server and model have refused, so that they are not sent again by this process."""


class OpenAIProvider:
    """Calls `/chat/completions`; the SDK retries what may succeed, a bounded number of times, with backoff.

    The bodies are read as JSON, not as the SDK's models: those take half of the call's time, and raise for what
    servers other than OpenAI's leave out. `chat.providers.wire` brings them into shape.
    """

    is_extractive = False

    def __init__(self, model: str) -> None:
        self.model = model

    async def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        """Yield the text as it comes, then the Completion; raise ModelError."""
        answer = ModelAnswer(model=self.model)
        pieces = self._stream(prompt, answer) if is_streamed else self._complete(prompt, answer)
        try:
            async for text in pieces:
                if text:
                    yield Delta(text=text)
        except openai.APITimeoutError as error:
            raise ModelTimeout from error
        except openai.APIConnectionError as error:
            raise ModelUnreachable from error
        except openai.APIStatusError as error:
            raise _from_status(error) from error
        except httpx2.TimeoutException as error:
            raise ModelTimeout from error
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise ModelError from error
        if not answer.has_text:
            raise ModelError(f"The language model sent no text (finish reason {answer.finish_reason!r}).")
        yield Completion(
            model=answer.model, usage=answer.usage, finish_reason=answer.finish_reason, reasoning=answer.reasoning,
            refused_options=tuple(answer.refused_options),
        )  # fmt: skip

    async def _complete(self, prompt: Prompt, answer: ModelAnswer) -> AsyncIterator[str]:
        client = await _client.get()
        while True:
            request = self._request(prompt, answer)
            try:
                response = await client.post("/chat/completions", body=request, cast_to=httpx2.Response)
                break
            except openai.APIStatusError as error:
                if not (self._can_do_without(request, error) or _refuses_option(prompt, answer, error)):
                    raise
        body = parse_body(response.content)
        if not isinstance(body, dict) or not (body.get("choices") or body.get("error")):
            raise ModelError("The language model's server sent an answer without choices.")
        yield answer.add(body)
        yield answer.end()

    async def _stream(self, prompt: Prompt, answer: ModelAnswer) -> AsyncIterator[str]:
        client = await _client.get()
        while True:
            request = self._request(prompt, answer) | {"stream": True}
            if "stream_options" not in self._refused_parameters():
                request["stream_options"] = {"include_usage": True}
            try:
                # Left early (the client went away), it closes the model's connection.
                async with client.chat.completions.with_streaming_response.create(**request) as response:
                    is_complete = False
                    async for line in response.iter_lines():
                        data = data_of(line)
                        if data is None:
                            continue
                        if is_end(data):
                            is_complete = True
                            break
                        yield answer.add(parse_body(data))
                    yield answer.end()
                    # A server may leave out the finish reason, or the end; without both the connection broke off.
                    if not is_complete and answer.finish_reason is None:
                        raise ModelError("The language model's stream broke off.")
                return
            except openai.APIStatusError as error:
                if not (self._can_do_without(request, error) or _refuses_option(prompt, answer, error)):
                    raise

    def _request(self, prompt: Prompt, answer: ModelAnswer) -> dict[str, Any]:
        limit = "max_completion_tokens" if "max_tokens" in self._refused_parameters() else "max_tokens"
        return {
            "model": self.model,
            "messages": prompt.messages,
            limit: prompt.max_tokens or settings.FABRA_MODEL_MAX_TOKENS,
            **{name: value for name, value in prompt.options.items() if name not in answer.refused_options},
        }

    def _refused_parameters(self) -> set[str]:
        return _refused.setdefault((settings.OPENAI_BASE_URL, self.model), set())

    def _can_do_without(self, request: dict[str, Any], error: openai.APIStatusError) -> bool:
        """Return whether the server refused a parameter that need not be sent; it is then left out from now on."""
        if error.status_code not in (400, 422):
            return False
        said = error.response.text
        for name in ("stream_options", "max_tokens"):
            if name in request and name in said:
                logger.info("The model's server takes no %s; it is not sent to it again.", name)
                self._refused_parameters().add(name)
                return True
        return False


def _refuses_option(prompt: Prompt, answer: ModelAnswer, error: openai.APIStatusError) -> bool:
    """Return whether the server refused an option, which is left out of this call; its value may be what is wrong."""
    if error.status_code not in (400, 422):
        return False
    said = error.response.text
    for name in prompt.options:
        if name not in answer.refused_options and (error.param == name or f"'{name}'" in said or f"`{name}`" in said):
            answer.refused_options.append(name)
            return True
    return False


def _from_status(error: openai.APIStatusError) -> ModelError:
    # Its code, such as `model_not_found` or `insufficient_quota`, is for the operator; its sentence may hold a key.
    logger.warning("The model's server answered %d, code %.100r.", error.status_code, error.code)
    if error.status_code in (408, 504):
        return ModelTimeout()
    if 400 <= error.status_code < 500:
        return ModelRefused(f"The language model's server refused the request with status {error.status_code}.")
    return ModelError(f"The language model's server failed with status {error.status_code}.")
