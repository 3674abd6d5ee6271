"""The page for every reader: in their language, by keyboard and screen reader, on a phone, light and dark."""

from typing import Any

import pytest

from tests.chat.browser import PASSWORD, Server
from tests.chat.page.conftest import answered, ask
from tests.missing import required

playwright = required("playwright.sync_api")
axe = required("axe_playwright_python.sync_playwright")
expect = playwright.expect

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def assert_accessible(page: Any, part: str | None = None) -> None:
    """Check a page, or the part that a selector finds."""
    found = axe.Axe().run(page, context=part)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize(
    "options",
    [
        {"color_scheme": "light", "reduced_motion": "reduce"},
        {"color_scheme": "dark", "reduced_motion": "reduce", **PHONE},
        {"color_scheme": "light", "reduced_motion": "reduce", "locale": "de-DE"},
    ],
    ids=["wide", "phone, dark", "German"],
)
def test_axe_finds_nothing(new_page: Any, servers: tuple[Server, Server], options: dict[str, Any]) -> None:
    page = new_page(**options)
    page.goto(servers[0].url)
    page.locator("#welcome").wait_for()
    assert_accessible(page)
    page.locator("#user").select_option("Ida")
    ask(page, "How do I reset my password?")
    answered(page)
    page.locator(".cite").first.click()
    page.locator(".thumb").last.click()
    ask(page, "When do refunds reach my card?")
    answered(page, 2)
    assert page.locator("#title").bounding_box()["width"] > 140  # beside the choice of the user
    assert_accessible(page)
    page.locator(".foot .action[aria-haspopup]").first.click()
    page.locator("dialog .budget").wait_for()
    page.locator("dialog .items summary").first.click()
    assert_accessible(page)
    page.keyboard.press("Escape")
    if page.locator("#open-list").is_visible():
        page.locator("#open-list").click()
        assert page.locator("#close-list").evaluate("node => node === document.activeElement")
    page.locator("#list summary").first.click()
    assert_accessible(page)
    page.locator("#list .danger").first.click()
    page.locator("dialog.question-box").wait_for()
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.goto(f"{servers[0].url}login/")
    assert_accessible(page)


def test_a_german_reads_german(new_page: Any, servers: tuple[Server, Server]) -> None:
    page = new_page(locale="de-AT")
    page.goto(servers[0].url)
    expect(page.get_by_role("heading", name="Wie können wir helfen?")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "de"
    assert page.title() == "Support-Chat"
    page.get_by_label("Chatten als").select_option("Ida")
    ask(page, "How do I reset my password?")
    answered(page)
    page.get_by_role("button", name="Was das Modell sah").click()
    expect(page.get_by_role("dialog")).to_contain_text("von 8.000 Tokens verwendet")
    page.goto(f"{servers[0].url}login/")
    expect(page.get_by_role("button", name="Anmelden")).to_be_visible()
    page.goto(f"{servers[0].url}admin/")  # the operators' pages are in one language
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_a_german_who_is_signed_out_reads_so_in_german(new_page: Any, servers: tuple[Server, Server]) -> None:
    page = new_page(locale="de-DE")
    page.goto(f"{servers[0].url}login/")
    page.fill("[name=username]", "bo")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.get_by_role("heading", name="Wie können wir helfen?").wait_for()
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Abmelden").click()
    other.get_by_role("button", name="Anmelden").wait_for()
    ask(page, "How do I reset my password?")
    expect(page.locator("#connection")).to_contain_text("Sie sind nicht mehr angemeldet.")


def test_the_list_is_a_drawer_on_a_phone(new_page: Any, servers: tuple[Server, Server]) -> None:
    page = new_page(**PHONE)
    page.goto(servers[0].url)
    expect(page.locator("#sidebar")).to_be_hidden()
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("button", name="New conversation")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#sidebar")).to_be_hidden()
    expect(page.get_by_role("button", name="Conversations")).to_be_focused()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390


def test_the_keyboard_reaches_everything(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    page.locator("#welcome").wait_for()
    page.get_by_role("link", name="Skip to the message field").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="New conversation")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Talk to a person")).to_be_focused()


def test_only_suggested_questions_for_everyone_are_suggested(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    page.get_by_label("Chat as").select_option("Ida")
    expect(page.locator(".example")).to_have_text(["When do refunds reach my card?"])
    page.locator(".example").click()
    expect(page.locator(".text")).to_contain_text("5 to 10 business days")


def test_signed_in_one_has_a_way_out(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(f"{servers[0].url}login/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".signed-in")).to_contain_text("admin")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{servers[0].url}login/")
