"""Greetings, thanks and goodbyes are answered as such; whatever asks for something is a question."""

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse
from django.utils import translation

from chat.answer_flags import SMALL_TALK
from chat.conversations.history import read_history
from chat.models import Message
from chat.small_talk.detection import small_talk_in
from chat.small_talk.phrases import PHRASES, PhraseKind
from chat.small_talk.reply import reply_to
from chat.turns.turn import Question
from common.admin.html import badge
from contexts.models import Trace
from retrieval.models import GoldenQuestion
from tests.model_server import TEXT, ModelServer


@pytest.mark.parametrize(
    ("message", "kind", "languages"),
    [
        ("hi", "greeting", ["en", "de"]),
        ("Hello there!", "greeting", ["en"]),
        ("Guten Morgen", "greeting", ["de"]),
        ("Hallo, guten Tag! Wie geht's?", "greeting", ["de"]),
        ("heyyyy", "greeting", ["en", "de"]),
        ("GOOOD MORNING", "greeting", ["en"]),
        ("“Hi”", "greeting", ["en", "de"]),
        ("👋", "greeting", ["en", "de"]),
        ("thanks, that worked!", "thanks", ["en"]),
        ("Thank you so much for your help!!", "thanks", ["en"]),
        ("Hi, thanks", "thanks", ["en", "de"]),
        ("danke dir 😊", "thanks", ["de"]),
        ("Vielen Dank, das hat geholfen.", "thanks", ["de"]),
        ("That’s it, thanks", "thanks", ["en"]),
        ("Thanks, bye :)", "goodbye", ["en"]),
        ("Tschüß!", "goodbye", ["de"]),
        ("Vielen Dank für die schnelle Hilfe, schönen Tag noch!", "goodbye", ["de"]),
        ("👍🏽", "approval", ["en", "de"]),
        ("❤️", "approval", ["en", "de"]),
        ("ok, perfect", "approval", ["en"]),
    ],
)
def test_a_message_that_is_small_talk(message: str, kind: str, languages: list[str]) -> None:
    talk = small_talk_in(message)
    assert talk is not None
    assert (talk.kind.value, list(talk.languages)) == (kind, languages)


@pytest.mark.parametrize(
    "message",
    [
        "Hi, how do I reset my password?",
        "thanks, but that did not work",
        "no thanks",
        "Danke, und auf dem freien Tarif?",
        "hello E-4021",
        "thx 4 that",
        "what's up with my invoice",
        "hi, can you help me",
        "I want to talk to a human",
        "yes",
        "OK?",
        "It works?",
        "and you?",
        "there",
        "hi :(",
        "Thanks 🙄",
        "hello\nworld",
        "hi @all",
        "你好",
        "thanks " * 20,
        "?",
        "!!!",
        " ",
        "",
    ],
)
def test_a_message_that_is_none(message: str) -> None:
    assert small_talk_in(message) is None


def test_every_phrase_is_recognised_in_its_language() -> None:
    for language, kinds in PHRASES.items():
        for kind, phrases in kinds.items():
            for phrase in phrases:
                talk = small_talk_in(phrase)
                assert (talk is None) == (kind is PhraseKind.FILLER), phrase
                assert talk is None or language in talk.languages, phrase


def test_no_golden_question_of_the_sample_is_small_talk() -> None:
    from chat.sample import SAMPLE

    for row in json.loads((SAMPLE / "questions.json").read_text()):
        assert small_talk_in(row["question"]) is None


@pytest.mark.parametrize(
    ("message", "reader", "words"),
    [
        ("hi", "en-us", "What can I help you with?"),
        ("hi", "de", "Womit kann ich helfen?"),
        ("danke", "en-us", "Gern geschehen!"),
        ("👍", "de-at", "Freut mich"),
        ("hello there", "de", "What can I help you with?"),
        ("bye", "fr", "Goodbye!"),
    ],
)
def test_the_reply_is_in_the_messages_or_the_readers_language(message: str, reader: str, words: str) -> None:
    talk = small_talk_in(message)
    assert talk is not None
    with translation.override(reader):
        assert words in reply_to(talk)
        assert translation.get_language() == reader


@pytest.mark.django_db
def test_a_greeting_is_answered_without_sources_and_leaves_a_trace(bot: None, ask: Any, model: ModelServer) -> None:
    response = ask("Hello there!")
    body = response.json()
    assert body["response"] == "Hello! What can I help you with?"
    assert body["flags"] == ["small_talk"]
    assert (body["citations"], body["context_used"], body["extractive"]) == ([], "", False)
    assert "notice" not in body
    assert model.requests == []
    trace = Trace.objects.select_related("body").get(pk=body["context_id"])
    evidence = json.loads(trace.body.text)
    assert (trace.context, trace.state, trace.flags) == ("small_talk", "answered", ["small_talk"])
    assert (evidence["searches"], evidence["messages"], evidence["items"]) == ([], [], [])
    answer = Message.objects.get(role="assistant")
    assert (answer.pk, answer.flags) == (body["message_id"], ["small_talk"])
    assert int(response.headers["X-RateLimit-Remaining"]) == int(response.headers["X-RateLimit-Limit"]) - 1
    assert not GoldenQuestion.objects.exists()


@pytest.mark.django_db
def test_the_list_of_traces_shows_small_talk_without_a_warning(bot: None, ask: Any, admin_client: Client) -> None:
    ask("Hello there!")
    page = admin_client.get(reverse("admin:contexts_trace_changelist")).content.decode()
    assert badge(SMALL_TALK, "plain") in page
    assert badge(SMALL_TALK, "warn") not in page


@pytest.mark.django_db
def test_small_talk_is_streamed_like_any_answer(bot: None, ask: Any) -> None:
    response = ask("thanks!", stream=True)

    async def read() -> str:
        return "".join([piece.decode() async for piece in response.streaming_content])

    text = async_to_sync(read)()
    assert 'event: delta\ndata: {"text": "You\'re welcome!' in text
    assert "event: done" in text and "small_talk" in text


@pytest.mark.django_db
def test_small_talk_does_not_weaken_the_follow_up(bot: None, ask: Any) -> None:
    conversation = ask("How do I reset my password?").json()["conversation_id"]
    ask("thanks!", conversation_id=conversation)
    history = async_to_sync(read_history)(
        Question(user_id="user_123", message="And how long is it valid?", conversation_id=conversation)
    )
    assert history is not None and history.asked == ("How do I reset my password?",)
    body = ask("And how long is it valid?", conversation_id=conversation).json()
    assert body["citations"][0]["document_id"] == "reset-your-password"


@pytest.mark.django_db
def test_ok_answers_the_models_question_and_is_no_small_talk_then(bot: None, ask: Any, model: ModelServer) -> None:
    conversation = ask("How do I reset my password?").json()["conversation_id"]
    assert ask("ok", conversation_id=conversation).json()["flags"] == ["small_talk"]
    Message.objects.filter(role="assistant").update(text="Shall I send you the link?")
    assert ask("ok", conversation_id=conversation).json()["response"] == TEXT
    assert ask("thanks", conversation_id=conversation).json()["flags"] == ["small_talk"]
