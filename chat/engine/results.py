"""The answer that a turn ends with, and what its trace keeps of it."""

from dataclasses import dataclass
from typing import Any

from chat.answer_flags import ANSWER_STOPPED
from chat.citations import Citation, mark_cited
from chat.grounding.answers import check_answer
from chat.models import Conversation
from chat.providers import Completion, Prompt
from chat.spending.calls import usage_with_cost
from chat.turns.turn import Answer, Question, Turn
from contexts.conversation import ConversationHistory
from contexts.evidence import SUSPICIOUS


@dataclass(frozen=True, kw_only=True)
class CheckedAnswer:
    """A text that answers a question, checked against the passages."""

    text: str
    """Without the citations that support nothing."""
    citations: list[Citation]
    flags: list[str]
    """Those of the evidence, of the model's call, and of the check."""
    grounding: dict[str, Any] | None


async def check_completion(
    text: str,
    completion: Completion,
    prompt: Prompt,
    history: ConversationHistory,
    evidence: dict[str, Any],
    *,
    is_extractive: bool,
) -> CheckedAnswer:
    """Check what a provider gave for a prompt against the prompt's passages, and mark those that it cites."""
    is_composed = is_extractive or completion.cited is not None  # of passages' words, by no model
    asked = [*history.asked, prompt.question]
    checked = await check_answer(text, prompt.passages, evidence, asked, is_composed=is_composed)
    return CheckedAnswer(
        text=checked.text,
        citations=mark_cited(prompt.passages, checked.text, completion.cited),
        flags=[*evidence["flags"], *completion.flags, *checked.flags],
        grounding=checked.to_dict(),
    )


def answer_of(turn: Turn, completion: Completion, checked: CheckedAnswer) -> Answer:
    context = turn.context
    return Answer(
        response=checked.text,
        context_used=context.content,
        context_id=context.id,
        conversation_id=turn.conversation_id,
        citations=checked.citations,
        usage={
            "context_tokens": context.tokens,
            "max_tokens": context.max_tokens,
            **usage_with_cost(completion, turn.calls[-1] if completion.config else None),
        },
        model=completion.model,
        is_extractive=turn.provider.is_extractive,
        flags=[
            *(flag for flag in checked.flags if flag != SUSPICIOUS),  # for the operator only
            *(["rate_limit_degraded"] if turn.admission.is_degraded else []),
        ],
        grounding=checked.grounding,
        freshness=context.freshness,
        state=turn.lease.state,
        notices=turn.notices,
        conversation_was_closed=turn.lease.was_closed,
    )


async def stopped_answer(question: Question) -> Answer:
    """Return the answer to a message that was stopped before the bot had begun: nothing of it is stored."""
    assert question.conversation_id is not None  # a conversation that is not stored cannot be named
    states = Conversation.objects.filter(pk=question.conversation_id).values_list("state", flat=True)
    return Answer.without_model(
        flags=[ANSWER_STOPPED], conversation_id=question.conversation_id, question_id=question.stored_id,
        state=await states.afirst() or Conversation.State.BOT,
    )  # fmt: skip


def outcome_of(turn: Turn, completion: Completion, result: Answer) -> dict[str, Any]:
    """Return the trace's outcome; `written` is what the model wrote, where citations were taken out of it."""
    written = "".join(turn.parts)
    # Those that the evidence, which was written before there was an answer, does not have.
    flags = [flag for flag in result.flags if flag not in turn.context.evidence["flags"]]
    return {
        "usage": result.usage,
        "finish_reason": completion.finish_reason,
        "attempts": [attempt.to_dict() for attempt in turn.provider.attempts],
        "latency_ms": turn.elapsed_ms(),
        "citations": [citation.number for citation in result.citations if citation.is_cited],
        "grounding": result.grounding,
        **({"flags": flags} if flags else {}),
        **({"written": written} if written != result.response else {}),
        **({"reasoning": completion.reasoning} if completion.reasoning else {}),
    }
