"""Every page of the admin in a real browser: it fits 1,280 px, and nothing on it breaks its content security policy."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.staticfiles import finders
from django.urls import reverse

from tests.chat.browser import admin_page
from tests.missing import required

# One row of each table has ids as long as people's and programs' are.
PREPARE = """
from django.apps import apps
from django.contrib.auth.models import User
from tests.chat.admin_rows import fill
fill(3)
User.objects.create_superuser("admin", "", "of-the-test")
person = "anastasia.konstantinopoulou@customer.example.com"
long = dict.fromkeys(["user_id", "entity_key", "started_by"], person) | {
    "entity_id": "engineering-handbook/onboarding/how-to-set-up-your-development-environment",
    "event_type": "subscription_payment_failed",
    "feature": "support_history_of_the_last_ninety_days",
    "source": "/srv/engineering-handbook/onboarding/how-to-set-up",
    "subject": "The invoice of the third quarter has the wrong VAT number and the wrong address",
}
for model in apps.get_models():
    fields = [field for field in model._meta.concrete_fields if field.name in long and (field.max_length or 0) >= 100]
    row = model._default_manager.first()
    if row and fields:
        model._default_manager.filter(pk=row.pk).update(**{field.name: long[field.name] for field in fields})
"""
# The page itself, or a list within it.
SCROLLS = """() => {
  const page = document.scrollingElement;
  const inner = [...document.querySelectorAll(".simplebar-content-wrapper")];
  return [page, ...inner].some((element) => element.scrollWidth > element.clientWidth + 1);
}"""
INJECT = """() => {
  const script = document.createElement("script");
  script.textContent = "window.ran = 1";
  document.body.append(script);
}"""

playwright = required("playwright.sync_api")


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page that is signed in to a filled admin; `said` has what the browser told of the policy, and the errors."""
    said: list[str] = []
    with admin_page(playwright, PREPARE, said) as opened:
        opened.said = said
        yield opened


@pytest.fixture(scope="module")
def shown(page: Any) -> dict[str, Any]:
    """Open each list, its first row and what is no list, once; return the addresses, what was said and what is wide."""
    addresses, wide = [], []

    def show(address: str) -> None:
        page.goto(address)
        addresses.append(page.url)
        wide.extend([page.url] if page.evaluate(SCROLLS) else [])

    for model in admin.site._registry:
        show(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
        row = page.locator("#result_list a[href*='/change/']").first
        if row.count():
            show(re.sub(r"\?.*", "", row.get_attribute("href")))
    for address in ("/admin/", reverse("retrieval:search_test"), "/admin/password_change/"):
        show(address)
    return {"addresses": addresses, "wide": wide, "violations": violations(page)}


def violations(page: Any) -> list[str]:
    found = [
        said for said in page.said if re.search("Content.Security.Policy|Refused to|EvalError", said, re.IGNORECASE)
    ]
    page.said.clear()
    return found


def test_no_list_and_no_page_scrolls_sideways(shown: dict[str, Any]) -> None:
    assert len(shown["addresses"]) > 40
    assert shown["wide"] == []


def test_every_page_keeps_its_policy(shown: dict[str, Any]) -> None:
    assert shown["violations"] == []


def test_accent_and_mark_are_the_chat_pages(page: Any) -> None:
    style = Path(finders.find("chat/chat.css")).read_text()
    accents = re.findall(r"--accent: (#\w+);", style)
    assert accents == [settings.UNFOLD["COLORS"]["primary"][step] for step in ("600", "400")]
    page.goto("/admin/")
    for selector in ("img[src*='shared/mark']", "link[rel=icon][href*='shared/mark']"):
        assert page.locator(selector).count()


def test_the_chat_page_its_login_and_the_api_docs_keep_theirs(page: Any) -> None:
    page.goto("/api/docs/")
    page.wait_for_selector(".opblock")
    assert violations(page) == []
    page.goto("/")
    page.fill("#message", "How do I reset my password?")
    page.press("#message", "Enter")
    page.wait_for_selector("article[data-state=done], article[data-state=error]")
    assert violations(page) == []
    page.context.clear_cookies()
    page.goto("/login/")
    assert violations(page) == []


def test_a_script_that_gets_into_a_page_does_not_run(page: Any) -> None:
    for path in ("/login/", "/admin/login/", "/"):
        page.goto(path)
        page.evaluate(INJECT)
        assert page.evaluate("() => window.ran") is None
        assert violations(page)
