"""Conversations and their messages."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from pgvector.django import VectorField

_TITLE_MAX_CHARS = 80


class Conversation(models.Model):
    class State(models.TextChoices):
        BOT = "bot"
        WAITING = "waiting"
        PERSON = "person"
        CLOSED = "closed"

    user_id = models.CharField(max_length=255)
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
    created_at = models.DateTimeField(auto_now_add=True)
    last_message_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-last_message_at",)
        indexes = [
            # Serves the admin's list, and a user's latest conversation.
            models.Index(fields=["-last_message_at"], name="conversation_newest"),
            models.Index(fields=["user_id", "-last_message_at"], name="conversation_by_user"),
        ]
        permissions = [("chat_as_user", "Can choose whom to be in a chat")]

    def __str__(self) -> str:
        return f"{self.user_id} #{self.pk}"


class Message(models.Model):
    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"
        AGENT = "agent"
        NOTICE = "notice"

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
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
            models.Index(fields=["user_id", "role", "-created_at"], name="message_by_user")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "client_id"],
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
