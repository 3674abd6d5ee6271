"""Give the answer to a question as one body, or as the pieces of a stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

from chat.engine.answering import leave, run
from chat.openai_api.bodies import END, Annotate, CompletionBodies, usage_of
from chat.openai_api.delivery import closing_of, keep_state, missed_by
from chat.openai_api.errors import error_of
from chat.openai_api.questions import ParsedRequest
from chat.turns.turn import Answer, Answered, Turn
from common.event_stream import event_of
from common.guarded_stream import GuardedStream
from common.links import Asked
from contexts.items import SEPARATOR


class Reply:
    """The answer to one request, once the question is accepted."""

    def __init__(
        self,
        model: str,
        parsed: ParsedRequest,
        begun: Turn | Answered,
        request: Asked,
        *,
        includes_usage: bool,
        annotate: Annotate,
    ) -> None:
        self._parsed, self._begun, self._request, self._includes_usage = parsed, begun, request, includes_usage
        self._turn = begun if isinstance(begun, Turn) else None
        self.context_id = begun.context_id if isinstance(begun, Turn) else begun.answer.context_id
        self._completion = CompletionBodies(model, self.context_id, annotate)

    async def whole(self) -> dict[str, Any]:
        """Return the body of the whole answer; raise what the model's call raises."""
        async with aclosing(self._run(is_streamed=False)) as pieces:
            (answer,) = [piece async for piece in pieces if isinstance(piece, Answer)]
        missed = await self._missed()
        text = SEPARATOR.join(part for part in (missed, answer.response, closing_of(answer)) if part)
        await keep_state(self._parsed, answer, text)
        return self._completion.whole(answer, text, usage_of(answer), self._ignored(answer))

    def stream(self) -> AsyncIterator[bytes]:
        """Return the server-sent events; a turn whose stream nobody reads is ended."""
        pieces = self._pieces()
        return GuardedStream(pieces, partial(leave, self._turn)) if self._turn else pieces

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the server-sent events; an error after the first of them is the last one."""
        more: dict[str, Any] = {"usage": None} if self._includes_usage else {}
        yield self._completion.piece({"role": "assistant", "content": ""}, **more)
        said: list[str] = []
        answer: Answer | None = None
        try:
            async with aclosing(self._texts()) as texts:
                async for text in texts:
                    if isinstance(text, Answer):
                        answer = text
                    else:
                        said.append(text)
                        yield self._completion.piece({"content": text}, **more)
            assert answer is not None
            await keep_state(self._parsed, answer, "".join(said))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            yield event_of(error_of(error))
            return
        yield self._completion.last_piece(answer, "".join(said), self._ignored(answer), **more)
        if self._includes_usage:
            yield self._completion.usage_piece(usage_of(answer))
        yield END

    async def _texts(self) -> AsyncGenerator[str | Answer, None]:
        """Yield the text in pieces, with the lines around the answer, then the Answer."""
        answer: Answer | None = None
        is_begun = is_answering = False
        if missed := await self._missed():
            is_begun = True
            yield missed
        async with aclosing(self._run(is_streamed=True)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answer):
                    answer = piece
                elif piece:
                    if is_begun and not is_answering:
                        yield SEPARATOR
                    is_begun = is_answering = True
                    yield piece
        assert answer is not None
        rest = [closing_of(answer)] if is_answering else [answer.response, closing_of(answer)]
        for text in filter(None, rest):
            yield f"{SEPARATOR}{text}" if is_begun else text
            is_begun = True
        yield answer

    async def _run(self, *, is_streamed: bool) -> AsyncGenerator[str | Answer, None]:
        """Yield what the model writes, then the Answer."""
        if isinstance(self._begun, Answered):
            yield self._begun.answer.link_absolutely(self._request)
            return
        async with aclosing(run(self._begun, is_streamed=is_streamed)) as pieces:
            async for piece in pieces:
                yield piece.link_absolutely(self._request) if isinstance(piece, Answer) else piece

    def _ignored(self, answer: Answer) -> list[str]:
        """Return what of the request had no effect; without a model what is meant for one had none."""
        for_model = self._parsed.for_model if answer.is_extractive else ()
        return list(dict.fromkeys([*self._parsed.ignored, *for_model]))

    async def _missed(self) -> str:
        if isinstance(self._begun, Answered):
            return await missed_by(self._parsed, self._begun.answer.question_id, self._begun.answer.state)
        return await missed_by(self._parsed, self._begun.message.pk)
