"""An operator says for a language what asks for a person, what is small talk, and what says "I do not know"."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import translation

from chat.grounding.check import ground
from chat.handover.wishes import wants_person
from chat.models import Conversation, LanguagePhrases
from chat.phrases.known import Phrases, known_phrases
from chat.small_talk.detection import small_talk_in
from common.phrases import begins_with, contains_phrase, words_of
from tests.chat.test_grounding import PASSAGES
from tests.cpu_limit import cpu_limit
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db

TURKISH = Phrases(
    language="tr", wishes=("temsilci", "bir insanla konuşmak istiyorum…"), greetings=("merhaba",), fillers=("lütfen",)
)
CHINESE = Phrases(language="zh", wishes=("人工客服", "我要人工…"), greetings=("你好",), thanks=("谢谢",))
ADDED = (TURKISH, CHINESE)


def turkish() -> LanguagePhrases:
    return LanguagePhrases.objects.create(
        language="tr", wishes=["temsilci", "bir insanla konuşmak istiyorum…"], greetings=["merhaba"],
        thanks=["teşekkürler"], fillers=["lütfen"], not_known=["bilmiyorum"],
        greeting_reply="Merhaba! Ne sormak istersiniz?",
    )  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        "Merhaba, temsilci lütfen!", "Bir insanla konuşmak istiyorum, faturam yanlış.",
        "BIR INSANLA KONUSMAK ISTIYORUM", "Faturam yanlış. Temsilci!", "人工客服", "你好！我要人工服务。",
    ],
)  # fmt: skip
def test_a_sentence_that_is_a_phrase_or_begins_with_one_is_a_wish(message: str) -> None:
    assert not wants_person(message)
    assert wants_person(message, ADDED)


@pytest.mark.parametrize(
    "message",
    [
        "Temsilci ekibe nasıl eklenir?", "Nasıl bir insanla konuşmak istiyorum derim?", "我的账单怎么下载？", "lütfen",
        "temsilciler", "", "…",
    ],
)  # fmt: skip
def test_a_question_with_the_same_words_is_a_question(message: str) -> None:
    assert not wants_person(message, ADDED)


def test_small_talk_is_made_of_the_phrases_of_one_language() -> None:
    for message, language in (("Merhaba!", "tr"), ("你好", "zh"), ("谢谢！", "zh")):
        assert small_talk_in(message) is None
        talk = small_talk_in(message, ADDED)
        assert talk is not None and talk.languages == (language,)
    assert small_talk_in("Merhaba 谢谢", ADDED) is None
    german = Phrases(language="de", greetings=("ahoi",))
    talk = small_talk_in("Ahoi, danke!", (german,))  # beside what comes with the bot
    assert talk is not None and (talk.kind.value, talk.languages) == ("thanks", ("de",))


@pytest.mark.django_db(transaction=True)
def test_they_count_at_once_and_in_every_door(bot: None, ask: Callable[..., Any], model: ModelServer) -> None:
    ask("Merhaba!")
    assert len(model.requests) == 1
    row = turkish()
    greeted = ask("Merhaba!").json()
    assert (greeted["response"], greeted["flags"]) == ("Merhaba! Ne sormak istersiniz?", ["small_talk"])
    with translation.override("en"):
        assert ask("Teşekkürler").json()["response"].startswith("You're welcome!")  # it has no reply of its own
    asked = ask("Temsilci lütfen").json()
    assert (asked["state"], len(model.requests)) == ("waiting", 1)
    model.text = "Maalesef bunu bilmiyorum."
    assert ask().json()["flags"] == ["not_known"]
    row.delete()
    assert ask().json()["flags"] == []
    assert known_phrases() == ()
    assert Conversation.objects.filter(state="waiting").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_sentence_that_says_so_claims_nothing(bot: None, ask: Callable[..., Any], model: ModelServer) -> None:
    text = "Maalesef bunu bilmiyorum."
    assert len(ground(text, PASSAGES, uses_meaning=False).sentences) <= 1
    turkish()
    ask()  # reads them
    assert ground(text, PASSAGES, uses_meaning=False).sentences == ()


def test_an_operator_adds_them_and_what_is_none_is_refused(client: Client) -> None:
    user = User.objects.create_user("op", is_staff=True)
    user.groups.add(Group.objects.get(name="Operator"))
    client.force_login(user)
    url = reverse("admin:chat_languagephrases_add")
    form = client.get(url).context["adminform"].form
    sent = {name: "" for name in form.fields} | {"language": "tr", "wishes": "temsilci\r\n\r\n temsilci \r\nMüdür…"}
    assert client.post(url, sent | {"language": "Turkish!"}).status_code == 200
    assert client.post(url, sent | {"wishes": "…"}).status_code == 200
    assert client.post(url, sent | {"greetings": "x" * 101}).status_code == 200
    assert not LanguagePhrases.objects.exists()
    assert client.post(url, sent).status_code == 302
    assert LanguagePhrases.objects.get().wishes == ["temsilci", "Müdür…"]


def test_phrases_are_compared_by_whole_words_without_accents_and_case() -> None:
    assert words_of("  S'il vous PLAÎT — merci! ") == "s il vous plait merci"
    assert contains_phrase(words_of("Je ne sais pas."), "sais")
    assert not contains_phrase(words_of("Jamais"), "mais")
    assert begins_with("een mens", "een") and not begins_with("eens", "een")
    assert begins_with(words_of("我要人工服务"), "我要人工")
    assert not contains_phrase(words_of("x"), "…")


@pytest.mark.parametrize("part", ["merci ", "a. merci ", "temsilci lütfen ", "s il vous plait ", "我要 "])
def test_a_long_message_costs_little(part: str) -> None:
    text = (part * 4000)[:4000]
    with cpu_limit():
        wants_person(text, ADDED)
        small_talk_in(text, ADDED)
