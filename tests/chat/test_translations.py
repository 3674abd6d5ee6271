"""Whatever customers read is translated, and Django reads the translations that are in the repository."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from chat import error_descriptions
from chat.bots.suggestions import suggested_questions
from chat.page.texts import page_texts
from common.errors import FabraError

pytestmark = pytest.mark.django_db


def test_every_text_is_translated_and_compiled() -> None:
    script = settings.BASE_DIR / "chat" / "locale" / "messages.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_scripts_name_only_texts_that_the_page_has() -> None:
    names = set(page_texts())
    scripts = "".join(path.read_text() for path in (settings.BASE_DIR / "chat" / "static" / "chat").glob("*.js"))
    used = set(re.findall(r"\bt\(\"(\w+)\"", scripts))
    used |= {f"{name}_{form}" for name in re.findall(r"\bcounted\(\"(\w+)\"", scripts) for form in ("one", "other")}
    assert used - names == set()


NOT_OF_THE_PAGE = {
    # Documents, events, definitions, bulk requests and webhooks.
    "batch_refused", "batch_too_large", "bulk_busy", "document_changed", "document_not_found", "document_owned",
    "document_too_large", "event_bus_unavailable", "event_conflict", "invalid_definition", "invalid_filter",
    "invalid_value", "not_reached", "object_unreadable", "rotation_refused", "source_busy", "source_unavailable",
    "webhook_refused", "webhook_signature_invalid", "webhook_timestamp_stale",
    # Keys for idempotency, which the page has no use for, agents, and OpenAI's API.
    "answer_erased", "idempotency_in_progress", "idempotency_key_invalid", "idempotency_key_reused",
    "idempotency_key_unsupported", "agent_forbidden", "invalid_agent", "model_not_found",
}  # fmt: skip


def kinds_of(root: type[FabraError]) -> Iterator[type[FabraError]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds_of(kind)


@pytest.mark.parametrize("language", [code for code, _ in settings.LANGUAGES])
def test_every_error_that_a_page_can_get_has_a_sentence(language: str) -> None:
    import_module(settings.ROOT_URLCONF)
    codes = {kind.code for kind in kinds_of(FabraError) if not kind.__module__.startswith("tests.")}
    codes |= set(re.findall(r'return \d{3}, "(\w+)"', inspect.getsource(error_descriptions)))
    table = (settings.BASE_DIR / "docs" / "chat.md").read_text().partition("| Status | Codes |")[2]
    codes |= {code for row in re.findall(r"\| \d{3}.*", table) for code in re.findall(r"`(\w+)`", row)}
    with translation.override(language):
        texts = page_texts()
    assert {"internal_error", "conversation_state", "scope_missing", "feature_failed"} < codes
    assert sorted(code for code in codes - NOT_OF_THE_PAGE if f"error_{code}" not in texts) == []


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
