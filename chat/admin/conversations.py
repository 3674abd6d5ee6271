"""Admin of conversations: their messages, each with its trace."""

from typing import Any

from django.contrib import messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Left
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.http import require_POST
from unfold.decorators import display

from chat.access.permissions import ANSWER_CONVERSATION
from chat.admin.conversation_filters import (
    STATE_WORDS,
    AgentFilter,
    BotFilter,
    ContactFilter,
    ConversationStateFilter,
    search,
)
from chat.admin.feedback import feedback_by_message
from chat.errors import ConversationNotFound
from chat.handover.actions import transfer
from chat.live.bodies import staff_name_of
from chat.models import Conversation, Customer, Message, reasons
from common.admin.base import ReadOnlyAdmin, is_list, moment
from common.admin.html import admin_url, badge, short, wide
from common.admin.permissions import needs
from common.admin.site import register
from common.errors import FabraError
from common.markdown import render

_SHOWN_MESSAGES = 200
STATE_TONES = {"bot": "plain", "waiting": "warn", "person": "info", "closed": "plain"}


@register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    change_form_template = "admin/chat/conversation/change_form.html"
    list_display = (
        moment("last_message_at"), "user_id", "who_answers", "bot", "first_question", "message_count", "address",
        moment("created_at"),
    )  # fmt: skip
    list_select_related = ("agent",)
    list_filter = (ConversationStateFilter, AgentFilter, ContactFilter, BotFilter, "last_message_at")
    ordering = ("-last_message_at",)
    sortable_by = ("last_message_at",)
    search_fields = ("user_id",)
    search_help_text = "The beginning of a user's id, of a customer's name or of an address, or the number."
    fields = ("user_id", "bot", "created_at", "last_message_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        rows = super().get_queryset(request)
        if not is_list(request):
            return rows
        messages = Message.objects.filter(conversation=OuterRef("pk")).order_by()
        count = messages.values("conversation").annotate(n=Count("pk")).values("n")
        return rows.annotate(
            first=Subquery(messages.order_by("id").values(beginning=Left("text", 200))[:1]),
            messages_said=Coalesce(Subquery(count), 0),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        text = search_term.strip()
        return (search(queryset, text) if text else queryset), False

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(require_POST(self.ask_for_person))
        return [path("<int:pk>/ask-for-person/", view, name="chat_conversation_ask_for_person"), *super().get_urls()]

    @needs("view", ANSWER_CONVERSATION)
    def ask_for_person(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Put a conversation of the bot's into the queue."""
        try:
            transfer(pk, request.user, None)
        except ConversationNotFound:
            raise Http404 from None
        except FabraError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, "It waits in the inbox for whoever takes it over.", messages.SUCCESS)
        return HttpResponseRedirect(admin_url(Conversation, pk))

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra = dict(extra_context or {})
        conversation = self.get_object(request, object_id) if object_id else None
        if conversation is not None and self.has_view_permission(request, conversation):
            extra |= _page(conversation)
            if request.user.has_perm("chat.view_feedback"):
                extra["feedback"] = feedback_by_message(extra["shown_messages"])
        return super().changeform_view(request, object_id, form_url, extra)

    @display(description="began with")
    def first_question(self, row: Any) -> str:
        return wide(short(row.first or "", 110) or "–")

    @display(description="who answers")
    def who_answers(self, row: Conversation) -> str:
        words, tone = STATE_WORDS[Conversation.State(row.state)], STATE_TONES[row.state]
        return badge(words, tone) if row.agent is None else badge(str(staff_name_of(row.agent)), tone)

    @display(description="address")
    def address(self, row: Conversation) -> str:
        return row.contact or "–"

    @display(description="messages")
    def message_count(self, row: Any) -> int:
        return row.messages_said


def _page(conversation: Conversation) -> dict[str, Any]:
    """Return the template's context: the newest messages, oldest first, and the customer if the user is one."""
    newest = list(
        conversation.messages.select_related("trace", "author")
        .defer("trace__answer", "trace__query")
        .order_by("-id")[: _SHOWN_MESSAGES + 1]
    )
    customer = Customer.objects.filter(user_id=conversation.user_id).first()
    return {
        "shown_messages": [(message, _answer_html(message)) for message in reversed(newest[:_SHOWN_MESSAGES])],
        "is_cut": len(newest) > _SHOWN_MESSAGES,
        "summaries": list(conversation.summaries.select_related("first_message", "last_message")),
        "who_answers": STATE_WORDS[Conversation.State(conversation.state)],
        "state_tone": STATE_TONES[conversation.state],
        "agent": staff_name_of(conversation.agent),
        "reason": reasons.words_of(conversation.escalation_reason),
        "tickets": list(conversation.tickets.all()),
        "customer": customer,
        "customer_url": admin_url(Customer, customer.pk) if customer else "",
    }


def _answer_html(message: Message) -> str:
    """Return an answer as HTML with its citations marked; "" for a user's message, which is shown as plain text."""
    if message.role == Message.Role.USER:
        return ""
    return render(message.text, {citation.get("number") for citation in message.citations})
