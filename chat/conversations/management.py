"""A user's conversations: search them, rename one, and delete one with everything that belongs to it."""

import logging

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat, StrIndex

from chat.conversations.events import events_of
from chat.conversations.kept_values import erase_kept_values, renew
from chat.conversations.removal import remove_conversations
from chat.live.changes import publish_deletion
from chat.models import Conversation, Message
from common.errors import InvalidInput, NotFound
from common.redis import REDIS_ERRORS
from common.validation import check_text, is_blank
from contexts.erasure import erase_fast_copies, erase_traces
from contexts.items import SEPARATOR
from contexts.models import Trace
from events.erasure import erase_payloads

logger = logging.getLogger(__name__)

TITLE_MAX_CHARS = 200
SEARCH_MAX_CHARS = 200
_SEARCH_MAX_WORDS = 8
_SAID = (Message.Role.USER, Message.Role.ASSISTANT, Message.Role.AGENT)


def conversation_of(user_id: str, pk: int, bot: str = "") -> Conversation:
    """Return one of the user's own conversations, with a bot if one is named; raise NotFound, also for another's."""
    found = Conversation.objects.select_related("agent").of_user(user_id, bot).filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no conversation {pk}.")
    return found


def search_conversations(user_id: str, text: str, bot: str = "") -> QuerySet[Conversation]:
    """Return the user's conversations, newest first; with a text those whose title or one of whose messages has it.

    With a bot it is those with this bot only.

    Every word of the text must be there, in any order and case. The user's own messages are found by an index, and
    only these are read, however large the table is.
    """
    found = Conversation.objects.of_user(user_id, bot).select_related("agent").order_by("-last_message_at", "-id")
    words = _words_of(text)
    if not words:
        return found
    said = Message.objects.filter(_has_all(words, "text"), user_id=user_id, role__in=_SAID)
    return found.filter(_has_all(words, "title") | Q(pk__in=said.order_by().values("conversation")))


def rename(conversation: Conversation, title: str) -> None:
    """Give the conversation a title; white space is reduced to single spaces. Raise InvalidInput."""
    title = " ".join(check_text(title, "title").split())
    if is_blank(title):
        raise InvalidInput("title must not be empty.")
    if len(title) > TITLE_MAX_CHARS:
        raise InvalidInput(f"title must have at most {TITLE_MAX_CHARS} characters.")
    Conversation.objects.filter(pk=conversation.pk).update(title=title)
    conversation.title = title


def delete_conversation(conversation: Conversation) -> list[str]:
    """Delete a conversation with all that belongs to it; return what is erased later.

    That is its messages, its traces, what its events say, and what features have kept of it.

    A trace is evidence, but of a text that its writer takes back. An answer that is written meanwhile is refused by
    its foreign key.
    """
    with transaction.atomic():
        # The lock waits for messages that are being written, and refuses those that come later.
        if not Conversation.objects.select_for_update().filter(pk=conversation.pk).exists():
            raise NotFound(f"There is no conversation {conversation.pk}.")
        erased = erase_traces(_traces_of(conversation))
        same = Conversation.objects.filter(pk=conversation.pk)
        values = erase_kept_values(same)
        erase_payloads(events_of(same))
        remove_conversations(same)
        publish_deletion(conversation.pk)
    left = []
    try:
        erase_fast_copies(erased)
    except REDIS_ERRORS as error:
        logger.warning("The copies of %d erased traces are erased later: %s", len(erased), type(error).__name__)
        left.append("copies of its traces in Redis, which does not answer")
    if not renew(values):
        left.append("values of features in Redis, which does not answer")
    return left


def _traces_of(conversation: Conversation) -> QuerySet[Trace]:
    """Return the traces of the conversation's messages, and others of its questions that no message has.

    The latter are of contexts inside another context, and of assemblies that failed before the question was stored.
    """
    of_messages = Message.objects.filter(conversation=conversation.pk, trace__isnull=False).order_by()
    questions = Message.objects.filter(conversation=conversation.pk, role=Message.Role.USER).order_by()
    elsewhere = Message.objects.filter(trace=OuterRef("pk")).exclude(conversation=conversation.pk)
    position = StrIndex(OuterRef("query"), Concat(F("text"), Value(SEPARATOR)))
    first_of_several = questions.alias(position=position).filter(position=1)  # several that were asked together
    same = Q(Q(query__in=questions.values("text")) | Q(Exists(first_of_several)), user_id=conversation.user_id)
    linked = Trace.objects.filter(pk__in=of_messages.values("trace"))
    return linked.union(Trace.objects.filter(same & ~Exists(elsewhere)))


def _words_of(text: str) -> list[str]:
    """Return the words to search for; raise InvalidInput."""
    if len(check_text(text, "q")) > SEARCH_MAX_CHARS:
        raise InvalidInput(f"q must have at most {SEARCH_MAX_CHARS} characters.")
    return text.split()[:_SEARCH_MAX_WORDS]


def _has_all(words: list[str], column: str) -> Q:
    return Q(*(Q(**{f"{column}__icontains": word}) for word in words))
