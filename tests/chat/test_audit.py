"""The audit log: each use of the admin, of debugging and of another's data, by whom, from where, with what result."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import DatabaseError, connections, transaction
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

from chat.access.permissions import SCOPES
from chat.audit.endpoints import AUDITED, UNAUDITED
from chat.models import ApiKey, AuditEntry, Conversation, Message
from chat.retention import AUDIT
from chat.urls import pages
from common.retention import prune_kind
from events.models import Event
from tests.chat.test_access import ASK, call, give
from tests.chat.test_socket import connect
from tests.factories import EventFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def production(bot: None, settings: Any) -> None:
    settings.DEBUG = False


def entries() -> list[tuple[str, str, str, int | None]]:
    return [(row.who, row.action, row.target, row.status) for row in AuditEntry.objects.order_by("pk")]


def test_each_debug_endpoint_is_one_entry_with_key_address_and_status(client: Client) -> None:
    row, key = ApiKey.make("ops", ["debug", "search", "ingest"])
    trace = call(client, "GET", "/debug/context/user_123?query=my+secret+question", key=key).json()
    for method, path in [
        ("GET", f"/api/traces/{trace['context_id']}/"),
        ("GET", "/api/features/User/user_123/?names=user_tier"),
        ("GET", "/api/search/?query=my+secret+question&index_name=knowledge_base"),
        ("DELETE", "/api/documents/billing/?purge=true"),
        ("DELETE", "/api/documents/none/"),
    ]:
        call(client, method, path, key=key, REMOTE_ADDR="192.0.2.7")
    assert entries() == [
        ("ops", "debug", "user user_123", 200),
        ("ops", "read trace", f"trace {trace['context_id']}", 200),
        ("ops", "read features", "User user_123", 200),
        ("ops", "search", "index knowledge_base", 200),
        ("ops", "purge", "document billing of the default index", 204),
        ("ops", "delete", "document none of the default index", 404),
    ]
    last = AuditEntry.objects.latest("pk")
    assert (last.by, last.key_pk, last.address, last.method) == ("key", row.pk, "192.0.2.7", "DELETE")
    assert "secret" not in str(list(AuditEntry.objects.values()))


def test_each_endpoint_for_debugging_and_for_documents_is_audited_or_named_as_exempt() -> None:
    guarded = SCOPES[ApiKey.Scope.DEBUG] | SCOPES[ApiKey.Scope.INGEST]
    known = {*AUDITED, *UNAUDITED}
    found = {
        (pattern.name, method)
        for pattern in pages
        for method, permission in getattr(getattr(pattern.callback, "cls", None), "permissions", {}).items()
        if permission in guarded
    }
    assert len(found) > 10
    assert found <= known
    assert not {*AUDITED} & {*UNAUDITED}
    assert {name for name, _ in known} <= {pattern.name for pattern in pages}


def test_what_a_set_of_features_or_an_event_says_is_read_by_somebody(client: Client) -> None:
    _, key = ApiKey.make("ops", ["debug", "ingest"])
    call(client, "POST", "/api/events/", {"event_type": "poked", "entity_id": "user_123", "id": "e1"}, key)
    call(client, "GET", "/api/events/e1/", key=key)
    call(client, "GET", "/api/feature-sets/support/user_123/", key=key)
    call(client, "DELETE", "/api/documents/bulk/", key=key)
    assert entries() == [
        ("ops", "read event", "event e1", 200),
        ("ops", "read features", "set support of user_123", 200),
        ("ops", "delete", "document bulk of the default index", 404),
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("waits", ["true", "false"])
def test_what_a_bulk_request_deletes_is_recorded_with_who_sent_it(bot: None, waits: str) -> None:
    _, key = ApiKey.make("cms", ["ingest"])
    lines = [{"entity_id": "new", "text": "New."}]
    lines += [{"action": "delete", "entity_id": f"old-{number}"} for number in range(30)]
    body = "\n".join(json.dumps(line) for line in lines)

    async def send() -> bytes:
        headers = {"authorization": f"Bearer {key}"}
        path = f"/api/documents/bulk/?index_name=faq&wait={waits}"
        response: Any = await AsyncClient().post(path, body, content_type="application/x-ndjson", headers=headers)
        return b"".join([part async for part in response])

    assert len(async_to_sync(send)().splitlines()) == 31
    found = list(AuditEntry.objects.order_by("pk"))
    assert {(row.who, row.action, row.endpoint, row.status) for row in found} == {
        ("cms", "delete", "documents-bulk", 200)
    }
    assert found[0].target.startswith("documents of faq: old-0, old-1")
    assert sum(int(row.detail.split()[0]) for row in found) == 30


def test_a_conversation_that_is_read_in_the_inbox_page_by_page_is_an_entry_once_an_hour(admin_client: Client) -> None:
    read, opened = (Conversation.objects.create(user_id=user_id) for user_id in ("ben", "ana"))
    for after in (0, 0, 7):
        admin_client.get(reverse("inbox:messages", args=[read.pk]), {"after": after})
    admin_client.get(reverse("inbox:conversation", args=[opened.pk]))
    admin_client.get(reverse("inbox:messages", args=[opened.pk]), {"after": 5})
    expected = [("admin", "messages", f"{read.pk}", 200), ("admin", "conversation", f"{opened.pk}", 200)]
    assert entries() == expected
    missing = reverse("inbox:messages", args=[read.pk + 99])
    for _ in range(2):
        admin_client.get(missing)
    assert entries() == [*expected, *[("admin", "messages", f"{read.pk + 99}", 404)] * 2]


def test_a_conversation_of_another_that_is_opened_on_the_chat_page_is_an_entry(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Channels must not take the test's transaction for a connection left by a request.
    monkeypatch.setitem(connections["default"].settings_dict, "AUTOCOMMIT", False)
    monkeypatch.setattr(connections["default"], "close_at", None)
    agent = User.objects.create_user("agent")
    give(agent, "chat.chat_as_user")
    client.force_login(agent)
    own, other = (Conversation.objects.create(user_id=user_id) for user_id in ("agent", "ben"))

    async def open_all() -> None:
        socket = connect(client)
        await socket.connect()
        for conversation, user_id in ((own, None), (own, "agent"), (other, "ben"), (own, "ben"), (other, None)):
            await socket.send(
                {"type": "open", "conversation_id": conversation.pk, "after": 0}
                | ({"user_id": user_id} if user_id else {})
            )
            await socket.receive_output()
        await socket.disconnect()

    async_to_sync(open_all)()
    assert entries() == [
        ("agent", "read conversation", f"conversation {other.pk}", 200),
        ("agent", "read conversation", f"conversation {own.pk}", 404),
    ]


def test_who_is_refused_is_recorded_and_who_is_unknown_is_not(client: Client) -> None:
    _, key = ApiKey.make("shop", ["chat"])
    call(client, "GET", "/debug/context/user_123?query=x", key=key)
    call(client, "GET", "/debug/context/user_123?query=x", key="fabra_sec_none")
    call(client, "GET", "/debug/context/user_123?query=x")
    client.get(reverse("admin:index"))
    assert entries() == [("shop", "debug", "user user_123", 403)]


def test_what_an_application_does_all_day_is_no_entry(client: Client) -> None:
    _, key = ApiKey.make("shop", ["chat", "ingest"])
    answer = call(client, "POST", "/chat", ASK, key).json()
    conversation = f"/api/conversations/{answer['conversation_id']}/"
    for path in ("/api/conversations/?user_id=user_123", f"{conversation}?user_id=user_123", "/api/documents/"):
        assert call(client, "GET", path, key=key).status_code == 200
    assert entries() == []
    call(client, "GET", f"{conversation}export/?user_id=user_123", key=key)
    call(client, "DELETE", f"{conversation}?user_id=user_123", key=key)
    assert [action for _, action, *_ in entries()] == ["export", "erase"]


def test_reading_anothers_conversation_is_an_entry_and_reading_ones_own_is_not(client: Client) -> None:
    agent = User.objects.create_user("agent")
    give(agent, "chat.chat_as_user")
    client.force_login(agent)
    own, other = (Conversation.objects.create(user_id=user_id) for user_id in ("agent", "ben"))
    client.get(f"/api/conversations/{own.pk}/messages/")
    client.get(f"/api/conversations/{own.pk}/messages/?user_id=agent")
    client.get("/api/conversations/")
    assert entries() == []
    client.get("/api/conversations/?user_id=ben")
    client.get(f"/api/conversations/{other.pk}/messages/?user_id=ben")
    assert entries() == [
        ("agent", "read conversations", "user ben", 200),
        ("agent", "read conversation", f"conversation {other.pk}", 200),
    ]


def test_the_admin_records_what_was_read_changed_and_done(admin_client: Client) -> None:
    row, _ = ApiKey.make("cms", ["chat"])
    dead = EventFactory.create(state="dead")
    conversation = Conversation.objects.create(user_id="ben")
    Message.objects.create(conversation=conversation, user_id="ben", role="user", text="Hello")
    key_list = reverse("admin:chat_apikey_changelist")
    admin_client.get(reverse("admin:chat_conversation_change", args=[conversation.pk]))
    admin_client.get(reverse("inbox:inbox"), {"conversation": conversation.pk})
    admin_client.get(reverse("inbox:list"))
    admin_client.post(reverse("admin:chat_apikey_add"), {"name": "new", "scopes": ["chat"]})
    admin_client.post(reverse("admin:chat_apikey_change", args=[row.pk]), {"name": "cms", "per_day": "7"})
    admin_client.post(reverse("admin:chat_apikey_change", args=[row.pk]), {"name": "", "per_day": "8"})
    admin_client.post(reverse("admin:chat_apikey_rotate", args=[row.pk]), {"overlap": "1"})
    admin_client.post(key_list, {"action": "revoke", "_selected_action": [row.pk]})
    admin_client.post(
        reverse("admin:events_event_changelist"), {"action": "requeue_events", "_selected_action": [dead.pk]}
    )
    new = ApiKey.objects.get(name="new")
    assert entries() == [
        ("admin", "view", f"chat.conversation {conversation.pk}", 200),
        ("admin", "inbox", f"{conversation.pk}", 200),
        ("admin", "add", f"chat.apikey {new.pk}", 302),
        ("admin", "change", f"chat.apikey {row.pk}", 302),
        ("admin", "change", f"chat.apikey {row.pk}", 200),
        ("admin", "rotate", f"chat.apikey {row.pk}", 302),
        ("admin", "revoke", f"chat.apikey {row.pk}", 302),
        ("admin", "requeue_events", f"events.event {dead.pk}", 302),
    ]
    details = [row.detail for row in AuditEntry.objects.order_by("pk")]
    assert "Requests a day" in details[3]
    assert details[4] == "Not saved: the form has errors."
    assert details[5:7] == ["Rotated.", "Revoked."]


def test_a_page_that_one_may_not_open_is_an_entry_too(client: Client) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    client.get(reverse("admin:contexts_trace_changelist"))
    assert entries() == [("clerk", "list", "contexts.trace", 403)]


def test_nobody_writes_or_deletes_in_the_admin_and_nothing_changes_an_entry(admin_client: Client) -> None:
    admin_client.get(reverse("admin:index"))
    entry = AuditEntry.objects.get()
    for page in ("change", "delete"):
        assert (
            admin_client.post(reverse(f"admin:chat_auditentry_{page}", args=[entry.pk]), {"who": "x"}).status_code
            == 403
        )
    assert admin_client.post(reverse("admin:chat_auditentry_add"), {"who": "x"}).status_code == 403
    entry.who = "somebody else"
    with pytest.raises(DatabaseError), transaction.atomic():
        entry.save()
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.update(who="somebody else")
    assert AuditEntry.objects.get(pk=entry.pk).who == "admin"


def test_the_log_is_filtered_and_searched(admin_client: Client) -> None:
    row, key = ApiKey.make("ops", ["debug", "search"])
    call(admin_client, "GET", "/api/search/?query=x", key=key, REMOTE_ADDR="192.0.2.7")
    call(admin_client, "GET", "/api/features/User/user_123/?names=none", key=key)
    url = reverse("admin:chat_auditentry_changelist")

    def found(**query: Any) -> int:
        return admin_client.get(url, query).context["cl"].result_count

    assert (found(q="ops"), found(q="192.0.2.7"), found(q="User user"), found(q="user_123")) == (2, 1, 1, 0)
    assert (found(by="key"), found(key_pk=row.pk), found(action="search"), found(result="failed")) == (2, 2, 1, 1)
    page = admin_client.get(reverse("admin:chat_auditentry_change", args=[AuditEntry.objects.first().pk]))
    assert page.status_code == 200


def test_old_entries_are_pruned_and_the_setting_says_how_old(settings: Any) -> None:
    for days in (10, 40):
        AuditEntry.objects.create(by="user", who=f"{days}", action="view", at=timezone.now() - timedelta(days=days))
    settings.FABRA_AUDIT_RETENTION = timedelta(days=30)
    assert prune_kind(AUDIT) == (1, True)
    assert [row.who for row in AuditEntry.objects.all()] == ["10"]


def test_commands_are_entries_of_whoever_ran_them() -> None:
    call_command("create_api_key", "cms", "--scope", "ingest")
    call_command("rotate_api_key", "cms")
    site, _ = ApiKey.make("site", ["chat"], kind="public")
    for options in ([], [], ["--rotate"], ["--prefix", "shop:"]):
        call_command("signing_secret", "site", *options, stdout=StringIO())
    call_command("purge_documents", "knowledge_base", "billing", "--no-input")
    Event.objects.all().delete()
    EventFactory.create(state="dead", event_id="lost")
    call_command("events", "requeue", "--id", "lost")
    found = [(row.by, row.action, row.endpoint, row.target) for row in AuditEntry.objects.order_by("pk")]
    row, signing = ApiKey.objects.get(name="cms"), f"chat.usersigning {site.signing.pk}"
    assert found == [
        ("command", "add", "manage.py create_api_key", f"chat.apikey {row.pk}"),
        ("command", "rotate", "manage.py rotate_api_key", f"chat.apikey {row.pk}"),
        *(
            ("command", action, "manage.py signing_secret", signing)
            for action in ("add", "show secret", "rotate", "change", "show secret")
        ),
        ("command", "purge", "manage.py purge_documents", "document billing of knowledge_base"),
        ("command", "requeue", "manage.py events", "1 events"),
    ]
    assert all(row.who for row in AuditEntry.objects.all())


@pytest.mark.django_db(transaction=True)
def test_the_asynchronous_path_records_too(bot: None) -> None:
    _, key = ApiKey.make("ops", ["search"])

    async def search() -> int:
        headers = {"authorization": f"Bearer {key}"}
        return (await AsyncClient().get("/api/search/?query=invoice", headers=headers)).status_code

    assert async_to_sync(search)() == 200
    assert entries() == [("ops", "search", "index the default index", 200)]


def test_auditors_read_the_log_and_operators_do_not(client: Client) -> None:
    from django.contrib.auth.models import Group

    assert Group.objects.get(name="Auditor").permissions.filter(codename="view_auditentry").exists()
    writing = Permission.objects.filter(codename__in=["change_auditentry", "add_auditentry", "delete_auditentry"])
    assert not Group.objects.filter(permissions__in=writing).exists()
    assert not Group.objects.get(name="Operator").permissions.filter(codename="view_auditentry").exists()
