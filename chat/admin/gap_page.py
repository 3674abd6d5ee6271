"""Contents of a gap's page: its questions, before and after, and how often they were asked."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from chat.engine.gap_questions import asked_questions
from chat.models import Conversation, Gap, GapQuestion, Message
from common.admin.charts import Series, bar_chart
from common.admin.html import admin_url, badge
from common.markdown import render
from contexts.models import Trace
from retrieval.models import Document

_SHOWN_QUESTIONS = 50
CHART_DAYS = 30
_MOST_CHARTED = 20_000

Asked = tuple[datetime, list[str]]
"""When a question was asked, and why the bot had no good answer."""

Reason = GapQuestion.Reason
TONES = {
    Reason.NOTHING_FOUND: "plain", Reason.NOT_KNOWN: "plain", Reason.NOT_SUPPORTED: "info", Reason.ESCALATED: "warn",
    Reason.THUMBED_DOWN: "bad",
}  # fmt: skip
STATE_TONES = {
    Gap.State.OPEN: "warn", Gap.State.ARTICLE_WRITTEN: "info", Gap.State.LINKED: "info", Gap.State.ANSWERED: "good",
    Gap.State.OUT_OF_SCOPE: "plain",
}  # fmt: skip
# A question with several reasons is drawn by the gravest.
_DRAWN = (
    ("thumbs down", "bad", {Reason.THUMBED_DOWN}),
    ("a person was asked for", "warn", {Reason.ESCALATED}),
    ("not supported", "info", {Reason.NOT_SUPPORTED}),
    ("not known, nothing found", "plain", {Reason.NOT_KNOWN, Reason.NOTHING_FOUND}),
)


def gap_page(request: HttpRequest, gap: Gap) -> dict[str, Any]:
    """Return the template's context."""
    newest = list(gap.questions.select_related("message").order_by("-asked_at")[:_SHOWN_QUESTIONS])
    may = request.user.has_perm
    asked, reasons = asked_questions(gap), reasons_in(gap.questions.all())
    return {
        "state": badge(gap.state, STATE_TONES[Gap.State(gap.state)], gap.get_state_display()),
        "chart": chart_of(reasons),
        "days": CHART_DAYS,
        "reasons": _counted(reasons),
        "questions": _questions(newest, may_read=may("chat.view_conversation"), may_trace=may("contexts.view_trace")),
        "hidden": max(0, gap.question_count - len(newest)),
        "asked": sum(question.is_answered is not None for question in asked),
        "answered": sum(question.is_answered is True for question in asked),
        "article": _article(gap.document) if gap.document else None,
        "may_open_article": may("retrieval.view_document"),
        "may_write": may("chat.change_gap") and may("retrieval.add_document"),
        "may_link": may("chat.change_gap") and may("retrieval.view_document"),
        "may_decide": may("chat.change_gap"),
        "is_waiting": gap.state in (Gap.State.ARTICLE_WRITTEN, Gap.State.LINKED) and gap.asked_at is None,
    }


def reasons_in(questions: QuerySet[GapQuestion], days: int | None = None) -> list[Asked]:
    """Return when and why the newest questions were asked, of so many days."""
    if days is not None:
        questions = questions.filter(asked_at__gte=timezone.now() - timedelta(days=days))
    return list(questions.order_by("-asked_at").values_list("asked_at", "reasons")[:_MOST_CHARTED])


def chart_of(questions: Iterable[Asked]) -> SafeString:
    """Draw the questions of the last days, in UTC, by their gravest reason."""
    today = timezone.now().date()
    days = [today - timedelta(days=age) for age in reversed(range(CHART_DAYS))]
    counts = Counter((asked_at.date(), _gravest(reasons)) for asked_at, reasons in questions)
    series = [Series(name=name, tone=tone, values=[counts[day, name] for day in days]) for name, tone, _ in _DRAWN]
    return bar_chart([f"{day:%b %d}" for day in days], series, lambda value: f"{value:,.4g}")


def reason_badges(reasons: Iterable[str]) -> list[SafeString]:
    known = [reason for reason in Reason if reason in set(reasons)]
    return [badge(reason, TONES[reason], str(reason.label)) for reason in known]


def _gravest(reasons: list[str]) -> str:
    return next((name for name, _, own in _DRAWN if own.intersection(reasons)), _DRAWN[-1][0])


def _counted(questions: Iterable[Asked]) -> list[dict[str, Any]]:
    counts = Counter(reason for _, reasons in questions for reason in reasons)
    return [{"badge": reason_badges([reason])[0], "count": count} for reason, count in counts.most_common()]


def _questions(questions: list[GapQuestion], *, may_read: bool, may_trace: bool) -> list[dict[str, Any]]:
    traces = [question.message.trace_id for question in questions if question.message.trace_id]
    answers = Message.objects.filter(trace__in=traces, role=Message.Role.ASSISTANT)
    answer_to: dict[Any, Message] = {answer.trace_id: answer for answer in answers}
    return [
        {
            "row": question,
            "text": question.message.text,
            "reasons": reason_badges(question.reasons),
            "before": _before(answer_to.get(question.message.trace_id)),
            "after": _after(question.after),
            "conversation_url": admin_url(Conversation, question.message.conversation_id) if may_read else "",
            "trace_url": admin_url(Trace, question.message.trace_id) if may_trace and question.message.trace_id else "",
        }
        for question in questions
    ]


def _before(answer: Message | None) -> dict[str, Any] | None:
    return _shown(answer.text, answer.citations) if answer else None


def _after(after: dict[str, Any] | None) -> dict[str, Any] | None:
    if after is None:
        return None
    if "error" in after:
        return {"error": after["error"]}
    return _shown(after["answer"], after["citations"]) | {"reasons": reason_badges(after["reasons"])}


def _shown(text: str, citations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an answer with its sources: those that it cites, otherwise those that it had."""
    cited = [citation for citation in citations if citation.get("is_cited")]
    sources = list({citation["document_id"]: citation for citation in reversed(cited or citations)}.values())
    return {
        "answer": render(text, {citation["number"] for citation in citations}),
        "sources": sorted(sources, key=lambda citation: citation["number"]),
        "are_cited": bool(cited),
    }


def _article(document: Document) -> dict[str, Any]:
    return {
        "title": str(document), "id": document.entity_id, "index": document.index.name,
        "url": admin_url(Document, document.pk), "state": document.get_state_display(),
        "is_indexed": document.state == Document.State.INDEXED, "error": document.error,
    }  # fmt: skip
