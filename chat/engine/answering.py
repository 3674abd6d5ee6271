"""Answer a message that was begun: run its model, check the answer and commit it. REST and WebSocket both use it."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from chat.engine.beginning import begin
from chat.engine.following import follow_up
from chat.engine.outbound import ask_for_person, offer_of
from chat.engine.outcomes import note_failure, store_answer
from chat.engine.prompt import answer_prompt
from chat.grounding.answers import prepare_check
from chat.limits.admission import Admission
from chat.limits.messages import refund
from chat.limits.windows import CLIENT_LEFT
from chat.providers import Completion, Delta
from chat.spending.prices import prepare_prices
from chat.turns import costs
from chat.turns.renewal import renewed
from chat.turns.turn import Answer, Answered, Question, Turn
from common.background import release_thread, spawn
from common.errors import FabraError

logger = logging.getLogger(__name__)


async def run(turn: Turn, *, is_streamed: bool) -> AsyncGenerator[str | Answer, None]:
    """Yield the answer's text as it arrives, then the Answer, which is committed before it is yielded."""
    if turn.wants_no_answer:
        turn.stopping.end()
        yield await ask_for_person(turn)
        await costs.settle_turn(turn)
        return
    prompt = answer_prompt(turn.question, turn.history, turn.context.evidence, offer=partial(offer_of, turn))
    completion: Completion | None = None
    if not turn.provider.is_extractive:
        release_thread()
        prepare_check(prompt.passages)
    if turn.provider.config is not None:
        prepare_prices(turn.provider.config)
    try:
        with renewed(turn.lease):
            async with aclosing(turn.provider.run(prompt, is_streamed=is_streamed)) as pieces:  # type: ignore[type-var]
                async for piece in turn.receive(pieces):
                    if isinstance(piece, Delta):
                        turn.parts.append(piece.text)
                        yield piece.text
                    else:
                        completion = piece
            turn.stopping.end()
            if turn.is_stopped and completion is None:  # the model did not say what it used
                asked = turn.provider.config if turn.parts else None
                completion = Completion(model=turn.provider.model, usage=None, finish_reason="stopped", config=asked)
            assert completion is not None
            result, message = await store_answer(turn, completion, prompt)
    except Exception as error:  # whatever goes wrong, ours or theirs, the trace has its outcome
        code = error.code if isinstance(error, FabraError) else "internal_error"
        logger.warning("The answer of the trace %s failed (%s): %s", turn.context_id, code, type(error).__name__)
        if await note_failure(turn, code):
            await refund(turn.admission)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        # The client disconnected. What it received is still stored; the write outlives this task.
        spawn(note_failure(turn, CLIENT_LEFT))
        raise
    finally:
        turn.stopping.end()
    # Outside the try: the answer is stored, so that neither what follows nor a caller that leaves makes it a failure.
    try:
        result = await follow_up(turn, result, message)
    except asyncio.CancelledError:  # the client has left
        spawn(follow_up(turn, result, message))
        raise
    yield result


async def answer(question: Question) -> tuple[Answer, Admission]:
    """Return the whole answer to a message, and its admission."""
    turn = await begin(question)
    if isinstance(turn, Answered):
        return turn.answer, turn.admission
    async with aclosing(run(turn, is_streamed=False)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Answer):
                return piece, turn.admission
    raise AssertionError("run() ends with an Answer or an error")


async def leave(turn: Turn) -> None:
    """End a turn whose client has left before `run` was started."""
    turn.stopping.end()
    await note_failure(turn, CLIENT_LEFT)
