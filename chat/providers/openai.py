"""Answers from any OpenAI-compatible server: OpenAI, Azure, Anthropic's compatible endpoint, Ollama, vLLM."""

import email.utils
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpx2
import openai

from chat.errors import ModelError, ModelRefused, ModelTimeout, ModelUnreachable
from chat.providers.bodies import DONE, bodies_of, whole_body
from chat.providers.clients import client_of
from chat.providers.configured import ModelConfig
from chat.providers.protocol import Completion, Delta, Prompt
from chat.providers.server_errors import error_of, name_of
from chat.providers.thinking import Thinking
from chat.providers.wire import CHARS_PER_TOKEN, LEAST_CHARS, ModelAnswer

logger = logging.getLogger(__name__)

_refused: dict[tuple[str, str], set[str]] = {}
"""Parameters that a server and model have refused, so that they are not sent again by this process."""


class OpenAIProvider:
    """Calls a model's `/chat/completions`, once.

    The bodies are read as JSON, not as the SDK's models: those take half of the call's time, and raise for what
    servers other than OpenAI's leave out. `chat.providers.wire` brings them into shape.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self._left_out = set(_refused.get((config.base_url, config.model), ()))
        """Parameters that are not sent; kept for later calls once the server has answered without them."""

    async def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        """Yield the text as it comes, then the Completion; raise ModelError."""
        if not self.config.key:
            raise _without_key(self.config)
        thinking = Thinking(begins_with_thinking=self.config.begins_with_thinking)
        most_chars = max(LEAST_CHARS, CHARS_PER_TOKEN * prompt.most_tokens(self.config))
        answer = ModelAnswer(model=self.config.model, thinking=thinking, most_chars=most_chars)
        # What an operator sets for a model comes before what a client asks for.
        answer.refused_options += [name for name in prompt.options if name in self.config.parameters]
        answer.refused_options += self.config.cut(prompt.max_tokens)
        is_streamed = is_streamed and self.config.can_stream
        pieces = self._stream(prompt, answer) if is_streamed else self._complete(prompt, answer)
        with _model_errors(answer):
            async for text in pieces:
                if text:
                    yield Delta(text=text)
            if not answer.has_text:
                raise ModelError(f"The language model sent no text (finish reason {answer.finish_reason!r}).")
        yield Completion(
            model=answer.model,
            usage=answer.usage,
            finish_reason=answer.finish_reason,
            reasoning=answer.reasoning,
            refused_options=tuple(answer.refused_options),
            config=self.config,
        )

    async def _complete(self, prompt: Prompt, answer: ModelAnswer) -> AsyncIterator[str]:
        async with self._response(prompt, answer, is_streamed=False) as response:
            if response.headers.get("content-type", "").startswith("text/event-stream"):  # some servers always stream
                async for text in _pieces_of(response, answer):
                    yield text
                return
            body = await whole_body(response.iter_bytes())
        shown = answer.add(body, is_whole=True)
        if not isinstance(body, dict) or not body.get("choices"):
            raise ModelError("The language model's server sent an answer without choices.")
        yield shown
        yield answer.end()

    async def _stream(self, prompt: Prompt, answer: ModelAnswer) -> AsyncIterator[str]:
        async with self._response(prompt, answer, is_streamed=True) as response:
            async for text in _pieces_of(response, answer):
                yield text

    @asynccontextmanager
    async def _response(
        self, prompt: Prompt, answer: ModelAnswer, *, is_streamed: bool
    ) -> AsyncIterator[openai.AsyncAPIResponse[Any]]:
        """Ask, also without the parameters that the server refuses. Left early, it closes the model's connection."""
        client = await client_of(self.config)
        async with AsyncExitStack() as stack:
            while True:
                request = self._request(prompt, answer, is_streamed=is_streamed)
                asked = client.chat.completions.with_streaming_response.create(
                    **request, extra_body=self.config.parameters
                )
                try:
                    response = await stack.enter_async_context(asked)
                    break
                except openai.APIStatusError as error:
                    if not (self._can_do_without(request, error) or _refuses_option(prompt, answer, error)):
                        raise
            self._keep_left_out()
            yield response

    def _request(self, prompt: Prompt, answer: ModelAnswer, *, is_streamed: bool) -> dict[str, Any]:
        limit = "max_completion_tokens" if "max_tokens" in self._left_out else "max_tokens"
        return {
            "model": self.config.model,
            "messages": prompt.messages if self.config.takes_system else _without_system(prompt.messages),
            limit: prompt.most_tokens(self.config),
            **{name: value for name, value in prompt.options.items() if name not in answer.refused_options},
            **self._streaming(is_streamed=is_streamed),
        }

    def _streaming(self, *, is_streamed: bool) -> dict[str, Any]:
        if not is_streamed:
            return {}
        options = {} if "stream_options" in self._left_out else {"stream_options": {"include_usage": True}}
        return {"stream": True, **options}

    def _keep_left_out(self) -> None:
        """Leave the parameters out from now on; a server that still refuses meant something else."""
        if self._left_out:
            _refused.setdefault((self.config.base_url, self.config.model), set()).update(self._left_out)

    def _can_do_without(self, request: dict[str, Any], error: openai.APIStatusError) -> bool:
        """Return whether the server refused a parameter that need not be sent; the call is made again without it."""
        if error.status_code not in (400, 422):
            return False
        said = error.response.text
        for name in ("stream_options", "max_tokens"):
            if name in request and name in said:
                logger.info("The model's server refuses a request with %s; it is sent without.", name)
                self._left_out.add(name)
                return True
        return False


async def _pieces_of(response: openai.AsyncAPIResponse[Any], answer: ModelAnswer) -> AsyncIterator[str]:
    """Yield what may be shown of a stream, as it comes."""
    is_complete = False
    async for body in bodies_of(response.iter_bytes()):
        if body == DONE:
            is_complete = True
            break
        yield answer.add(body)
        if answer.is_full:
            break
    yield answer.end()
    # A server may leave out the finish reason, or the end; without both the connection broke off.
    if not is_complete and answer.finish_reason is None:
        raise ModelError("The language model's stream broke off.")


@contextmanager
def _model_errors(answer: ModelAnswer) -> Iterator[None]:
    """Raise what fails in the block as a ModelError, which has the usage that the server has reported until then."""
    try:
        yield
    except openai.APIStatusError as error:
        raise _from_status(error) from error
    except (openai.APITimeoutError, httpx2.TimeoutException) as error:
        raise _with_usage(_retryable(ModelTimeout()), answer) from error
    except openai.APIConnectionError as error:
        raise _retryable(ModelUnreachable()) from error
    except httpx2.TransportError as error:
        raise _with_usage(_retryable(_because(error)), answer) from error
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        raise _with_usage(_because(error), answer) from error
    except ModelError as error:
        if error.status is None:
            error.why = error.why or str(error)
        _with_usage(error, answer)
        raise


def _because(error: Exception) -> ModelError:
    """Return the error for one of the connection, whose sentence may hold an address or a key."""
    found = ModelError()
    found.why = type(error).__name__
    return found


def _with_usage(error: ModelError, answer: ModelAnswer) -> ModelError:
    error.usage, error.answered_model = answer.usage, answer.model
    return error


def _refuses_option(prompt: Prompt, answer: ModelAnswer, error: openai.APIStatusError) -> bool:
    """Return whether the server refused an option, which is left out of this call; its value may be what is wrong."""
    if error.status_code not in (400, 422):
        return False
    said = error.response.text
    left = [name for name in prompt.options if name not in answer.refused_options]
    named = [name for name in left if error.param == name or f"'{name}'" in said or f"`{name}`" in said]
    # Mistral names it in a list. Some servers repeat the whole request, with all its options: then none is named.
    in_words = [name for name in left if re.search(rf"\b{name}\b", said)]
    refused = named or (in_words if len(in_words) == 1 else [])
    answer.refused_options += refused[:1]
    return bool(refused)


def refused_parameters(config: ModelConfig) -> list[str]:
    """Return what a model's server has refused in this process, and is not sent any more."""
    return sorted(_refused.get((config.base_url, config.model), ()))


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the messages with the system's text at the beginning of the first message of the user."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return messages
    system, first, *rest = messages
    return [{"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def _without_key(config: ModelConfig) -> ModelRefused:
    error = ModelRefused("The language model's key is not set.")
    error.why = f"{config.key_variable} is not set"
    return error


def _retryable(error: ModelError) -> ModelError:
    error.may_retry = True
    return error


def _from_status(error: openai.APIStatusError) -> ModelError:
    # Its code, such as `model_not_found` or `insufficient_quota`, is for the operator; its sentence may hold a key.
    status, code = error.status_code, name_of(error.code)[:100]
    logger.warning("The model's server answered %d, code %r.", status, code)
    found = error_of(status, code)
    found.retry_after_s = _retry_after_s(error.response.headers)
    return found


def _retry_after_s(headers: httpx2.Headers) -> float | None:
    """Return the seconds of `Retry-After`, which has a number or a date, or of `Retry-After-Ms`; None without one."""
    try:
        if "retry-after-ms" in headers:
            return _wait_s(float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after", "")
        if date := email.utils.parsedate_tz(value):
            return _wait_s(email.utils.mktime_tz(date) - time.time())
        return _wait_s(float(value))
    except (ValueError, OverflowError):
        return None


def _wait_s(seconds: float) -> float | None:
    return max(0.0, seconds) if math.isfinite(seconds) else None
