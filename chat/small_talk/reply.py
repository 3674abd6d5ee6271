"""Answer small talk: a friendly sentence, with a trace that shows that nothing was searched and no model was asked."""

import inspect
from collections.abc import AsyncIterator

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from chat.answer_flags import SMALL_TALK
from chat.models import Message
from chat.phrases.known import known_phrases
from chat.providers.protocol import Completion, Delta, Prompt
from chat.small_talk.detection import SmallTalk, small_talk_in
from chat.small_talk.phrases import PhraseKind
from chat.turns.turn import Question
from common.definitions import Location
from contexts.assembly import assemble
from contexts.items import Context, ContextItem
from contexts.registry import ContextSpec


async def small_talk_of(question: Question) -> SmallTalk | None:
    """Return the small talk that a question consists of; "ok" after a question of the bot answers that, so is none."""
    talk = small_talk_in(question.message, known_phrases())
    if talk is None or talk.kind is not PhraseKind.APPROVAL:
        return talk
    last: str | None
    if question.thread is not None:
        last = question.thread.last_answer
    elif question.conversation_id is None:
        return talk
    else:
        last = await _last_answer(question)
    return None if last and last.rstrip().endswith(("?", "\uff1f")) else talk


async def _last_answer(question: Question) -> str | None:
    answers = Message.objects.filter(
        conversation=question.conversation_id, conversation__user_id=question.user_id, role=Message.Role.ASSISTANT
    )
    return await answers.order_by("-id").values_list("text", flat=True).afirst()


def reply_to(talk: SmallTalk) -> str:
    """Return the reply, in the reader's language unless the message is in another one; an operator's comes first."""
    reader = (translation.get_language() or settings.LANGUAGE_CODE).partition("-")[0]
    is_several = len(talk.languages) > 1  # such as "hi": it tells no language
    language = reader if is_several or reader in talk.languages else talk.languages[0]
    for added in known_phrases():
        if added.language == language and (own := getattr(added, f"{talk.kind.value}_reply", "")):
            return str(own)
    with translation.override(language):
        return {
            PhraseKind.GREETING: _("Hello! What can I help you with?"),
            PhraseKind.THANKS: _("You're welcome! Just ask if there is anything else."),
            PhraseKind.GOODBYE: _("Goodbye! Come back whenever you have a question."),
            PhraseKind.APPROVAL: _("Glad to help! Just ask if there is anything else."),
        }[talk.kind]


class SmallTalkProvider:
    """Reply without a model."""

    model = SMALL_TALK
    is_extractive = False
    window = 0
    attempts = ()
    config = None
    models = ()

    def __init__(self, talk: SmallTalk) -> None:
        self.talk = talk

    async def run(self, prompt: Prompt, *, is_streamed: bool) -> AsyncIterator[Delta | Completion]:
        yield Delta(text=reply_to(self.talk))
        yield Completion(model=self.model, usage=None, finish_reason="stop", cited=frozenset())


async def small_talk_context(question: Question) -> Context:
    """Return a context without items, flagged; like every context of a chat it leaves a trace."""

    async def small_talk(user_id: str, query: str) -> list[ContextItem]:
        return []

    spec = ContextSpec(
        name=SMALL_TALK, function=small_talk, signature=inspect.signature(small_talk), max_tokens=1,
        model=settings.FABRA_CHAT_MODEL, overflow="raise", freshness_sla=None, freshness_strict=False,
        description="", location=Location.of(small_talk),
    )  # fmt: skip
    context = await assemble(spec, (question.user_id, question.message), {})
    context.evidence["flags"].append(SMALL_TALK)
    return context
