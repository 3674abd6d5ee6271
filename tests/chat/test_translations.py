"""Whatever customers read is translated, and Django reads the translations that are in the repository."""

import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from chat.bots.suggestions import suggested_questions
from chat.page.texts import page_texts

pytestmark = pytest.mark.django_db


def test_every_text_is_translated_and_compiled() -> None:
    script = settings.BASE_DIR / "chat" / "locale" / "messages.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_scripts_name_only_texts_that_the_page_has() -> None:
    import re

    names = set(page_texts())
    scripts = "".join(path.read_text() for path in (settings.BASE_DIR / "chat" / "static" / "chat").glob("*.js"))
    used = set(re.findall(r"\bt\(\"(\w+)\"", scripts))
    used |= {f"{name}_{form}" for name in re.findall(r"\bcounted\(\"(\w+)\"", scripts) for form in ("one", "other")}
    assert used - names == set()


def test_a_customer_is_answered_in_their_language_and_an_operator_in_one(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    german = {"accept-language": "de-CH, fr;q=0.9"}
    page = client.get("/", headers=german)
    assert page.headers["Content-Language"] == "de"
    assert "Accept-Language" in page.headers["Vary"]
    assert "Wie können wir helfen?" in page.content.decode()
    assert "Anmelden" in client.get("/login/", headers=german).content.decode()
    assert 'lang="en"' in client.get("/admin/login/", headers=german).content.decode()
    assert 'lang="en"' in client.get("/", headers={"accept-language": "fr"}).content.decode()
    assert translation.get_language() == settings.LANGUAGE_CODE


def test_suggestions_are_set_or_none(settings: Any) -> None:
    assert suggested_questions() == []
    settings.FABRA_SUGGESTED_QUESTIONS = ["A?", "B?", "C?", "D?", "E?"]
    assert suggested_questions() == ["A?", "B?", "C?", "D?"]
