"""The admin in a real browser: its lists fit a screen of 1,280 px, and it has the chat page's colours."""

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

playwright = required("playwright.sync_api")


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of 1,280 by 900 px, signed in to a filled admin."""
    with admin_page(playwright, PREPARE, []) as opened:
        yield opened


def test_no_list_and_no_page_scrolls_sideways(page: Any) -> None:
    wide = []
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        page.goto(reverse(f"admin:{name}_changelist"))
        wide += [page.url] if page.evaluate(SCROLLS) else []
        row = page.locator("#result_list a[href*='/change/']").first
        if row.count():
            page.goto(re.sub(r"\?.*", "", row.get_attribute("href")))
            wide += [page.url] if page.evaluate(SCROLLS) else []
    assert not wide


def test_accent_and_mark_are_the_chat_pages(page: Any) -> None:
    style = Path(finders.find("chat/chat.css")).read_text()
    accents = re.findall(r"--accent: (#\w+);", style)
    assert accents == [settings.UNFOLD["COLORS"]["primary"][step] for step in ("600", "400")]
    page.goto("/admin/")
    for selector in ("img[src*='shared/mark']", "link[rel=icon][href*='shared/mark']"):
        assert page.locator(selector).count()
