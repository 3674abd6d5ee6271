"""The answer to a message that was sent before, from what was stored then."""

import json

from chat.citations import Citation
from chat.handover.notices import CONTACT, ESCALATED, WAITING
from chat.models import Conversation, Message
from chat.turns.turn import Answer, Question
from contexts.items import SEPARATOR
from contexts.models import TraceBody

_ANSWERS = (Message.Role.ASSISTANT, Message.Role.AGENT)


def stored_answer(message_id: int) -> Answer | None:
    """Return the answer to a stored message of a customer's; None if there is none yet.

    A message to a person is answered at once with nothing, as it was when it came.
    """
    message = Message.objects.select_related("conversation").get(pk=message_id)
    if message.trace_id is None:
        return _without_model(message)
    said = message.conversation.messages.select_related("trace")
    found = said.filter(role=Message.Role.ASSISTANT, trace=message.trace_id).order_by("-id").first()
    if found is None:
        is_open = message.conversation.state in (Conversation.State.BOT, Conversation.State.WAITING)
        is_left = is_open and not said.filter(role=Message.Role.AGENT, pk__gt=message.pk).exists()
        return None if is_left else _nothing(message)
    body = TraceBody.objects.filter(pk=message.trace_id).values_list("text", flat=True).first()
    items = json.loads(body)["items"] if body else []
    trace = found.trace
    return Answer(
        response=found.text,
        context_used=SEPARATOR.join(item["content"] for item in items if item["kept"]),
        context_id=str(message.trace_id),
        conversation_id=message.conversation_id,
        message_id=found.pk,
        question_id=message.pk,
        citations=[_citation(citation) for citation in found.citations],
        usage=(trace.outcome or {}).get("usage", {}) if trace else {},
        model=trace.model if trace else "",
        is_extractive=bool(trace and trace.model == "extractive"),
        flags=found.flags,
        grounding=found.grounding,
        freshness=None,
        state=message.conversation.state,
    )


def answer_sent_before(question: Question) -> Answer | None:
    """Return the answer that is stored for the question's client id, if any."""
    if question.client_id is None:
        return None
    sent = Message.objects.filter(user_id=question.user_id, client_id=question.client_id).values_list("pk", flat=True)
    return stored_answer(found) if (found := sent.first()) else None


def _without_model(message: Message) -> Answer | None:
    """Return the line that answered the message, or an answer without a text to one that was for a person.

    None if the person gave the conversation back without an answer: it is the bot's to answer now.
    """
    conversation = message.conversation
    later = list(conversation.messages.filter(pk__gt=message.pk).order_by("pk"))
    line = later[0] if later and set(later[0].flags) & {ESCALATED, WAITING, CONTACT} else None
    is_open = conversation.state in (Conversation.State.BOT, Conversation.State.WAITING)
    if line is None and is_open and not any(message.role in _ANSWERS for message in later):
        return None
    if line is None:
        return _nothing(message)
    return Answer.without_model(
        response=line.text, flags=line.flags, conversation_id=conversation.pk, message_id=line.pk,
        question_id=message.pk, state=conversation.state,
    )  # fmt: skip


def _nothing(message: Message) -> Answer:
    """Return the answer to a message that a person answers, or answered."""
    conversation = message.conversation
    return Answer.without_model(
        conversation_id=conversation.pk, message_id=message.pk, question_id=message.pk, state=conversation.state
    )


def _citation(stored: dict[str, object]) -> Citation:
    fields = {name: value for name, value in stored.items() if name not in ("chunk", "quote")}
    return Citation(**fields, content=stored["quote"])  # type: ignore[arg-type]
