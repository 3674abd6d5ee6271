"""Admin of customers and tickets: the sample data that the bot's features read."""

from django import forms
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.decorators import display

from chat.models import Conversation, Customer, Ticket
from common.admin.base import ListAdmin
from common.admin.html import badge, link, list_link, table
from common.admin.site import register
from common.errors import FabraError
from common.validation import check_identity


class CustomerForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Customer
        fields = ("user_id", "name", "tier")

    def clean_user_id(self) -> str:
        try:
            return check_identity(self.cleaned_data["user_id"], "user_id")
        except FabraError as error:
            raise forms.ValidationError(str(error)) from None


class TicketInline(TabularInline):
    model = Ticket
    extra = 0
    fields = ("number", "subject", "status", "created_at")


@register(Customer)
class CustomerAdmin(ListAdmin):
    form = CustomerForm
    list_display = ("user_id", "name", "shown_tier", "created_at")
    list_filter = ("created_at",)
    search_fields = ("user_id__startswith", "name__icontains")
    inlines = (TicketInline,)
    fields = (("user_id", "name"), "tier", "conversations")
    readonly_fields = ("conversations",)
    needs_permission = {"conversations": "chat.view_conversation"}

    @display(description="tier", ordering="tier")
    def shown_tier(self, customer: Customer) -> str:
        return badge(customer.tier, "info" if customer.tier != "free" else "plain")

    @display(description="conversations")
    def conversations(self, customer: Customer) -> str:
        if customer.pk is None:
            return "–"
        newest = Conversation.objects.filter(user_id=customer.user_id)[:10]
        rows = [(link(Conversation, row.pk, f"#{row.pk}"), f"{row.last_message_at:%Y-%m-%d %H:%M}") for row in newest]
        return format_html(
            "{}{}",
            table(["Conversation", "Last message (UTC)"], rows),
            list_link(Conversation, "All of them", q=customer.user_id),
        )


@register(Ticket)
class TicketAdmin(ListAdmin):
    list_display = ("number", "subject", "of_customer", "shown_status", "created_at")
    list_filter = ("status", "created_at")
    list_select_related = ("customer",)
    search_fields = ("subject__icontains", "customer__user_id__exact")
    search_help_text = "Words of the subject, or a customer's whole user id."
    autocomplete_fields = ("customer", "conversation")

    @display(description="customer")
    def of_customer(self, ticket: Ticket) -> str:
        return link(Customer, ticket.customer_id, ticket.customer.user_id)

    @display(description="status", ordering="status")
    def shown_status(self, ticket: Ticket) -> str:
        return badge(ticket.status)
