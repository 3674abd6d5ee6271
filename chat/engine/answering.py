"""Answer a message: limit, context, evidence, model. REST and WebSocket both use it."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import timezone

from chat.access.callers import USER_KEY
from chat.bots.known import require_bot
from chat.engine.assembly import prepare
from chat.engine.following import follow_up
from chat.engine.inbound import is_for_person, needs_no_model, receive
from chat.engine.order import release, release_soon, wait_for_turn
from chat.engine.outbound import ask_for_person, offer_of
from chat.engine.outcomes import note_failure, store_answer
from chat.engine.prompt import answer_prompt
from chat.engine.records import MESSAGE_SENT, SentBefore, write_question
from chat.engine.replay import answer_sent_before, stored_answer
from chat.engine.results import stopped_answer
from chat.engine.stopping import listen
from chat.errors import BudgetExhausted, ConversationConflict
from chat.grounding.answers import prepare_check
from chat.limits.admission import Admission, RateLimited, uncounted
from chat.limits.configured import current_limits
from chat.limits.messages import admit, admit_to_person, refund
from chat.limits.windows import CLIENT_LEFT
from chat.live.changes import show_soon
from chat.models import Conversation
from chat.phrases.known import read_phrases
from chat.providers import Completion, Delta, Prompt
from chat.spending.prices import prepare_prices
from chat.turns import costs
from chat.turns.costs import EarlierCalls, within_budgets
from chat.turns.lease import TurnLease
from chat.turns.renewal import renewed
from chat.turns.running import AnswerStopped, Stopping, TakenOver
from chat.turns.turn import Answer, Answered, Question, Turn
from common.background import HEAD_START_S, release_thread, spawn
from common.errors import FabraError
from contexts import traces
from events.dispatch import enqueue_event, queue_of
from features import registry
from features.online import one_view
from features.request_data import request_data
from features.serving import read_features
from features.traits import keep_traits

logger = logging.getLogger(__name__)


async def begin(question: Question) -> Turn | Answered:
    """Accept the message and commit its evidence; `run` then calls the model, unless the answer is known already.

    Raise InvalidInput for a bad message, ConversationNotFound, RateLimited, IndexForbidden, UserForbidden, or what the
    assembly raises; a failure on our side is not counted against the user's limit.
    """
    stopping = Stopping()
    begun: Turn | Answered | None = None
    try:
        begun = await _accept(question.validate(), stopping)
    finally:
        if not isinstance(begun, Turn):
            stopping.end()
    return begun


async def _accept(question: Question, stopping: Stopping) -> Turn | Answered:
    """Count the message, wait for its turn, and begin."""
    started = time.perf_counter()
    if question.bot:
        question.check_bot(await require_bot(question.bot))  # what is refused is not counted, and waits for no turn
    deadline = asyncio.get_running_loop().time() + settings.FABRA_CHAT_DEADLINE_S
    listen()
    stopping.begin(question.conversation_id)
    # The limit and the context share one read of the user's features, and know what on-demand ones are computed from.
    traits = question.caller.user.traits if question.caller.user else {}
    with one_view(), request_data(query=question.message, traits=traits):
        if user := question.caller.user:  # what its site says of the user may decide their tier
            await keep_traits(USER_KEY, user.user_id, user.traits, user.as_of or timezone.now())
        # 1. Count the message against the limits of the user's tier, the address and the API key.
        try:
            admission = await _admit(question)
        except RateLimited as limited:
            if known := await sync_to_async(answer_sent_before)(question):
                return Answered(answer=known, admission=limited.admission)
            admission = await _admit_to_person(question, limited)
        try:
            lease: TurnLease | None = None
            while True:
                # 2. Wait for the end of what the conversation is answering, and begin.
                made = EarlierCalls()
                try:
                    async with stopping.ended_by_stop():
                        lease = await wait_for_turn(question, deadline, lease)
                    with renewed(lease):
                        begun = await _begin(question, lease, admission, stopping, made, deadline, started)
                except SentBefore as sent:  # by another request, just now: wait for its answer
                    question = replace(question, conversation_id=sent.message.conversation_id)
                    stopping.begin(question.conversation_id)
                    assert lease is not None
                    await release(lease)
                    lease = begun = None
                except BaseException:
                    if lease is not None:
                        release_soon(lease)
                    raise
                finally:
                    await made.store_and_settle()
                if begun is not None:
                    return begun
        except AnswerStopped:
            return Answered(answer=await stopped_answer(question), admission=admission)
        except BudgetExhausted:
            raise  # it counts: whoever has no budget left may not have contexts assembled without end
        except Exception:
            await refund(admission)
            raise


async def _begin(
    question: Question,
    lease: TurnLease,
    admission: Admission,
    stopping: Stopping,
    made: EarlierCalls,
    deadline: float,
    started: float,
) -> Turn | Answered | None:
    """Begin the answer; return None if the conversation changed hands meanwhile. Raise SentBefore or AnswerStopped."""
    question = question.asked_of(await require_bot(lease.bot or question.bot))
    if stored_id := question.stored_id or lease.sent_id:
        known = await sync_to_async(stored_answer)(stored_id)
        if known is not None:
            await release(lease)
            if not admission.counted.was_counted:
                await refund(admission)
            return Answered(answer=known, admission=admission)
        question = replace(question, stored_id=stored_id)  # its answer failed, or a person left it to the bot
    await read_phrases()
    if needs_no_model(question, lease, admission):
        settled = await sync_to_async(receive)(question, lease, admission)
        if settled is None:
            return None
        await release(lease)
        return Answered(answer=settled, admission=admission)
    if admission.refused is not None:  # meanwhile the conversation is the bot's again
        raise admission.refused
    is_elsewhere = lease.state not in (Conversation.State.BOT, Conversation.State.WAITING)
    if is_elsewhere or (lease.was_closed and question.stored_id is not None):
        raise ConversationConflict("The bot does not answer in this conversation any more.")
    # 3. Assemble the context, with the conversation so far; step 4 writes its trace.
    try:
        async with stopping.ended_by_stop(is_for_bot=True):
            found = await prepare(question, lease, admission, made, deadline)
    except TakenOver:
        return None
    question, context, pending = found.question, found.context, found.recorder.pending
    # 4. Commit the evidence, the message and its event.
    prompt = Prompt(messages=context.evidence["messages"], max_tokens=question.max_tokens)
    provider, reservation = await within_budgets(found.provider, found.spender, prompt)
    try:
        stopping.check()
        written = await sync_to_async(write_question)(
            question, lease, context, admission, pending, found.recorder.embeddings.get(question.message.strip()),
            frees_connection=not provider.is_extractive, calls=made.of(found.spender, context.id),
        )  # fmt: skip
    except BaseException:
        costs.release_soon(reservation)
        raise
    if written is None:
        costs.release_soon(reservation)
        return None
    await made.settle()
    stopping.is_stored = True
    stopping.begin(written.message.conversation.pk)
    # 5. While the model works, enqueue the event, copy the trace to Redis and show the message to other pages.
    traces.copy_later(pending)
    if written.event is not None:
        enqueued = asyncio.to_thread(enqueue_event, written.event.pk, queue_of(MESSAGE_SENT))
        spawn(enqueued, uses_database=False, after_s=HEAD_START_S)
    if lease.conversation_id is not None and question.stored_id is None:
        show_soon(written.message)
    return Turn(
        question=question, admission=admission, provider=provider, context=context, history=found.history,
        deadline=deadline, message=written.message, reservation=reservation,
        notices=written.notices, started=started, stopping=stopping,
        lease=replace(lease, conversation_id=written.message.conversation.pk),
    )  # fmt: skip


async def _admit(question: Question) -> Admission:
    tier = await _tier_of(question.user_id, (await current_limits()).tier_feature)
    if question.stored_id is not None:
        return uncounted(question.user_id, tier)  # its limit is not its budget, which the tier decides
    return await admit(question.user_id, tier, question.caller, token=question.count_token)


async def _admit_to_person(question: Question, refused: RateLimited) -> Admission:
    """Count what no model is asked for against its own limit; raise RateLimited for what is the bot's to answer."""
    await read_phrases()
    if not await sync_to_async(is_for_person)(question):
        raise refused
    return await admit_to_person(refused, question.caller, token=question.count_token)


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


async def _tier_of(user_id: str, feature: str) -> Any:
    spec = registry.features.get(feature)
    if spec is None:
        return None
    return (await read_features(spec.entity.name, user_id, [spec.name]))[0].value
