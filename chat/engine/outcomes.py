"""How a turn ends: its answer is checked and committed, or its failure noted."""

import asyncio
from dataclasses import replace
from uuid import UUID

from asgiref.sync import sync_to_async

from chat.engine.following import follow_up
from chat.engine.outbound import drop
from chat.engine.records import write_answer, write_failure
from chat.engine.results import answer_of, check_completion, outcome_of
from chat.models import Message
from chat.providers import Completion, Prompt
from chat.spending.calls import calls_of
from chat.turns import costs
from chat.turns.turn import Answer, Turn


async def store_answer(turn: Turn, completion: Completion, prompt: Prompt) -> tuple[Answer, Message | None]:
    """Check the answer against its passages, and commit it; its message is None if it was dropped."""
    text = "".join(turn.parts)
    if completion.config is not None or turn.provider.attempts:  # in a thread, since it may count the tokens
        turn.calls = await asyncio.to_thread(calls_of, turn.spender, turn.provider, prompt, completion, text)
    evidence, is_extractive = turn.context.evidence, turn.provider.is_extractive
    checked = await check_completion(text, completion, prompt, turn.history, evidence, is_extractive=is_extractive)
    result = turn.result = answer_of(turn, completion, checked)
    written = await sync_to_async(write_answer)(turn, result, outcome_of(turn, completion, result))
    if written is None:
        return await drop(turn), None
    return replace(result, message_id=written.message.pk, state=written.state), written.message


async def note_failure(turn: Turn, code: str) -> bool:
    """Note that the answer failed; return False if it is stored all the same, so that it did not."""
    is_failed = await sync_to_async(write_failure)(turn, code)
    if is_failed or turn.result is None:
        await costs.settle_turn(turn)
        return is_failed
    stored = Message.objects.filter(trace=UUID(turn.context_id), role=Message.Role.ASSISTANT)
    await follow_up(turn, turn.result, await stored.afirst())
    return False
