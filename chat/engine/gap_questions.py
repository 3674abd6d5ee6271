"""Ask a gap's questions again, as they were asked, and see whether they are answered now.

The context that was asked for is assembled for the user who asked, within the bounds of the key that asked and with
what was said before, and the model (or the extractive answer) gets it: so a question is judged by the rules by which it
was found unanswered. No message and no trace is written: what is kept is deleted with the question.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.utils import timezone, translation

from chat.access.callers import Caller
from chat.bots.known import require_bot
from chat.citations import Citation
from chat.conversations.history import read_turns
from chat.engine.assembly import assemble, provider_for
from chat.engine.prompt import answer_prompt
from chat.engine.results import check_completion
from chat.engine.window import windows_for
from chat.gaps.reasons import reasons_of
from chat.models import Gap, GapQuestion, Message, Purpose
from chat.phrases.known import read_phrases
from chat.spending.calls import Spender
from chat.turns.costs import ask_within_budgets, store_and_settle
from chat.turns.turn import Question
from common.errors import FabraError, Unavailable
from common.locks import held
from contexts.conversation import ConversationHistory
from contexts.models import TraceBody
from contexts.recorder import recording
from contexts.registry import contexts
from features.online import one_view
from features.request_data import request_data
from retrieval.models import Document

logger = logging.getLogger(__name__)

_ANSWERED_SHARE = 0.8
"""A gap counts as answered if this share of the questions asked does: a question may be in the wrong group."""
_ANSWER_MAX_CHARS = 4000

Reason = GapQuestion.Reason
_TOLD_BY_ANSWER = {Reason.NOTHING_FOUND, Reason.NOT_KNOWN, Reason.NOT_SUPPORTED}
"""Reasons that an answer itself shows; without an article nothing tells whether a thumbs-down would come again."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """An answer that was given to nobody."""

    answer: str
    citations: list[Citation]
    flags: list[str]
    reasons: list[str]
    """Why it is no answer; empty if it is one."""


def ask_gap(
    gap_pk: int, *, is_forced: bool = False, until: Callable[[], bool] = lambda: False, asked: list[int] | None = None
) -> bool:
    """Ask a gap's central and newest questions again; return False if another worker does, or the bot is down.

    Unless it is forced, what was asked with one version of the article is not asked with it again, so that after a
    crash the next call goes on. Once `until()` is true it returns False after a question; a call with the same
    `asked`, to which the questions are added, asks the rest.
    """
    asked = [] if asked is None else asked
    count_before = len(asked)
    with held(f"gap {gap_pk}") as is_held:
        gap = Gap.objects.select_related("document__index").filter(pk=gap_pk).first()
        if not is_held or gap is None:
            return False
        version = gap.document.version_id if gap.document else None
        if gap.document and version is None:
            return False  # it is not indexed yet
        for question in asked_questions(gap):
            if not is_forced and version is not None and (question.after or {}).get("version") == version:
                continue
            if question.pk in asked:
                continue
            if len(asked) > count_before and until():
                return False
            try:
                after = _ask(question, gap.document)
            except (Unavailable, TimeoutError) as error:
                logger.warning("The gap %d is asked again later: %s", gap_pk, error)
                return False
            values = {"after": {**after, "version": version}, "is_answered": after["is_answered"]}
            GapQuestion.objects.filter(pk=question.pk).update(**values)
            asked.append(question.pk)
        _conclude(gap, version)
    return True


def asked_questions(gap: Gap) -> list[GapQuestion]:
    """Return the question that is the title, and the newest ones."""
    questions = gap.questions.select_related("message__conversation", "message__api_key", "message__trace").order_by(
        "-asked_at"
    )
    central = list(questions.filter(message__text=gap.title)[:1])
    newest = questions.exclude(pk__in=[question.pk for question in central])
    return (central + list(newest[: settings.FABRA_GAP_QUESTIONS]))[: settings.FABRA_GAP_QUESTIONS]


def _ask(question: GapQuestion, article: Document | None) -> dict[str, Any]:
    """Return the new answer as it is kept; raise Unavailable."""
    message = question.message
    try:
        history = history_before(message)
        with translation.override(history.language):
            found = async_to_sync(rehearse)(_as_it_was_asked(message), history)
    except Unavailable:
        raise
    except FabraError as error:  # it will fail again, as a question that is too long for the model
        return {"error": error.code, "is_answered": False, "at": timezone.now().isoformat()}
    return {
        "answer": found.answer[:_ANSWER_MAX_CHARS],
        "citations": [citation.to_dict() for citation in found.citations],
        "flags": found.flags,
        "reasons": found.reasons,
        "is_answered": _is_answered(question, found, article),
        "at": timezone.now().isoformat(),
    }


def _is_answered(question: GapQuestion, found: Rehearsal, article: Document | None) -> bool:
    """Return whether the answer is one, and rests on the gap's article if it has one."""
    if found.reasons:
        return False
    if article is None:
        return _TOLD_BY_ANSWER.issuperset(question.reasons)
    own = (article.index.name, article.entity_id)
    return any(citation.is_cited and (citation.index, citation.document_id) == own for citation in found.citations)


def _conclude(gap: Gap, version: int | None) -> None:
    """Store that the questions were asked, and whether the gap is answered; an operator's decision meanwhile stays."""
    asked = [question.is_answered for question in asked_questions(gap)]
    is_answered = bool(asked) and sum(map(bool, asked)) >= _ANSWERED_SHARE * len(asked)
    now = timezone.now()
    Gap.objects.filter(pk=gap.pk).update(asked_at=now, asked_version=version)
    same = Gap.objects.filter(pk=gap.pk, document=gap.document_id).exclude(state=Gap.State.OUT_OF_SCOPE)
    if is_answered:
        same.exclude(state=Gap.State.ANSWERED).update(state=Gap.State.ANSWERED, state_changed_at=now)
    else:
        same.filter(state=Gap.State.ANSWERED).update(state=Gap.State.OPEN, state_changed_at=now)


def history_before(message: Message) -> ConversationHistory:
    """Return what was said before a message, and how a model rewrote it when it was asked."""
    turns = read_turns(message.conversation_id, message.user_id, before=message.pk, newest=settings.FABRA_HISTORY_TURNS)
    text = TraceBody.objects.filter(pk=message.trace_id).values_list("text", flat=True).first()
    rewrite = (json.loads(text).get("rewrite") if text else None) or {}
    return ConversationHistory(
        tuple(turns),
        query=_text_of(message),
        rewritten=rewrite.get("text") or "",
        language=message.conversation.language or settings.LANGUAGE_CODE,
    )


def _text_of(message: Message) -> str:
    """Return the message with those before it that it was asked together with, or alone once its trace is pruned."""
    asked = message.trace.query if message.trace else ""
    return asked if message.text in asked else message.text  # a context may hand on another query


def _as_it_was_asked(message: Message) -> Question:
    """Return the stored question, of the bot, the context and the key that it was asked by.

    The key also tells a site's user from an account of the same name. A context that is not declared any more was
    replaced by the bot's, which is also that of a site's page that may choose none.
    """
    caller = Caller.of_stored(message.user_id, message.api_key)
    is_known = message.context in {*contexts, settings.FABRA_CHAT_CONTEXT}
    is_chosen = bool(message.api_key and message.api_key.contexts) or not caller.is_site
    text = _text_of(message)
    return Question(
        user_id=message.user_id, message=message.text, bot=message.conversation.bot,
        context=message.context if is_known and is_chosen else "", caller=caller,
        open_text=text if text != message.text else "",
    )  # fmt: skip


async def rehearse(question: Question, history: ConversationHistory) -> Rehearsal:
    """Answer a question as the chat does, and write nothing; raise what a chat raises."""
    question = question.asked_of(await require_bot(question.caller.check_bot(question.bot)))
    await read_phrases()
    deadline = asyncio.get_running_loop().time() + settings.FABRA_CHAT_DEADLINE_S
    with (
        one_view(),
        request_data(query=question.asked, traits={}),
        recording(conversation=history, window_of=windows_for(question)) as recorder,
    ):
        context = await assemble(question, history, deadline)
    question.caller.check_indexes(recorder.searched_indexes())
    if context.escalation is not None and not context.items:  # its function leaves the question to a person
        return Rehearsal(answer="", citations=[], flags=context.evidence["flags"], reasons=[str(Reason.ESCALATED)])
    provider = await provider_for(question, context, recorder)
    evidence = context.evidence
    prompt = answer_prompt(question, history, evidence, purpose=Purpose.GAP)
    spender = Spender(user_id=question.user_id, context=evidence["context"])
    async with asyncio.timeout_at(deadline):
        asked = await ask_within_budgets(provider, spender, prompt)
    await store_and_settle(asked)
    text, completion, is_extractive = asked.text, asked.completion, provider.is_extractive
    checked = await check_completion(text, completion, prompt, history, evidence, is_extractive=is_extractive)
    reasons = reasons_of(evidence, checked.citations, checked.flags, checked.grounding, is_extractive=is_extractive)
    reasons += [str(Reason.ESCALATED)] if context.escalation is not None else []
    return Rehearsal(answer=checked.text, citations=checked.citations, flags=checked.flags, reasons=reasons)
