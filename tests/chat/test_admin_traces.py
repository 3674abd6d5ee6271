"""A trace's page draws the evidence, says whether it is untouched, and escapes what users wrote."""

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Message
from contexts.models import ContextDefinition, Trace, TraceBody
from retrieval.models import Chunk
from tests.chat.admin_rows import fill

pytestmark = pytest.mark.django_db


@pytest.fixture
def trace() -> Trace:
    fill(1)
    return Trace.objects.get()


def page_of(client: Client, trace: Trace) -> str:
    response = client.get(reverse("admin:contexts_trace_change", args=[trace.pk]))
    assert response.status_code == 200
    return response.content.decode()


def test_the_page_shows_what_the_model_saw_and_why(trace: Trace, admin_client: Client) -> None:
    page = page_of(admin_client, trace)
    chunk = Chunk.objects.get()
    for shown in (
        "over the budget of 100 tokens", "stale", "1.02 min", "from the cache", "rank 2", "0.7500",
        "feature_degraded:user_tier", "1,234", "Messages sent to the model (2)", "verified", trace.digest,
        reverse("admin:retrieval_chunk_change", args=[chunk.pk]),
        reverse("admin:retrieval_document_change", args=[chunk.document_id]),
    ):  # fmt: skip
        assert shown in page


def test_what_users_wrote_is_escaped(trace: Trace, admin_client: Client) -> None:
    page = page_of(admin_client, trace)
    assert "How &lt;script&gt;alert(1)&lt;/script&gt;?" in page
    for raw in ("<script>alert(1)", "<b>Kept</b>", "<b>Answer</b>", "<i>H</i>"):
        assert raw not in page


def test_answers_are_rendered_and_questions_are_not(trace: Trace, admin_client: Client) -> None:
    answer = "Use the **link in the *mail*** [1] <img src=x onerror=alert(1)> [x](javascript:alert(1))"
    Trace.objects.update(answer=answer)
    Message.objects.update(text=answer, citations=[{"number": 1}])
    conversation = reverse("admin:chat_conversation_change", args=[Conversation.objects.get().pk])
    rendered = '<strong>link in the <em>mail</em></strong> <span class="cite">1</span> &lt;img src=x'
    for page in (page_of(admin_client, trace), admin_client.get(conversation).content.decode()):
        assert rendered in page
        assert "<img src=x" not in page
        assert 'href="javascript:' not in page
    assert "Use the **link in the *mail*** [1] &lt;img src=x" in page  # the user's message of the conversation


def test_altered_evidence_is_called_so(trace: Trace, admin_client: Client) -> None:
    body = TraceBody.objects.get()
    TraceBody.objects.update(text=body.text.replace("Dropped", "Changed"))
    page = page_of(admin_client, trace)
    assert ">altered<" in page
    assert ">verified<" not in page


def test_a_chunk_that_was_replaced_links_to_its_version(trace: Trace, admin_client: Client) -> None:
    chunk = Chunk.objects.get()
    version = chunk.version_id
    chunk.delete()
    page = page_of(admin_client, trace)
    assert "replaced since" in page
    assert reverse("admin:retrieval_documentversion_change", args=[version]) in page


@pytest.mark.parametrize("text", ['{"error": {"code": "budget_exceeded", "type": "BudgetExceeded"}}', "{}"])
def test_a_failed_assembly_has_a_page(text: str, trace: Trace, admin_client: Client) -> None:
    TraceBody.objects.update(text=text)
    Trace.objects.update(state="failed", error_code="budget_exceeded", outcome=None, answer="")
    assert "budget_exceeded" in page_of(admin_client, trace)


def test_a_trace_without_evidence_has_a_page(trace: Trace, admin_client: Client) -> None:
    TraceBody.objects.all().delete()
    assert "no evidence stored" in page_of(admin_client, trace)


@pytest.mark.parametrize("words", ["script", "user_0", "id"])
def test_traces_are_found_by_question_user_and_id(words: str, trace: Trace, admin_client: Client) -> None:
    term = str(trace.pk) if words == "id" else words
    found = admin_client.get(reverse("admin:contexts_trace_changelist"), {"q": term})
    assert found.context["cl"].result_count == 1


def test_a_conversation_links_each_message_to_its_trace(trace: Trace, admin_client: Client) -> None:
    conversation = Conversation.objects.get()
    page = admin_client.get(reverse("admin:chat_conversation_change", args=[conversation.pk])).content.decode()
    assert (
        page.count(reverse("admin:contexts_trace_change", args=[trace.pk]))
        == conversation.messages.filter(trace=trace).count()
    )
    assert "&lt;b&gt;hi&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("budget", "is_saved"), [("8000", True), ("", True), ("0", False), ("-1", False), ("9" * 30, False)]
)
def test_the_token_budget_is_the_operators(budget: str, is_saved: bool, admin_client: Client) -> None:
    row = ContextDefinition.objects.create(name="c", location="here:1", declared_max_tokens=4000, overflow="raise")
    url = reverse("admin:contexts_contextdefinition_change", args=[row.pk])
    response = admin_client.post(url, {"is_enabled": "on", "max_tokens_override": budget, "declared_max_tokens": "1"})
    assert (response.status_code == 302) is is_saved
    row.refresh_from_db()
    assert row.declared_max_tokens == 4000
    assert row.max_tokens == (8000 if budget == "8000" else 4000)
