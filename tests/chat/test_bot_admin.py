"""The form of a bot: what it takes and refuses, its picture, its preview, and who may change it."""

import io
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from chat.bots.logo import MAX_FILE_BYTES, check_logo
from chat.models import DEFAULT_BOT, ApiKey, Bot
from common.errors import InvalidInput
from retrieval.indexing.documents import index_document

pytestmark = pytest.mark.django_db

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path d="M0 0h8v8z" fill="#b3261e"/>{}</svg>'
FORM = {
    "slug": "people", "is_enabled": "on", "name": "People Desk", "accent": "#7a1fa2", "accent_dark": "", "language": "",
    "greeting_en": "Ask us", "starters_en": "One?\n\n  Two? \n", "greeting_de": "Frag uns", "context": "", "index": "",
    "model": "", "demo_users": "lea|Lea |gold\ntim",
}  # fmt: skip


def add(client: Client, **more: Any) -> Any:
    return client.post(reverse("admin:chat_bot_add"), FORM | more)


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def png(size: tuple[int, int] = (600, 300), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, kind)
    return out.getvalue()


def test_a_bot_is_made_and_changed_in_one_form(admin_client: Client) -> None:
    assert add(admin_client).status_code == 302
    bot = Bot.objects.get(slug="people")
    assert bot.texts == {"en": {"greeting": "Ask us", "starters": ["One?", "Two?"]}, "de": {"greeting": "Frag uns"}}
    assert bot.demo_users == ["lea | Lea | gold", "tim"]
    page = reverse("admin:chat_bot_change", args=[bot.pk])
    content = admin_client.get(page).content.decode()
    assert "One?\nTwo?" in content
    changed = {name: value for name, value in FORM.items() if name != "slug"} | {
        "starters_en": "Three?",
        "name": "Desk",
    }
    assert admin_client.post(page, changed | {"slug": "other"}).status_code == 302
    bot.refresh_from_db()
    assert (bot.slug, bot.name, bot.texts["en"]["starters"]) == ("people", "Desk", ["Three?"])
    said = LogEntry.objects.filter(object_id=str(bot.pk)).latest("pk").get_change_message()
    assert said == "Changed Name and Suggested questions (English)."


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accent", "red"), ("accent", "#fff;background:url(x)"), ("slug", "two words"), ("slug", DEFAULT_BOT),
        ("starters_en", "1?\n2?\n3?\n4?\n5?"), ("starters_de", "?" * 201), ("greeting_de", "x" * 121),
        ("demo_users", "a | b | c | d"), ("demo_users", " | Lea"), ("language", "fr"), ("context", "nothing"),
        ("index", "nothing"), ("model", "nothing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_field(field: str, value: str, admin_client: Client) -> None:
    assert list(errors(add(admin_client, **{field: value}))) == [field]


def test_an_index_is_for_a_context_that_takes_one(admin_client: Client, another_context: str) -> None:
    index_document("handbook", "travel", "# Travel\n\nBy train.")
    assert "index" in errors(add(admin_client, index="handbook", context=another_context))
    assert add(admin_client, index="handbook").status_code == 302


def test_the_default_bot_is_neither_switched_off_nor_deleted(admin_client: Client) -> None:
    default = Bot.objects.get(slug=DEFAULT_BOT)
    off = {name: value for name, value in FORM.items() if name != "is_enabled"}
    admin_client.post(reverse("admin:chat_bot_change", args=[default.pk]), off)
    default.refresh_from_db()
    assert (default.is_enabled, default.name) == (True, "People Desk")
    assert admin_client.post(reverse("admin:chat_bot_delete", args=[default.pk]), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": default.pk, "post": "yes"}
    admin_client.post(reverse("admin:chat_bot_changelist"), chosen)
    assert Bot.objects.filter(slug=DEFAULT_BOT).exists()


def test_a_picture_is_stored_served_and_removed(admin_client: Client, client: Client) -> None:
    assert client.get("/b/people/logo").status_code == 404
    add(admin_client, logo_file=SimpleUploadedFile("logo.exe", png()))
    bot = Bot.objects.get(slug="people")
    address = f"/b/people/logo?v={bot.logo_digest}"
    shown = client.get(address)
    assert shown.headers["Content-Type"] == "image/png"
    assert shown.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    assert Image.open(io.BytesIO(shown.content)).size == (256, 128)
    assert client.get(address, headers={"If-None-Match": shown.headers["ETag"]}).status_code == 304
    assert client.get("/b/people/logo?v=other").headers["Cache-Control"] == "public, max-age=60"
    assert address in admin_client.get(reverse("admin:chat_bot_changelist")).content.decode()
    admin_client.post(reverse("admin:chat_bot_change", args=[bot.pk]), FORM | {"removes_logo": "on"})
    assert client.get(address).status_code == 404


def test_an_svg_keeps_its_drawing_and_loses_what_a_program_added() -> None:
    drawn = check_logo(
        b'<?xml version="1.0"?><!-- by a program --><svg xmlns="http://www.w3.org/2000/svg" '
        b'xmlns:i="urn:program" i:version="7"><metadata><i:x/></metadata><i:guide/>'
        b'<style>.a { fill: url(#g) }</style><linearGradient id="g"/><rect class="a" width="8"/></svg>'
    )
    assert drawn.media_type == "image/svg+xml"
    assert all(part in drawn.content for part in (b"<rect", b"url(#g)", b"linearGradient"))
    assert not [part for part in (b"program -->", b"metadata", b"guide", b"version") if part in drawn.content]


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>", '<rect onload="alert(1)"/>', '<a href="javascript:alert(1)"><rect/></a>',
        "<foreignObject><p/></foreignObject>", '<image href="https://evil.example/x.png"/>',
        '<use href="https://evil.example/x.svg#a"/>', '<use href="data:image/svg+xml,x"/>',
        "<style>@import 'https://evil.example/x.css'</style>", '<rect style="fill: url(https://evil.example/)"/>',
        '<rect style="fill: u\\72l(https://evil.example/)"/>', "<animate attributeName='href'/>",
        '<set attributeName="onload" to="alert(1)"/>', '<rect xmlns:x="http://www.w3.org/1999/xlink" x:href="//evil"/>',
    ],
)  # fmt: skip
def test_an_svg_that_could_do_something_is_refused(inside: str) -> None:
    with pytest.raises(InvalidInput):
        check_logo(SVG.format(inside).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"", b"no picture", b"<html/>", b"<svg", png()[:90], b"\x00" * (MAX_FILE_BYTES + 1), png((5000, 4000)),
        SVG.format(" " * 100_000).encode(),
        b'<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg xmlns="http://www.w3.org/2000/svg"><text>&a;</text></svg>',
    ],
)  # fmt: skip
def test_what_is_no_picture_or_too_large_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        check_logo(content)


def test_the_preview_is_shown_by_the_admin_only(admin_client: Client, client: Client) -> None:
    add(admin_client)
    address = reverse("admin:chat_bot_preview")
    shown = admin_client.get(address, {"slug": "people", "language": "de"})
    assert "Frag uns" in shown.content.decode()
    assert "frame-ancestors 'self'" in shown.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in shown.headers
    assert admin_client.get(address, {"slug": "\x00", "language": "xx"}).status_code == 200
    assert client.get(address).status_code == 302


def test_operators_may_change_bots_and_auditors_may_see_them(client: Client, django_user_model: Any) -> None:
    add_page, listed = reverse("admin:chat_bot_add"), reverse("admin:chat_bot_changelist")
    seen = {}
    for group in ("Operator", "Auditor", "Editor"):
        user = django_user_model.objects.create_user(group, is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        client.force_login(user)
        seen[group] = (client.get(listed).status_code, client.get(add_page).status_code)
    assert seen == {"Operator": (200, 200), "Auditor": (200, 403), "Editor": (403, 403)}


def test_a_key_is_bound_to_a_bot_in_its_form(admin_client: Client) -> None:
    add(admin_client)
    page = reverse("admin:chat_apikey_add")
    field = admin_client.get(page, {"bot": "people"}).context["adminform"].form["bot"]
    assert field.initial == "people"
    assert [value for value, _ in field.field.choices] == ["", DEFAULT_BOT, "people"]
    made = {"name": "desk", "kind": "secret", "scopes": ["chat"], "bot": "people"}
    assert admin_client.post(page, made).status_code == 302
    key = ApiKey.objects.get()
    assert key.bot == "people"
    assert "bot people" in admin_client.get(reverse("admin:chat_apikey_changelist")).content.decode()
    Bot.objects.filter(slug="people").delete()
    kept = admin_client.get(reverse("admin:chat_apikey_change", args=[key.pk])).context["adminform"].form["bot"]
    assert ("people", "people (gone)") in kept.field.choices  # saving the form does not set it free
