"""What a Django site gets that embeds the chat: a tag with the widget, and a view that signs its user."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Engine
from django.test import RequestFactory

from chat.access.tokens import verify
from fabra_site.views import token
from tests.chat.sites import Site, make_site

ENGINE = Engine(libraries={"fabra_site": "fabra_site.templatetags.fabra_site"}, builtins=[])


@pytest.fixture
def site(db: None, settings: Any) -> Site:
    made = make_site()
    settings.SUPPORT_CHAT = {
        "BOT_URL": "https://bot.example.com/",
        "PUBLIC_KEY": made.key,
        "SIGNING_SECRET": made.signing.secret,
    }
    return made


def rendered(text: str, **context: Any) -> str:
    return ENGINE.from_string("{% load fabra_site %}" + text).render(Context(context))


def company_of(user: Any) -> dict[str, str]:
    return {"company": f"{user.username} & Sons"}


def name_of(user: Any) -> str:
    return str(user.username)


def asked_by(user: Any) -> Any:
    request = RequestFactory().get("/support/token")
    request.user = user
    return token(request)


def test_the_tag_is_one_script_with_the_key_and_the_tokens_address(site: Site, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.fabra_site.urls"
    assert rendered("{% fabra_widget accent='#0b6e69' %}") == (
        f'<script src="https://bot.example.com/widget.js" data-key="{site.key}" data-accent="#0b6e69" '
        'data-token-url="/support/token" async></script>'
    )


def test_without_the_view_everybody_is_a_visitor(site: Site) -> None:
    assert "token-url" not in rendered("{% fabra_widget %}")


def test_a_value_stays_inside_its_attribute_and_the_pages_nonce_is_used(site: Site) -> None:
    request = SimpleNamespace(csp_nonce="abc")
    text = rendered("{% fabra_widget greeting=words %}", words='"><script>alert(1)</script>', request=request)
    assert re.findall(r"<\w+", text) == ["<script"]
    assert 'nonce="abc"' in text


def test_whoever_is_signed_in_gets_a_token_that_the_bot_accepts(site: Site, settings: Any) -> None:
    settings.SUPPORT_CHAT |= {"TRAITS": "tests.fabra_site.test_site.company_of"}
    user = User.objects.create_user("mara")
    response = asked_by(user)
    assert "no-store" in response.headers["Cache-Control"]
    named = verify(json.loads(response.content)["token"], site.row)
    assert (named.user_id, named.traits) == (str(user.pk), {"company": "mara & Sons"})
    settings.SUPPORT_CHAT |= {"USER_ID": "tests.fabra_site.test_site.name_of"}
    assert verify(json.loads(asked_by(user).content)["token"], site.row).user_id == "mara"


def test_nobody_gets_none(site: Site) -> None:
    assert asked_by(AnonymousUser()).content == b'{"token": null}'
    assert token(RequestFactory().get("/")).content == b'{"token": null}'  # a site without accounts


def test_what_is_not_set_is_named(settings: Any) -> None:
    settings.SUPPORT_CHAT = {"BOT_URL": "https://bot.example.com"}
    with pytest.raises(ImproperlyConfigured, match="PUBLIC_KEY"):
        rendered("{% fabra_widget %}")
