"""What the list of conversations is filtered and searched by, each with an index or a scan of the newest."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from chat.live.bodies import staff_name_of
from chat.models import Bot, Conversation, Customer

_MOST_AGENTS = 50
_MOST_CUSTOMERS = 100

State = Conversation.State
STATE_WORDS = {
    State.BOT: "the assistant", State.WAITING: "waits", State.PERSON: "with a person", State.CLOSED: "closed",
}  # fmt: skip


class ConversationStateFilter(admin.SimpleListFilter):
    title = "who answers"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, words.capitalize()) for state, words in STATE_WORDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(state=self.value()) if self.value() in State else queryset


class AgentFilter(admin.SimpleListFilter):
    """By those who hold a conversation now."""

    title = parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        holding = Conversation.objects.filter(state=State.PERSON, agent__isnull=False).order_by()
        agents = get_user_model()._default_manager.filter(pk__in=holding.values("agent"))[:_MOST_AGENTS]
        return sorted(((str(agent.pk), str(staff_name_of(agent))) for agent in agents), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        known = {key for key, _ in self.lookup_choices}
        return queryset.filter(agent=self.value()) if self.value() in known else queryset


class BotFilter(admin.SimpleListFilter):
    title = parameter_name = "bot"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(slug, name or slug) for slug, name in Bot.objects.order_by("pk").values_list("slug", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(bot=self.value()) if self.value() else queryset


class ContactFilter(admin.SimpleListFilter):
    title = "address"
    parameter_name = "contact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("left", "Left one")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(contact="") if self.value() == "left" else queryset


def search(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Return the conversations of a user's id or an address that begins so, of a customer's name, or of a number."""
    named = Customer.objects.filter(name__istartswith=text).exclude(name="").order_by("pk")
    user_ids = list(named.values_list("user_id", flat=True)[:_MOST_CUSTOMERS])
    found = Q(user_id__startswith=text) | (Q(contact__startswith=text) & ~Q(contact=""))
    found |= Q(user_id__in=user_ids) if user_ids else Q()
    number = text.removeprefix("#")
    found |= Q(pk=int(number)) if number.isascii() and number.isdecimal() and len(number) < 19 else Q()
    return rows.filter(found)
