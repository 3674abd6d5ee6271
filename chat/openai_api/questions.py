"""A client's request as a question of the chat, in the conversation that it goes on with."""

from dataclasses import dataclass, replace

from asgiref.sync import sync_to_async
from django.conf import settings

from chat.access.callers import Caller
from chat.conversations.threads import Recognised, question_answered_before, recognise
from chat.idempotency.records import RequestClaim
from chat.openai_api.messages import Talk, ToldTurn, too_long
from chat.openai_api.requests import CompletionRequest
from chat.openai_api.users import Asker
from chat.turns.thread import ClientThread, digests_of
from chat.turns.turn import Question
from contexts.conversation import PastTurn


@dataclass(frozen=True, kw_only=True)
class ParsedRequest:
    question: Question
    goes_on_with: Recognised | None
    """What is known of the conversation that the question goes on with; None for a new conversation."""
    ignored: list[str]
    for_model: tuple[str, ...]
    """Names of what only a language model acts upon."""


async def question_of(
    request: CompletionRequest, context: str, asker: Asker, caller: Caller, claim: RequestClaim | None = None, *,
    is_repeated: bool = False,
) -> ParsedRequest:  # fmt: skip
    """Return the question; one that an SDK repeats is the one that was stored, if that has its answer.

    Raise InvalidInput for one that cannot be asked, UserForbidden or ContextForbidden.
    """
    talk = request.talk
    question = Question(
        user_id=asker.user_id, message=talk.question, context=context, caller=caller,
        options=request.parameters.options, max_tokens=request.parameters.max_tokens,
        # What the first attempt stored before its process died is found by it.
        client_id=claim.request_id if claim else None, count_token=claim.request_id.hex if claim else "",
    ).validate()  # fmt: skip
    if talk.turns:
        thread, found = await sync_to_async(_recognise)(question, talk, asker)
    else:
        thread, found = ClientThread(digest=_digests(question, talk)[-1], remarks=tuple(talk.remarks)), None
    # A name may be no Unicode that can be written.
    ignored = [name.encode(errors="replace").decode() for name in [*request.ignored, *_left_out(talk, found)]]
    goes_on_with = found if found is not None and found.is_last else None
    conversation_id = goes_on_with.record.conversation_id if goes_on_with else None
    question = replace(question, thread=thread, conversation_id=conversation_id)
    # Of several people who share an id another one may have asked the same.
    if is_repeated and claim is None and not asker.is_shared:
        stored_id = await sync_to_async(question_answered_before)(thread, question.user_id, question.bot)
        question = replace(question, stored_id=stored_id)
    parameters = request.parameters
    for_model = (*parameters.options, *filter(None, [parameters.limit]))
    return ParsedRequest(question=question, goes_on_with=goes_on_with, ignored=ignored, for_model=for_model)


def _recognise(question: Question, talk: Talk, asker: Asker) -> tuple[ClientThread, Recognised | None]:
    *earlier, last = _digests(question, talk)
    found = recognise(question.user_id, earlier, is_shared=asker.is_shared, bot=question.bot)
    before = talk.turns[: found.start] if found else talk.turns
    since = talk.turns[found.end :] if found else []
    thread = ClientThread(
        digest=last, before=_past(before), record=found.record if found else None, since=_past(since),
        last_answer=talk.turns[-1].answer, remarks=tuple(talk.remarks),
    )  # fmt: skip
    return thread, found


def _digests(question: Question, talk: Talk) -> list[str]:
    turns = ((turn.question, turn.answer) for turn in talk.turns)
    return digests_of(question.user_id, question.context, turns, question.message)


def _past(turns: list[ToldTurn]) -> tuple[PastTurn, ...]:
    return tuple(PastTurn(question=turn.question, answer=turn.answer) for turn in turns if not _is_long(turn))


def _left_out(talk: Talk, found: Recognised | None) -> list[str]:
    """Return the names of turns that only the client reports and that are too long to be offered to a context."""
    told = [*talk.turns[: found.start], *talk.turns[found.end :]] if found else talk.turns
    return [too_long(turn.path) for turn in told if _is_long(turn)]


def _is_long(turn: ToldTurn) -> bool:
    return max(len(turn.question), len(turn.answer)) > settings.FABRA_MESSAGE_MAX_CHARS
