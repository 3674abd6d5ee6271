"""The grounding of an answer is in the answer, its message and its trace, and never stands in the answer's way."""

import json
import threading
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from chat.grounding import answers
from chat.models import Message
from contexts.models import Trace
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db

SUPPORTED = "Click **Forgot password?** on the sign-in page [1]."


def test_the_answer_its_message_and_its_trace_have_the_grounding(bot: None, ask: Any, model: ModelServer) -> None:
    model.text = f"{SUPPORTED} The link is valid for three days [1]."
    body = ask().json()
    grounding = body["grounding"]
    first, second = grounding["sentences"]
    assert body["response"][first["start"] : first["end"]] == SUPPORTED
    assert (first["verdict"], first["passage"]) == ("supported", 1)
    assert (second["verdict"], grounding["share"]) == ("not", 0.5)
    assert any(reason.startswith(("number", "unit")) for reason in second["reasons"])
    assert Message.objects.get(role="assistant").grounding == grounding
    assert Trace.objects.get(pk=body["context_id"]).outcome["grounding"] == grounding


def test_a_citation_that_supports_nothing_is_gone_from_text_and_sources(
    bot: None, ask: Any, model: ModelServer
) -> None:
    body = ask().json()
    (other,) = [citation["number"] for citation in body["citations"] if citation["document_id"] == "billing"]
    model.text = f"{SUPPORTED} The link is valid for an hour [{other}]."
    body = ask().json()
    assert body["response"] == f"{SUPPORTED} The link is valid for an hour."
    assert body["grounding"]["dropped"] == [other]
    assert [citation["number"] for citation in body["citations"] if citation["is_cited"]] == [1]
    trace = Trace.objects.get(pk=body["context_id"])
    assert trace.answer == body["response"]
    assert trace.outcome["written"] == model.text


def test_what_the_bot_said_before_excuses_nothing(bot: None, ask: Any, model: ModelServer) -> None:
    said = "The link is valid for 99 hours [1]."
    model.text = said
    first = ask().json()
    model.text = f"{SUPPORTED} {said}"
    again = ask("And how long is it valid?", conversation_id=first["conversation_id"]).json()
    assert "valid for 99 hours" in Trace.objects.get(pk=again["context_id"]).body.text  # it was in the context
    assert again["grounding"]["sentences"][-1]["reasons"] == ["number 99"]


def test_an_answer_without_a_model_is_supported_by_what_it_quotes(bot: None, ask: Any) -> None:
    grounding = ask().json()["grounding"]
    assert grounding["share"] == 1.0
    assert all(sentence["passage"] for sentence in grounding["sentences"])


def test_an_answer_for_whose_check_too_many_wait_is_an_answer(bot: None, ask: Any, model: ModelServer) -> None:
    is_over = threading.Event()
    answers._executor.submit(is_over.wait)
    try:
        response = ask()
    finally:
        is_over.set()
    assert response.status_code == 200
    body = response.json()
    assert body["response"] == SUPPORTED
    assert body["grounding"] is None
    assert "grounding_left_out" in body["flags"]


def test_a_check_that_fails_leaves_the_text() -> None:
    broken: dict[str, Any] = {"items": None}
    checked = async_to_sync(answers.check_answer)(SUPPORTED, [], broken, [], is_composed=False)
    assert (checked.text, checked.grounding, checked.flags) == (SUPPORTED, None, ["grounding_left_out"])


def test_the_trace_page_shows_what_is_not_supported(
    bot: None, ask: Any, model: ModelServer, admin_client: Client
) -> None:
    model.text = f"{SUPPORTED} The link is valid for 99 hours [1]. It has a <b>bold</b> button."
    body = ask().json()
    page = admin_client.get(f"/admin/contexts/trace/{body['context_id']}/change/").content.decode()
    assert 'class="fb-verdict-supported" title="supported by a passage, passage [1]"' in page
    assert "not supported, passage [1]: number 99" in page
    assert "&lt;b&gt;bold&lt;/b&gt; button.</span>" in page


def test_the_trace_page_of_an_answer_from_before_has_no_such_part(
    bot: None, ask: Any, model: ModelServer, admin_client: Client
) -> None:
    body = ask().json()
    trace = Trace.objects.get(pk=body["context_id"])
    trace.outcome = {name: value for name, value in trace.outcome.items() if name != "grounding"}
    trace.save(update_fields=["outcome"])
    page = admin_client.get(f"/admin/contexts/trace/{trace.pk}/change/")
    assert page.status_code == 200
    assert b"What the answer rests on" not in page.content


def test_the_schema_describes_it(bot: None, client: Client) -> None:
    schema = json.loads(client.get("/api/schema/?format=json").content)
    properties = schema["components"]["schemas"]["ChatResponse"]["properties"]
    assert "grounding" in properties
