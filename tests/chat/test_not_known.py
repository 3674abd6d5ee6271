"""Where the documents hold no answer the bot says so, names what comes nearest, and asks no model."""

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from chat.definitions import passages, store
from chat.engine.answering import answer
from chat.handover import actions
from chat.models import GapQuestion, Message
from chat.providers.not_known import not_known_text
from chat.sample import SAMPLE
from chat.turns.turn import Question
from contexts.declaration import context
from contexts.items import ContextItem
from contexts.models import Trace
from retrieval.errors import EmbedderUnavailable
from retrieval.indexing.documents import index_document
from retrieval.models import CalibrationRun, Index
from tests.chat.test_handover import agent_named
from tests.model_server import TEXT, ModelServer

UNCITED = TEXT.replace(" [1]", "")
"""What the model says cites a passage that does not support it."""

pytestmark = pytest.mark.django_db

UNKNOWN = "What is the capital of France?"


def set_threshold(threshold: float | None, index: str = "knowledge_base") -> None:
    row = Index.objects.select_related("generation").get(name=index)
    row.set_threshold(threshold, row.score_basis(), by="test")


@pytest.fixture
def calibrated(bot: None) -> None:
    set_threshold(0.35)


@pytest.fixture
def use_indexes(use_context: Any) -> Any:
    """Return a function that has the chat's context search these indexes, or none."""

    def use(*names: str, **options: Any) -> None:
        @context(store, name="test_of_indexes")
        async def of_indexes(user_id: str, query: str) -> list[ContextItem]:
            hits = [hit for name in names for hit in await store.search(name, query, **options)]
            return [ContextItem("Be kind.", required=True), *passages(hits)]

        use_context(of_indexes)

    return use


def evidence_of(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Trace.objects.select_related("body").get(pk=body["context_id"]).body.text)
    return found


def test_it_says_so_and_asks_no_model(calibrated: None, ask: Any, model: ModelServer) -> None:
    index_document("knowledge_base", "maps", "# Maps [of *us*]\n\nWhere we are.", {"url": "https://example.com/maps"})
    body = ask(UNKNOWN).json()
    lines = body["response"].splitlines()
    assert lines[0] == "I do not know the answer to that."
    assert lines[2] == "These articles come nearest:"
    assert r"- [Maps \[of *us*\]](<https://example.com/maps>) [1]" in lines
    assert any(line.startswith("- Billing [") for line in lines)
    assert lines[-1] == "You can ask for a person."
    assert model.requests == []
    assert (body["flags"], body["model"], body["extractive"]) == (["not_known"], "none", False)
    assert "notice" not in body
    assert {citation["document_id"] for citation in body["citations"] if citation["is_cited"]} == {
        "maps", "billing", "reset-your-password",
    }  # fmt: skip


def test_the_evidence_has_the_scores(calibrated: None, ask: Any, model: ModelServer, admin_client: Client) -> None:
    body = ask(UNKNOWN).json()
    evidence = evidence_of(body)
    (search,) = evidence["searches"]
    assert search["best_score"] == search["hits"][0]["score"] < search["threshold"] == 0.35
    assert search["is_confident"] is False
    assert (evidence["flags"], evidence["messages"]) == (["not_known"], [])
    trace = Trace.objects.get()
    assert (trace.state, trace.answer, trace.model, trace.flags) == (
        "answered",
        body["response"],
        "none",
        ["not_known"],
    )
    stored = Message.objects.get(role="assistant")
    assert (stored.text, stored.flags) == (body["response"], ["not_known"])
    page = admin_client.get(reverse("admin:contexts_trace_change", args=[trace.pk])).content.decode()
    assert "threshold 0.3500" in page and "No model was asked" in page


def test_what_is_known_is_answered_as_ever(calibrated: None, ask: Any, model: ModelServer) -> None:
    body = ask().json()
    assert (body["response"], body["flags"], len(model.requests)) == (TEXT, [], 1)
    assert evidence_of(body)["searches"][0]["is_confident"] is True


def test_without_a_model_it_says_so_too(calibrated: None, ask: Any) -> None:
    body = ask(UNKNOWN).json()
    assert body["response"].startswith("I do not know the answer to that.") and body["flags"] == ["not_known"]


def test_a_follow_up_is_understood_by_what_was_asked_before(calibrated: None, ask: Any, model: ModelServer) -> None:
    first = ask().json()
    follow_up = "And for how long is it valid?"
    assert ask(follow_up).json()["flags"] == ["not_known"]
    assert ask(follow_up, conversation_id=first["conversation_id"]).json()["response"] == TEXT


def test_a_conversation_goes_on_after_it(calibrated: None, ask: Any, model: ModelServer) -> None:
    first = ask(UNKNOWN).json()
    second = ask(conversation_id=first["conversation_id"]).json()
    assert (second["response"], second["conversation_id"]) == (TEXT, first["conversation_id"])
    roles = [message["role"] for message in model.requests[0]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_it_is_streamed_like_any_answer(calibrated: None, ask: Any) -> None:
    stream = ask(UNKNOWN, stream=True)
    text = b"".join(async_to_sync(_all)(stream.streaming_content)).decode()
    assert "event: delta" in text
    done = json.loads(text.split("event: done\ndata: ")[1].splitlines()[0])
    assert done["flags"] == ["not_known"]


@pytest.mark.parametrize(
    "said",
    [
        "I do not know whether there is one. Please write to support.",
        "Die Passagen enthalten dazu keine Informationen [1]. Bitte wenden Sie sich an den Support.",
    ],
)
def test_a_model_that_says_so_itself_has_the_flag_and_marks_the_question(
    bot: None, ask: Any, model: ModelServer, said: str
) -> None:
    model.text = said
    body = ask(UNKNOWN).json()
    assert body["flags"] == ["not_known"]
    assert len(model.requests) == 1
    assert Message.objects.get(role="assistant").flags == ["not_known"]
    trace = Trace.objects.get()
    assert (trace.flags, trace.outcome["flags"] if trace.outcome else None) == ([], ["not_known"])
    marked = GapQuestion.objects.select_related("message").get()
    assert (marked.message.text, marked.reasons) == (UNKNOWN, ["not_known"])


def test_each_door_tells_the_flag_alike(bot: None, ask: Any, model: ModelServer, client: Client) -> None:
    model.text = "I do not know whether there is one."
    asked = ask(UNKNOWN).json()
    url = f"/api/conversations/{asked['conversation_id']}"
    messages = client.get(f"{url}/messages/?user_id=user_123").json()["messages"]
    exported = b"".join(async_to_sync(_all)(client.get(f"{url}/export/?user_id=user_123&as=json").streaming_content))
    body = {"model": "default", "user": "user_123", "messages": [{"role": "user", "content": UNKNOWN}]}
    completed = client.post("/v1/chat/completions", body, content_type="application/json").json()
    told = [asked, messages[-1], json.loads(exported)["messages"][-1], completed["fabra"]]
    assert [answer["flags"] for answer in told] == [["not_known"]] * 4


def test_a_model_that_answers_a_part_answers(bot: None, ask: Any, model: ModelServer) -> None:
    model.text = "I do not know why it was refused, but click **Forgot password?** on the sign-in page [1]."
    assert ask().json()["flags"] == []
    assert not GapQuestion.objects.filter(reasons__contains=["not_known"]).exists()


async def _all(pieces: Any) -> list[bytes]:
    return [piece async for piece in pieces]


@pytest.mark.parametrize("threshold", [None, "stale"])
def test_without_a_valid_threshold_nothing_changes(
    bot: None, ask: Any, model: ModelServer, threshold: str | None
) -> None:
    set_threshold(0.35)
    if threshold is None:
        set_threshold(None)
    else:
        Index.objects.update(lexical_weight=0.5)
    body = ask(UNKNOWN).json()
    assert (body["response"], body["flags"]) == (UNCITED, [])


def test_a_context_that_searches_nothing_is_answered(
    calibrated: None, ask: Any, model: ModelServer, use_indexes: Any
) -> None:
    use_indexes()
    assert ask(UNKNOWN).json()["response"] == TEXT


def test_of_several_indexes_one_is_enough(bot: None, ask: Any, model: ModelServer, use_indexes: Any) -> None:
    index_document("world", "france", "# France\n\nThe capital of France is Paris.")
    use_indexes("knowledge_base", "world")
    set_threshold(0.35)
    assert ask(UNKNOWN).json()["flags"] == []  # the other one has no threshold, and may hold the answer
    set_threshold(0.35, "world")
    assert ask(UNKNOWN).json()["flags"] == []
    assert ask("How many moons has Jupiter?").json()["flags"] == ["not_known"]
    set_threshold(1.7)
    set_threshold(1.7, "world")
    assert ask(UNKNOWN).json()["flags"] == ["not_known"]


def test_an_inner_contexts_searches_count(calibrated: None, ask: Any, model: ModelServer, use_context: Any) -> None:
    @context(store, name="test_inner")
    async def inner(user_id: str, query: str) -> list[ContextItem]:
        return passages(await store.search("knowledge_base", query))

    @context(store, name="test_outer")
    async def outer(user_id: str, query: str) -> list[ContextItem]:
        return [ContextItem((await inner(user_id, query)).content, required=True)]

    use_context(outer)
    assert ask(UNKNOWN).json()["flags"] == ["not_known"]
    assert ask().json()["flags"] == []


def test_where_nothing_was_found_no_article_is_named(bot: None, ask: Any, use_indexes: Any) -> None:
    index_document("vault", "secret", "The vault opens at noon.", audience=["gold"])
    use_indexes("vault")
    uncalibrated = ask(UNKNOWN).json()
    assert (uncalibrated["response"], uncalibrated["flags"]) == (
        not_known_text([], "You can ask for a person."),
        ["not_known"],
    )
    set_threshold(0.35, "vault")
    body = ask(UNKNOWN).json()
    assert (
        body["response"]
        == not_known_text([], "You can ask for a person.")
        == "I do not know the answer to that.\n\nYou can ask for a person."
    )
    assert (body["flags"], body["citations"]) == (["not_known"], [])


@pytest.mark.parametrize("threshold", [None, 0.35], ids=["no sentence fits", "below the threshold"])
def test_a_person_is_offered_only_where_none_is_asked_for(
    threshold: float | None, bot: None, ask: Any, use_indexes: Any
) -> None:
    index_document("vault", "secret", "The vault opens at noon.", audience=["gold"])
    use_indexes("vault")
    set_threshold(threshold, "vault")
    first = ask(UNKNOWN).json()
    same = {"conversation_id": first["conversation_id"]}
    second = ask("And of Spain?", **same).json()  # a person is asked for after it
    third = ask("And of Italy?", **same).json()
    kim = agent_named("kim", first_name="Kim")
    actions.assign(first["conversation_id"], kim)
    actions.hand_back(first["conversation_id"], kim)
    last = ask("And of Peru?", **same).json()
    said = [(body["state"], body["response"].endswith("You can ask for a person.")) for body in (first, second, third)]
    assert said == [("bot", True), ("waiting", False), ("waiting", False)]
    assert last["response"].endswith("You can ask for a person.")


def test_an_outage_is_no_ignorance(db: Any, settings: Any, embedder: Any, ask: Any, model: ModelServer) -> None:
    settings.DEBUG = True
    index_document("knowledge_base", "billing", "# Billing\n\nInvoices are sent on the first of each month.")
    set_threshold(1.7)
    assert ask("Who paints zebras?").json()["flags"] == ["not_known"]
    embedder.question_failure = EmbedderUnavailable
    assert ask("Who paints quinces?").json()["flags"] == ["semantic_unavailable"]


def test_a_filter_that_leaves_little_is_no_ignorance(
    calibrated: None, ask: Any, model: ModelServer, use_indexes: Any
) -> None:
    use_indexes("knowledge_base", filters={"product": "none"})
    assert ask(UNKNOWN).json()["response"] == TEXT


def test_a_cached_search_says_so_until_the_threshold_is_cleared(calibrated: None, ask: Any, model: ModelServer) -> None:
    bodies = [ask(UNKNOWN).json() for _ in range(2)]
    assert [body["flags"] for body in bodies] == [["not_known"], ["not_known"]]
    assert [evidence_of(body)["retrievers"][0]["is_cached"] for body in bodies] == [False, True]
    set_threshold(None)
    assert ask(UNKNOWN).json()["response"] == UNCITED


def test_the_sample_knows_its_questions_and_not_the_capital_of_france(bot: None) -> None:
    call_command("load_sample", verbosity=0)
    run = CalibrationRun.objects.get()
    assert (run.refused_answerable, run.sources) == (0.0, ["sample"])
    assert run.refused_unanswerable > 0.7
    golden = json.loads((SAMPLE / "questions.json").read_text())
    flags = {row["question"]: _flags(row["question"]) for row in golden}
    assert [question for question, found in flags.items() if "not_known" in found] == []
    assert _flags(UNKNOWN) == ["not_known"]
    # What an operator makes of the threshold stays.
    set_threshold(None)
    call_command("load_sample", verbosity=0)
    assert (Index.objects.get(name="knowledge_base").threshold, CalibrationRun.objects.count()) == (None, 1)


def _flags(question: str) -> list[str]:
    found, _ = async_to_sync(answer)(Question(user_id="user_123", message=question))
    return found.flags
