"""Conversations and their messages."""

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from pgvector.django import VectorField

from chat.models.bots import DEFAULT_BOT

_TITLE_MAX_CHARS = 80


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def lock(self, pk: int) -> "Conversation | None":
        """Return the conversation with its row locked until the transaction ends; None if there is none.

        Its agent is not joined: after a wait for the lock PostgreSQL reads the row again, but not what is joined to it.
        """
        return self.select_for_update().filter(pk=pk).first()

    def of_user(self, user_id: str, bot: str = "") -> Self:
        """Return the user's conversations, with one bot or "" for all."""
        own = self.filter(user_id=user_id)
        return own.filter(bot=bot) if bot else own

    def unanswered_by_person(self, since: datetime) -> Self:
        """Return the conversations that a person holds, with a customer's message from before `since` unanswered.

        Whoever has got one since then has as much time for it.
        """
        held = self.filter(state=Conversation.State.PERSON, state_changed_at__lte=since)
        return held.filter(unanswered_since__lte=since)

    def waiting_untold(self, since: datetime) -> Self:
        """Return those that have waited for a person since before `since`, and whose customers were not told so."""
        return self.filter(state=Conversation.State.WAITING, state_changed_at__lte=since, is_wait_told=False)

    def of_people_idle(self, since: datetime) -> Self:
        """Return those that wait for a person or have one, and in which nothing has happened since."""
        states = (Conversation.State.WAITING, Conversation.State.PERSON)
        return self.filter(state__in=states, state_changed_at__lte=since, last_message_at__lte=since)

    def unanswered_by_bot(self, since: datetime) -> Self:
        """Return those that the bot took back, with a customer's message that it was to answer before `since`."""
        states = (Conversation.State.BOT, Conversation.State.WAITING)
        return self.filter(state__in=states, unanswered_since__isnull=False, state_changed_at__lte=since)


class Conversation(models.Model):
    class State(models.TextChoices):
        BOT = "bot"
        WAITING = "waiting"
        PERSON = "person"
        CLOSED = "closed"

    NEXT: dict[str, tuple[str, ...]] = {
        State.BOT: (State.WAITING, State.PERSON, State.CLOSED),
        State.WAITING: (State.PERSON, State.BOT, State.CLOSED),
        State.PERSON: (State.BOT, State.WAITING, State.CLOSED),
        State.CLOSED: (),
    }
    """Each state, and those that may follow it."""

    user_id = models.CharField(max_length=255)
    bot = models.CharField(
        max_length=50, default=DEFAULT_BOT, db_default=DEFAULT_BOT, help_text="The slug of the bot that answers in it."
    )
    title = models.CharField(
        max_length=200, blank=True, help_text="The first question's beginning, until it is renamed."
    )
    state = models.CharField(
        max_length=10, choices=State, default=State.BOT, help_text="Who answers: the bot, or a person."
    )
    state_changed_at = models.DateTimeField(default=timezone.now)
    agent = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="held_conversations",
        help_text="The person who answers.",
    )
    takeovers = models.PositiveIntegerField(
        default=0,
        editable=False,
        help_text="How often a person took it over; an answer that the bot began before the last time is dropped.",
    )
    escalation_reason = models.CharField(max_length=200, blank=True, help_text="Why a person is asked for.")
    unanswered_since = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When the customer wrote the first message that whoever holds the conversation has not answered.",
    )
    is_wait_told = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="Whether the customer who waits for a person was told that nobody has come.",
    )
    contact = models.EmailField(blank=True, help_text="Where the customer is written to if nobody is there.")
    language = models.CharField(max_length=20, blank=True, help_text="The language of the lines that tell of changes.")
    queue = ArrayField(
        models.UUIDField(),
        default=list,
        editable=False,
        help_text="Messages to be answered, one at a time: the first has the lease.",
    )
    lease_until = models.DateTimeField(
        null=True, editable=False, help_text="When the lease of the first ends if its process has died."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_message_at = models.DateTimeField(default=timezone.now)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ("-last_message_at",)
        indexes = [
            # Serves the agents' inbox, and the sweep of what a person left unanswered; stays small.
            models.Index(
                fields=["state", "state_changed_at"],
                name="conversation_of_agents",
                condition=models.Q(state__in=["waiting", "person"]),
            ),
            # Serves the sweep of what the bot is to answer after a person; stays small.
            models.Index(
                fields=["unanswered_since"],
                name="conversation_unanswered",
                condition=models.Q(unanswered_since__isnull=False),
            ),
            # Serves the admin's list, and a user's latest conversation.
            models.Index(fields=["-last_message_at"], name="conversation_newest"),
            models.Index(fields=["user_id", "-last_message_at"], name="conversation_by_user"),
            # Serve the admin's filters by bot and by contact; empty where there is one bot, and nobody left an address.
            models.Index(
                fields=["bot", "-last_message_at"], name="conversation_by_bot", condition=~models.Q(bot=DEFAULT_BOT)
            ),
            models.Index(
                fields=["contact", "-last_message_at"],
                name="conversation_by_contact",
                condition=~models.Q(contact=""),
                opclasses=["varchar_pattern_ops", "timestamptz_ops"],
            ),
        ]
        permissions = [
            ("chat_as_user", "Can choose whom to be in a chat"),
            ("answer_conversation", "Can answer customers in the bot's place"),
            ("reassign_conversation", "Can pass on, hand back or close what a colleague holds"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} #{self.pk}"

    def may_become(self, state: str) -> bool:
        return state in self.NEXT[self.state]

    def become(self, state: str, agent: Any = None) -> None:
        """Set the state and who holds the conversation, without saving."""
        self.state, self.agent, self.state_changed_at = state, agent, timezone.now()
        self.is_wait_told = False
        if state == self.State.PERSON:
            self.takeovers += 1
            if self.queue and self._has_question():
                self.queue = self.queue[1:]  # what the bot is answering is dropped, so that nobody waits for it

    def _has_question(self) -> bool:
        """Return whether the customer wrote last; who has the lease then has stored their message, and is answered."""
        said = self.messages.exclude(role=Message.Role.NOTICE).order_by("-pk")
        return said.values_list("role", flat=True).first() == Message.Role.USER


class Message(models.Model):
    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"
        AGENT = "agent"
        NOTICE = "notice"

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False, help_text="See Meta.indexes."
    )
    user_id = models.CharField(
        max_length=255, help_text="The conversation's user, copied here so that messages are counted without a join."
    )
    role = models.CharField(
        max_length=10,
        choices=Role,
        help_text="Who wrote it: the user, the bot, a person, or nobody, for a line that tells what happened.",
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The person who wrote it, if its role is agent.",
    )
    client_id = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="Given by the client, so that what it sends twice is one message.",
    )
    thread_digest = models.CharField(
        max_length=32,
        blank=True,
        editable=False,
        help_text="Of all that a client which keeps its conversations itself had said and heard up to this message.",
    )
    api_key = models.ForeignKey(
        "chat.ApiKey",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,  # without it, an answer that is given later would know no bounds
        db_index=False,  # nothing looks for it; a key is revoked, and stays
        related_name="+",
        help_text="The key that sent it: an answer that is given later keeps to its bounds.",
    )
    context = models.CharField(max_length=200, blank=True, editable=False, help_text="The context that was asked for.")
    count_token = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="What the limits count it by: if its answer is lost, it is uncounted.",
    )
    text = models.TextField()
    trace = models.ForeignKey("contexts.Trace", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    citations = models.JSONField(default=list, blank=True)
    flags = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    grounding = models.JSONField(null=True, blank=True, help_text="Which sentences of an answer its passages support.")
    embedding = VectorField(null=True, blank=True, editable=False)
    embedding_model = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("id",)
        indexes = [
            # Serves `message_count` and, while Redis is down, the rate limit.
            models.Index(fields=["user_id", "role", "-created_at"], name="message_by_user"),
            # Serves a conversation's messages, the newest of them, and those after one that is known.
            models.Index(fields=["conversation", "id"], name="message_in_conversation"),
            # Serves the look-up of the conversation that a client's question goes on with.
            models.Index(fields=["thread_digest"], name="message_of_thread", condition=~models.Q(thread_digest="")),
        ]
        constraints = [
            # By the user, because a client that sends a conversation's first message again does not know its id.
            models.UniqueConstraint(
                fields=["user_id", "client_id"],
                condition=models.Q(client_id__isnull=False),
                name="message_sent_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.text[:50]}"


class ConversationSummary(models.Model):
    """What a model made of some turns of a conversation, once: a context is offered it in their place."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="summaries")
    first_message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="+", help_text="The first question that it covers."
    )
    last_message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="+", help_text="The last question that it covers."
    )
    turn_count = models.PositiveIntegerField()
    text = models.TextField()
    model = models.CharField(max_length=200)
    usage = models.JSONField(null=True, blank=True, help_text="Tokens of the call, and its cost.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("last_message",)
        verbose_name_plural = "conversation summaries"
        constraints = [
            models.UniqueConstraint(fields=["conversation", "first_message"], name="turns_summarised_once"),
            # Serves the newest summaries of a conversation.
            models.UniqueConstraint(fields=["conversation", "last_message"], name="summary_by_last_message"),
        ]

    def __str__(self) -> str:
        return f"{self.turn_count} turns of {self.conversation_id}"


def title_of(question: str) -> str:
    """Return a conversation's title: the beginning of its first question, cut between words."""
    line = " ".join(question.split())
    if len(line) <= _TITLE_MAX_CHARS:
        return line
    cut = line[: _TITLE_MAX_CHARS - 1]
    return (cut.rpartition(" ")[0] or cut).rstrip(" ,;:") + "…"
