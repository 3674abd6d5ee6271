"""Several bots in one installation: each has its page, its index, its keys and its conversations."""

from typing import Any
from urllib.parse import quote

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chat.bots import known
from chat.checks import check_bot
from chat.limits import configured as limits
from chat.models import DEFAULT_BOT, ApiKey, Bot, Conversation, Message
from contexts.models import Trace, TraceBody
from retrieval.indexing.documents import index_document
from tests.chat.sites import ORIGIN, Site, make_site
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db

TRAVEL = "# Travel\n\nBook trains in first class if the journey takes more than four hours."
QUESTION = "May I take the train first class?"


@pytest.fixture
def people(bot: None) -> Bot:
    """A second bot, with an index of its own."""
    index_document("handbook", "travel", TRAVEL)
    return Bot.objects.create(
        slug="people", name="People Desk", accent="#7a1fa2", index="handbook",
        texts={"en": {"greeting": "Ask us", "starters": [QUESTION]}, "de": {"greeting": "Frag uns"}},
        demo_users=["lea | Lea | gold"],
    )  # fmt: skip


def headers_of(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def post(client: Client, headers: dict[str, str], **more: Any) -> Any:
    body = {"user_id": "user_123", "message": QUESTION, **more}
    return client.post("/chat", body, content_type="application/json", headers=headers)


def test_each_bot_answers_from_its_own_index(people: Bot, ask: Any) -> None:
    own = ask(QUESTION, bot="people").json()
    assert "more than four hours" in own["response"]
    assert {citation["index"] for citation in own["citations"]} == {"handbook"}
    assert Conversation.objects.get(pk=own["conversation_id"]).bot == "people"
    others = ask(QUESTION).json()
    assert {citation["index"] for citation in others["citations"]} <= {"knowledge_base"}
    assert Conversation.objects.get(pk=others["conversation_id"]).bot == DEFAULT_BOT


def test_what_one_bot_found_is_not_kept_for_the_other(people: Bot, ask: Any) -> None:
    for _ in range(2):  # the retriever has a cache
        assert "four hours" in ask(QUESTION, bot="people").json()["response"]
        assert "four hours" not in ask(QUESTION).json()["response"]


def test_a_conversation_stays_with_its_bot(people: Bot, ask: Any) -> None:
    begun = ask(QUESTION, bot="people").json()["conversation_id"]
    again = ask("And by plane?", conversation_id=begun).json()  # whoever names none goes on with the same
    assert again["conversation_id"] == begun
    assert Message.objects.filter(conversation=begun, role="user").count() == 2
    refused = ask("And by plane?", conversation_id=begun, bot=DEFAULT_BOT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "conversation_not_found")


def test_a_bot_that_is_not_there_or_off_is_not_asked_and_not_counted(people: Bot, ask: Any, client: Client) -> None:
    begun = ask(QUESTION, bot="people").json()["conversation_id"]
    people.is_enabled = False
    people.save()
    known.rows.clear()
    for response in (ask(bot="people"), ask(bot="nobody"), ask(conversation_id=begun)):
        assert (response.status_code, response.json()["error"]["code"]) == (404, "bot_not_found")
    assert client.get("/b/people/").status_code == client.get("/b/nobody/").status_code == 404
    assert ask().headers["X-RateLimit-Remaining"] == "98"
    assert [ask("x", bot=slug).status_code for slug in (7, None, "\x00", "x" * 500)] == [400, 400, 404, 404]


def test_the_default_bot_needs_no_row(bot: None, ask: Any, client: Client) -> None:
    Bot.objects.all().delete()
    known.rows.clear()
    assert ask(bot=DEFAULT_BOT).status_code == ask().status_code == 200
    page = client.get("/").content.decode()
    assert "<title>Support chat</title>" in page
    assert "How can we help?" in page
    assert "data-accent" not in page
    assert "data-bot-name" not in page
    assert client.get("/b/default/").headers["Location"] == "/"


def test_a_page_has_its_bots_look_in_the_readers_language(people: Bot, client: Client) -> None:
    page = client.get("/b/people/").content.decode()
    assert "<title>People Desk</title>" in page
    assert all(part in page for part in ("Ask us", QUESTION, 'data-accent="#7a1fa2"', 'data-bot="people"'))
    assert '<option value="lea" data-tier="gold">Lea</option>' in page
    german = client.get("/b/people/", headers={"accept-language": "de"})
    assert german.headers["Content-Language"] == "de"
    assert "Frag uns" in german.content.decode()
    assert QUESTION in german.content.decode()  # it has none of its own
    Bot.objects.filter(pk=people.pk).update(language="de")
    assert "Frag uns" in client.get("/b/people/", headers={"accept-language": "en"}).content.decode()


def test_what_an_operator_writes_is_text(people: Bot, client: Client) -> None:
    hostile = "<script>alert(1)</script>"
    people.name, people.texts = hostile, {"en": {"greeting": hostile, "introduction": hostile, "starters": [hostile]}}
    people.save()
    assert hostile not in client.get("/b/people/").content.decode()


def test_the_sign_in_has_the_look_of_the_bot_that_is_opened(people: Bot, client: Client, settings: Any) -> None:
    settings.DEBUG = False
    for page in ("/b/people/", "/b/people/?conversation=7"):
        to_sign_in = client.get(page).headers["Location"]
        assert to_sign_in == f"/login/?next={quote(page)}"
        assert "People Desk" in client.get(to_sign_in).content.decode()
    for elsewhere in ("/login/", "/login/?next=/b/nobody/", "/login/?next=//evil.example/"):
        assert "People Desk" not in client.get(elsewhere).content.decode()


def test_a_key_that_is_bound_to_a_bot_is_of_no_use_for_another(people: Bot, client: Client, settings: Any) -> None:
    settings.DEBUG = False
    _, key = ApiKey.make("desk", ["chat", "debug"], bot="people")
    _, free = ApiKey.make("free", ["chat"])
    bound = headers_of(key)
    own = post(client, bound).json()
    assert "four hours" in own["response"]
    refused = post(client, bound, bot=DEFAULT_BOT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "bot_forbidden")
    others = post(client, headers_of(free)).json()
    goes_on = post(client, bound, conversation_id=others["conversation_id"])
    assert (goes_on.status_code, goes_on.json()["error"]["code"]) == (404, "conversation_not_found")

    user = {"user_id": "user_123"}
    listed = client.get("/api/conversations/", user, headers=bound).json()["results"]
    assert [row["id"] for row in listed] == [own["conversation_id"]]
    assert len(client.get("/api/conversations/", user, headers=headers_of(free)).json()["results"]) == 2
    assert client.get("/api/conversations/", user | {"bot": DEFAULT_BOT}, headers=bound).status_code == 403
    path = f"/api/conversations/{others['conversation_id']}"
    for page in (f"{path}/", f"{path}/messages/", f"{path}/export/"):
        assert client.get(page, user, headers=bound).status_code == 404
    assert client.post(f"{path}/escalate/?user_id=user_123", headers=bound).status_code == 404
    assert client.post(f"/chat/{others['conversation_id']}/stop?user_id=user_123", headers=bound).status_code == 404
    traces = client.get("/api/traces/", headers=bound).json()["results"]
    assert [row["context_id"] for row in traces] == [own["context_id"]]
    assert client.get(f"/api/traces/{own['context_id']}/", headers=bound).status_code == 200
    assert client.get(f"/api/traces/{others['context_id']}/", headers=bound).status_code == 404
    judged = f"/api/messages/{others['message_id']}/feedback/?user_id=user_123"
    assert client.put(judged, {"value": "up"}, content_type="application/json", headers=bound).status_code == 404

    Bot.objects.all().delete()
    known.rows.clear()
    assert post(client, bound).json()["error"]["code"] == "bot_not_found"  # never the default one in its place


def test_a_public_key_that_is_bound_to_no_bot_is_for_the_default_one_and_its_context(
    people: Bot, client: Client, another_context: str, settings: Any
) -> None:
    settings.DEBUG = False

    def asked(site: Site, **more: Any) -> Any:
        return post(client, site.headers(site.token()), **more)

    site = make_site()
    begun = Conversation.objects.create(user_id="user_123", bot="people")
    for more, code in (
        ({"bot": "people"}, "bot_forbidden"),
        ({"context": another_context}, "context_forbidden"),
        ({"conversation_id": begun.pk}, "conversation_not_found"),
    ):
        assert asked(site, **more).json()["error"]["code"] == code, more
    listed = client.get("/api/conversations/", {"user_id": "user_123"}, headers=site.headers(site.token()))
    assert listed.json()["results"] == []
    answered = asked(site)
    assert answered.status_code == 200
    assert "four hours" not in answered.json()["response"]
    assert Conversation.objects.latest("pk").bot == DEFAULT_BOT
    # The context is the bot's, also where the bot has one of its own.
    Bot.objects.update_or_create(slug=DEFAULT_BOT, defaults={"context": another_context})
    known.rows.clear()
    assert Trace.objects.get(pk=asked(site).json()["context_id"]).context == another_context
    # What a key is bound to, it may name.
    for bound in (make_site(bot="people"), make_site(contexts=["chat_context", another_context])):
        named = {"bot": "people"} if bound.row.bot else {"context": another_context}
        assert asked(bound, **named).status_code == 200


def test_the_command_binds_a_key_to_a_bot(people: Bot) -> None:
    call_command("create_api_key", "desk", "--scope", "chat", "--bot", "people", verbosity=0)
    assert ApiKey.objects.get().bot == "people"
    with pytest.raises(CommandError, match="no bot 'nobody'"):
        call_command("create_api_key", "desk", "--scope", "chat", "--bot", "nobody")


def test_a_sites_frame_has_the_bot_of_its_key(people: Bot, client: Client, settings: Any) -> None:
    settings.DEBUG = False
    site = make_site(bot="people")
    frame = client.get("/embed", {"key": site.key, "origin": ORIGIN}).content.decode()
    assert all(part in frame for part in ("People Desk", "Ask us", QUESTION, 'data-accent="#7a1fa2"'))
    session = headers_of(site.session(client)["session"])
    assert client.get("/api/conversations/", headers=session).json()["results"] == []
    Bot.objects.filter(pk=people.pk).update(is_enabled=False)
    refused = client.get("/embed", {"key": site.key, "origin": ORIGIN})
    assert (refused.status_code, 'data-code="bot_not_found"' in refused.content.decode()) == (404, True)


def test_a_bot_may_have_a_context_and_a_model_of_its_own(
    people: Bot, ask: Any, model: ModelServer, another_context: str
) -> None:
    people.context, people.index, people.model = another_context, "", "no-such-model"
    people.save()
    known.rows.clear()
    answered = ask(bot="people").json()
    body = TraceBody.objects.get(pk=answered["context_id"])
    assert f'"context":"{another_context}"' in body.text.replace(": ", ":")
    assert answered["model"]  # a model that is not configured is none, and the first one is asked


def test_a_message_reads_no_row_of_a_bot_or_a_limit(people: Bot, ask: Any) -> None:
    def queries(*question: str, **more: Any) -> list[str]:
        ask(*question, **more)
        for snapshot in (known.rows, limits.rows):  # what each process reads every two seconds
            snapshot.clear()
            snapshot.rows_now()
        with CaptureQueriesContext(connection) as captured:
            assert ask(*question, **more).status_code == 200
        found = [query["sql"] for query in captured]
        return [sql for sql in found if "definition" not in sql and "chat_modelprovider" not in sql]

    of_default, of_other = queries(), queries(QUESTION, bot="people")
    assert len(of_default) == len(of_other)
    tables = ("chat_bot", "chat_limitsettings", "chat_tierlimit")
    assert not [sql for sql in of_default + of_other if any(table in sql for table in tables)]


def test_a_change_holds_in_this_process_at_the_next_message(
    people: Bot, ask: Any, django_capture_on_commit_callbacks: Any
) -> None:
    assert ask(QUESTION, bot="people").status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        people.is_enabled = False
        people.save()
    assert ask(QUESTION, bot="people").status_code == 404
    with django_capture_on_commit_callbacks(execute=True):
        people.is_enabled = True
        people.save()
    assert ask(QUESTION, bot="people").status_code == 200


def test_models_of_the_v1_api_are_as_without_bots(people: Bot, client: Client) -> None:
    ids = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert ids[0] == "chat_context"
    assert "people" not in ids


def test_what_a_bot_leaves_empty_is_as_the_settings_have_it(people: Bot, client: Client, settings: Any) -> None:
    settings.DEBUG = True
    settings.FABRA_BOT = {
        "name": "Harbour help", "accent": "#0b6e69", "greeting": "Ahoy!", "introduction": "Ask away.", "language": "de",
        "logo": "chat/other.svg", "demo_users": ["kim | Kim"],
    }  # fmt: skip
    assert check_bot() == []
    page = client.get("/").content.decode()
    for text in ("Harbour help", 'data-accent="#0b6e69"', "Ahoy!", "Ask away.", "chat/other.svg", ">Kim", 'lang="de"'):
        assert text in page, text
    page = client.get("/b/people/").content.decode()
    for text in ("People Desk", "#7a1fa2", "Frag uns", "Lea"):
        assert text in page, text
    assert "Harbour help" not in page


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([], "is no object"),
        ({"title": "x"}, "has title, but may have name"),
        ({"accent": "red"}, "has accent, which cannot be used"),
        ({"name": 3}, "has name, which is no text"),
        ({"demo_users": "kim"}, "no list of lines"),
        ({"demo_users": [" | Kim"]}, "has demo_users, which cannot be used"),
    ],
)
def test_a_setting_of_bots_that_can_not_work_is_told(found: Any, says: str, settings: Any) -> None:
    settings.FABRA_BOT = found
    (problem,) = check_bot()
    assert says in problem.msg
