"""Admin of feedback: what users think of answers, and golden questions made of it."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from chat.gaps.marking import question_of
from chat.models import Conversation, Feedback, Gap, GapQuestion, Message
from common.admin.base import ReadOnlyAdmin, is_list, moment
from common.admin.html import admin_url, badge, short, wide
from common.admin.permissions import needs
from common.admin.site import register, render, reverse_admin
from common.markdown import render as render_markdown
from contexts.admin.trace_page import register_panel
from contexts.golden import GoldenProposal, propose_golden
from contexts.models import Trace
from retrieval.models import GoldenQuestion

_ADD_GOLDEN = "retrieval.add_goldenquestion"
_SHOWN_DOCUMENTS = 5


class CommentFilter(admin.SimpleListFilter):
    title = "comment"
    parameter_name = "commented"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "With a comment"), ("no", "Without one")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Feedback]) -> QuerySet[Feedback]:
        if self.value() == "yes":
            return queryset.exclude(comment="")
        return queryset.filter(comment="") if self.value() == "no" else queryset


@register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    change_form_template = "admin/chat/feedback/change_form.html"
    list_display = (moment("updated_at"), "shown_value", "shown_comment", "question", "user_id", "golden")
    list_display_links = ("updated_at", "shown_comment")
    list_filter = ("value", CommentFilter, "updated_at")
    ordering = ("-updated_at",)
    sortable_by = ("updated_at",)
    search_fields = ("user_id__startswith", "comment__icontains")
    search_help_text = "The beginning of a user's id, or words of the comment."
    fields = ("value", "comment", "user_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        rows = super().get_queryset(request)
        if not is_list(request):
            return rows
        asked = Message.objects.filter(trace=OuterRef("message__trace"), role=Message.Role.USER).order_by()
        return rows.annotate(asked=Subquery(asked.values(beginning=Left("text", 200))[:1]))

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        return columns if request.user.has_perm(_ADD_GOLDEN) else [name for name in columns if name != "golden"]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.make_golden)
        return [path("<int:pk>/golden/", view, name="chat_feedback_golden"), *super().get_urls()]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra: dict[str, Any] = {"title": "Feedback", **(extra_context or {})}
        feedback = self.get_object(request, object_id) if object_id else None
        if feedback is not None and self.has_view_permission(request, feedback):
            extra["page"] = _page(request, feedback)
        return super().changeform_view(request, object_id, form_url, extra)

    @needs("view", _ADD_GOLDEN)
    def make_golden(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show a golden question's form, filled with what the judged answer was asked; save it when it is sent."""
        feedback = get_object_or_404(Feedback.objects.select_related("message__trace"), pk=pk)
        proposal = propose_golden(feedback.message.trace) if feedback.message.trace else None
        if proposal is None:
            self.message_user(request, "It searched no index that is still there, so there is nothing to expect.",
                              messages.WARNING)  # fmt: skip
            return HttpResponseRedirect(admin_url(Feedback, pk))
        known = GoldenQuestion.objects.filter(index=proposal.index, digest=proposal.digest).first()
        if known is not None:
            self.message_user(request, "It is a golden question already: this one.", messages.INFO)
            return HttpResponseRedirect(admin_url(GoldenQuestion, known.pk))
        form_class = self.admin_site.get_model_admin(GoldenQuestion).get_form(request)
        form = form_class(request.POST or None, initial=_initial(proposal))
        if request.method == "POST" and form.is_valid():
            golden = form.save()
            self.message_user(request, "The golden question was added; the next run asks it.", messages.SUCCESS)
            return HttpResponseRedirect(admin_url(GoldenQuestion, golden.pk))
        page = {
            "title": "A golden question from feedback", "form": form, "submit": "Add", "opts": self.opts,
            "intro": _intro(feedback, proposal),
        }  # fmt: skip
        return render(request, "admin/form_page.html", self.admin_site.each_context(request) | page)

    @display(description="judged", ordering="value")
    def shown_value(self, row: Feedback) -> str:
        return _badge(row)

    @display(description="comment")
    def shown_comment(self, row: Feedback) -> str:
        return wide(short(row.comment, 110) or "–")

    @display(description="asked")
    def question(self, row: Any) -> str:
        return wide(short(row.asked or "–", 110))

    @display(description="")
    def golden(self, row: Feedback) -> str:
        if row.value == Feedback.Value.UP:
            return ""
        url = reverse_admin("chat_feedback_golden", row.pk)
        return format_html('<a class="fb-link" href="{}">golden question</a>', url)


def feedback_by_message(shown: Iterable[tuple[Message, Any]]) -> dict[int, list[Feedback]]:
    """Return the feedback of the messages that a conversation's page shows."""
    found: dict[int, list[Feedback]] = {}
    for feedback in Feedback.objects.filter(message__in=[message.pk for message, _ in shown]).order_by("pk"):
        found.setdefault(feedback.message_id, []).append(feedback)
    return found


@register_panel
def on_trace(request: HttpRequest, trace: Trace) -> SafeString | str:
    """Render what users think of a trace's answer, for those who may see it."""
    if not request.user.has_perm("chat.view_feedback"):
        return ""
    feedback = list(Feedback.objects.filter(message__trace=trace).order_by("pk"))
    return render_to_string("admin/chat/feedback/on_trace.html", {"feedback": feedback}, request) if feedback else ""


def _page(request: HttpRequest, feedback: Feedback) -> dict[str, Any]:
    answer, user = feedback.message, request.user
    question = question_of(answer)
    gap = GapQuestion.objects.filter(message=question).values_list("gap", flat=True).first() if question else None
    trace_pk = answer.trace_id
    return {
        "question": question.text if question else "",
        "answer": render_markdown(answer.text, {citation.get("number") for citation in answer.citations}),
        "conversation_url": _url_if(user.has_perm("chat.view_conversation"), Conversation, answer.conversation_id),
        "trace_url": _url_if(user.has_perm("contexts.view_trace"), Trace, trace_pk),
        "gap_url": _url_if(user.has_perm("chat.view_gap"), Gap, gap),
        "golden_url": reverse_admin("chat_feedback_golden", feedback.pk)
        if trace_pk and user.has_perm(_ADD_GOLDEN)
        else "",
    }


def _url_if(is_allowed: bool, model: Any, pk: Any) -> str:
    return admin_url(model, pk) if is_allowed and pk else ""


def _initial(proposal: GoldenProposal) -> dict[str, Any]:
    """Return the form's values; what is right is left to be said, since the answer was judged wrong."""
    return {
        "index": proposal.index,
        "question": proposal.question,
        "history": proposal.history,
        "filters": proposal.filters,
        "audience": proposal.audience,
        "tags": ["feedback"],
        "is_enabled": True,
    }


def _intro(feedback: Feedback, proposal: GoldenProposal) -> str:
    found = ", ".join(proposal.found[:_SHOWN_DOCUMENTS]) or "nothing"
    comment = f" “{short(feedback.comment, 300)}”" if feedback.comment else ""
    judged = feedback.get_value_display().capitalize()
    return f"{judged}.{comment} It found: {found}. Say which document, or text, is right."


def _badge(row: Feedback) -> SafeString:
    return badge(row.value, "good" if row.value == Feedback.Value.UP else "bad", row.get_value_display())
