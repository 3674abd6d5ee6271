"""Begin an answer: count the message, wait for its lease, assemble its context, and commit its evidence."""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import timezone

from chat.access.callers import USER_KEY
from chat.bots.known import require_bot
from chat.engine.assembly import Prepared, prepare
from chat.engine.conversation_queue import acquire_lease, release, release_soon
from chat.engine.inbound import is_for_person, needs_no_model, receive
from chat.engine.records import MESSAGE_SENT, SentBefore, StoredQuestion, write_question
from chat.engine.replay import answer_sent_before, stored_answer
from chat.engine.results import stopped_answer
from chat.engine.stopping import listen
from chat.errors import ConversationConflict, CostBudgetExhausted
from chat.limits.admission import Admission, RateLimited, uncounted
from chat.limits.configured import current_limits
from chat.limits.messages import admit, admit_to_person, refund
from chat.live.changes import show_soon
from chat.models import Conversation
from chat.phrases.known import read_phrases
from chat.providers import Prompt
from chat.turns import costs
from chat.turns.costs import EarlierCalls
from chat.turns.lease import ConversationLease
from chat.turns.renewal import renewed
from chat.turns.running import AnswerStopped, Stopping, TakenOver
from chat.turns.turn import Answered, Question, Turn
from common.background import HEAD_START_S, spawn
from contexts import traces
from events.dispatch import enqueue_event, queue_of
from features import registry
from features.online import one_view
from features.request_data import request_data
from features.serving import read_features
from features.traits import keep_traits


@dataclass(frozen=True, kw_only=True)
class _Arrival:
    """A message that has been counted, and waits for its lease or has it."""

    question: Question
    admission: Admission
    stopping: Stopping
    deadline: float
    """By the event loop's clock, in seconds."""
    started: float
    """By `time.perf_counter()`."""


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
    started = time.perf_counter()
    if question.bot:
        question.check_bot(await require_bot(question.bot))  # what is refused is not counted, and waits for nothing
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
        arrival = _Arrival(
            question=question, admission=admission, stopping=stopping, deadline=deadline, started=started
        )  # fmt: skip
        try:
            return await _with_lease(arrival)
        except CostBudgetExhausted:
            raise  # it counts: whoever has no budget left may not have contexts assembled without end
        except Exception:
            await refund(admission)
            raise


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


async def _tier_of(user_id: str, feature: str) -> Any:
    spec = registry.features.get(feature)
    if spec is None:
        return None
    return (await read_features(spec.entity.name, user_id, [spec.name]))[0].value


async def _with_lease(arrival: _Arrival) -> Turn | Answered:
    """Begin once the message has the lease, and again where the conversation has changed hands meanwhile."""
    stopping = arrival.stopping
    lease: ConversationLease | None = None
    while True:
        calls = EarlierCalls()
        try:
            # 2. Wait for the end of what the conversation is answering.
            async with stopping.ended_by_stop():
                lease = await acquire_lease(arrival.question, arrival.deadline, lease)
            with renewed(lease):
                begun = await _begin(arrival, lease, calls)
        except SentBefore as sent:  # by another request, just now: wait for its answer
            question = replace(arrival.question, conversation_id=sent.message.conversation_id)
            arrival = replace(arrival, question=question)
            stopping.begin(question.conversation_id)
            assert lease is not None
            await release(lease)
            lease = begun = None
        except AnswerStopped:
            if lease is not None:
                release_soon(lease)
            return Answered(answer=await stopped_answer(arrival.question), admission=arrival.admission)
        except BaseException:
            if lease is not None:
                release_soon(lease)
            raise
        finally:
            await calls.store_and_settle()
        if begun is not None:
            return begun


async def _begin(arrival: _Arrival, lease: ConversationLease, calls: EarlierCalls) -> Turn | Answered | None:
    """Begin the answer; return None if the conversation changed hands meanwhile. Raise SentBefore or AnswerStopped.

    `calls` gets the calls of models that are made before the message is stored.
    """
    admission, stopping = arrival.admission, arrival.stopping
    question = arrival.question.asked_of(await require_bot(lease.bot or arrival.question.bot))
    # 3. Give a message that was answered before its answer once more.
    if stored_id := question.stored_id or lease.sent_id:
        known = await sync_to_async(stored_answer)(stored_id)
        if known is not None:
            await release(lease)
            if not admission.counted.was_counted:
                await refund(admission)
            return Answered(answer=known, admission=admission)
        question = replace(question, stored_id=stored_id)  # its answer failed, or a person left it to the bot
    # 4. Store a message that needs no model, such as one for a person.
    await read_phrases()
    if needs_no_model(question, lease, admission):
        received = await sync_to_async(receive)(question, lease, admission)
        if received is None:
            return None
        await release(lease)
        return Answered(answer=received, admission=admission)
    # 5. Refuse what only a person could have answered.
    if admission.refused is not None:  # meanwhile the conversation is the bot's again
        raise admission.refused
    is_elsewhere = lease.state not in (Conversation.State.BOT, Conversation.State.WAITING)
    if is_elsewhere or (lease.was_closed and question.stored_id is not None):
        raise ConversationConflict("The bot does not answer in this conversation any more.")
    # 6. Assemble the context, with the conversation so far.
    try:
        async with stopping.ended_by_stop(is_for_bot=True):
            found = await prepare(question, lease, admission, calls, arrival.deadline)
    except TakenOver:
        return None
    # 7. Reserve what the answer may cost, and commit the evidence, the message and its event.
    turn = await _commit(arrival, lease, found, calls)
    if turn is None:
        return None
    stopping.is_stored = True
    stopping.begin(turn.conversation_id)
    return turn


async def _commit(arrival: _Arrival, lease: ConversationLease, found: Prepared, calls: EarlierCalls) -> Turn | None:
    """Return the turn, whose message is stored; None, with nothing stored, if the conversation changed hands."""
    question, context, pending = found.question, found.context, found.recorder.pending
    prompt = Prompt(messages=context.evidence["messages"], max_tokens=question.max_tokens)
    provider, reservation = await costs.within_budgets(found.provider, found.spender, prompt)
    stored: StoredQuestion | None = None
    try:
        arrival.stopping.check()
        stored = await sync_to_async(write_question)(
            question, lease, context, arrival.admission, pending,
            found.recorder.embeddings.get(question.message.strip()),
            frees_connection=not provider.is_extractive, calls=calls.of(found.spender, context.id),
        )  # fmt: skip
    finally:
        if stored is None:
            costs.release_soon(reservation)
    if stored is None:
        return None
    await calls.settle()
    # While the model works, enqueue the event, copy the trace to Redis and show the message to other pages.
    traces.copy_later(pending)
    if stored.event is not None:
        enqueued = asyncio.to_thread(enqueue_event, stored.event.pk, queue_of(MESSAGE_SENT))
        spawn(enqueued, uses_database=False, after_s=HEAD_START_S)
    if lease.conversation_id is not None and question.stored_id is None:
        show_soon(stored.message)
    return Turn(
        question=question, admission=arrival.admission, provider=provider, context=context, history=found.history,
        deadline=arrival.deadline, message=stored.message, reservation=reservation, notices=stored.notices,
        started=arrival.started, stopping=arrival.stopping,
        lease=replace(lease, conversation_id=stored.message.conversation.pk),
    )  # fmt: skip
