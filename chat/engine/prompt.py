"""The messages that a model gets: the author's text as the system's, what others wrote as the user's."""

from typing import Any

from chat.citations import passages_in
from chat.providers import Prompt
from chat.turns.turn import Question
from contexts.conversation import ConversationHistory
from contexts.frame import FramedPrompt
from contexts.items import SEPARATOR, Context
from contexts.suspicion import without_role_tags


def messages_of(context: Context | FramedPrompt, question: str) -> list[dict[str, str]]:
    """Return the messages: the system's part, the earlier turns, then the reference with the question below it."""
    asked = without_role_tags(question)
    content = SEPARATOR.join([context.reference, asked]) if context.reference else asked
    messages = [{"role": "system", "content": context.system}]
    for item in context.history:
        messages.append({"role": "user", "content": item.question})
        messages.append({"role": "assistant", "content": item.answer})
    return [*messages, {"role": "user", "content": content}]


def answer_prompt(question: Question, history: ConversationHistory, evidence: dict[str, Any], **more: Any) -> Prompt:
    """Return what a provider answers a question by; `more` are further fields of the Prompt."""
    return Prompt(
        messages=evidence["messages"], question=question.asked, passages=passages_in(evidence),
        earlier_questions=history.questions, options=question.options, max_tokens=question.max_tokens, **more,
    )  # fmt: skip
