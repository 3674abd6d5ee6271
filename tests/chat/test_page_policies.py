"""The pages in a real browser: nothing on them breaks their content security policy."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.urls import reverse

from tests.chat.browser import admin_page
from tests.missing import required

PREPARE = """
from django.contrib.auth.models import User
from tests.chat.admin_rows import fill
fill(2)
User.objects.create_superuser("admin", "", "of-the-test")
"""
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


def violations(page: Any) -> list[str]:
    found = [
        said for said in page.said if re.search("Content.Security.Policy|Refused to|EvalError", said, re.IGNORECASE)
    ]
    page.said.clear()
    return found


def test_every_page_of_the_admin_keeps_its_policy(page: Any) -> None:
    paths = ["/admin/", reverse("retrieval:search_test"), "/admin/password_change/"]
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        paths.append(reverse(f"admin:{name}_changelist"))
        page.goto(paths[-1])
        row = page.locator("#result_list a[href*='/change/']").first
        if row.count():
            paths.append(re.sub(r"\?.*", "", row.get_attribute("href")))
            page.goto(paths[-1])
    for path in paths[:3]:
        page.goto(path)
    assert violations(page) == []
    assert len(paths) > 40


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
