"""The conversations in the page's list: opened, found, renamed, exported, deleted; the address carries the open one."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.chat.browser import Server
from tests.chat.page.conftest import answered, ask
from tests.missing import required

playwright = required("playwright.sync_api")
expect = playwright.expect


@pytest.fixture
def talked(page: Any, servers: tuple[Server, Server]) -> Any:
    """A page of Lea's with two conversations, the second of which is open; they are hers alone."""
    page.goto(servers[0].url)
    page.get_by_label("Chat as").select_option("Lea")
    ask(page, "When do refunds reach my card?")
    answered(page)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)
    ask(page, "How do I reset my password?")
    answered(page)
    expect(page.locator("#list li")).to_have_count(2)
    yield page
    headers = {"X-CSRFToken": page.locator("body").get_attribute("data-csrf-token"), "Referer": servers[0].url}
    lea = f"{servers[0].url}api/conversations/?user_id=user_4"
    for conversation in page.request.get(lea).json()["results"]:
        path = f"{servers[0].url}api/conversations/{conversation['id']}/?user_id=user_4"
        assert page.request.delete(path, headers=headers).status == 204


def act(page: Any, row: int, name: str) -> None:
    page.locator("#list li").nth(row).locator("summary").click()
    page.locator("#list li").nth(row).get_by_text(name, exact=True).click()


def test_an_old_one_is_opened_and_the_address_goes_back_and_reloads(talked: Any) -> None:
    page, second = talked, talked.url
    assert re.search(r"\?conversation=\d+$", second)
    expect(page.locator("#title")).to_have_text("How do I reset my password?")
    page.locator("#list li > a").nth(1).click()
    expect(page.locator(".text")).to_contain_text("5 to 10 business days")
    assert page.url != second
    page.reload()
    expect(page.locator(".text")).to_contain_text("5 to 10 business days")
    expect(page.locator("#list [aria-current]")).to_contain_text("When do refunds")
    page.go_back()
    expect(page.locator(".text")).to_contain_text("valid for 60 minutes")
    assert page.url == second
    # A source of a stored answer shows the passage as the model got it.
    page.locator(".cite").first.click()
    expect(page.locator(".card[open] h3")).to_have_text("Reset your password")


def test_words_of_messages_find_it(talked: Any) -> None:
    page = talked
    page.get_by_label("Search your conversations").fill("business days")
    expect(page.locator("#list li")).to_have_count(1)
    expect(page.locator("#list")).to_contain_text("When do refunds")
    page.get_by_label("Search your conversations").fill("zxqv")
    expect(page.locator("#list-note")).to_have_text("No conversation has these words.")
    page.get_by_label("Search your conversations").fill("")
    expect(page.locator("#list li")).to_have_count(2)


def test_it_is_renamed_exported_and_deleted(talked: Any, tmp_path: Path) -> None:
    page = talked
    act(page, 0, "Rename")
    page.get_by_label("New title").fill("My <b>password</b>")
    page.keyboard.press("Enter")
    expect(page.locator("#list li").first).to_contain_text("My <b>password</b>")
    expect(page.locator("#title")).to_have_text("My <b>password</b>")

    for name, ending in (("Export as Markdown", "md"), ("Export as JSON", "json")):
        with page.expect_download() as download:
            act(page, 0, name)
        assert download.value.suggested_filename.endswith(f".{ending}")
        download.value.save_as(tmp_path / f"export.{ending}")
        page.keyboard.press("Escape")
        expect(page.locator(".menu[open]")).to_have_count(0)
    assert "> How do I reset my password?" in (tmp_path / "export.md").read_text()
    assert json.loads((tmp_path / "export.json").read_text())["title"] == "My <b>password</b>"

    act(page, 0, "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#list li")).to_have_count(2)
    gone = page.url
    act(page, 0, "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#list li")).to_have_count(1)
    expect(page.get_by_role("heading", name="How can we help?")).to_be_visible()
    page.goto(gone)
    expect(page.locator("#connection")).to_have_text("This conversation is not there any more.")


def test_a_list_that_is_read_again_takes_no_open_menu_and_no_typed_title_away(talked: Any) -> None:
    page = talked

    def read_again() -> None:
        with page.expect_response("**/api/conversations/*"):
            page.locator("#search").dispatch_event("input")
        page.wait_for_load_state("networkidle")

    page.locator("#list li").first.locator("summary").click()
    read_again()
    expect(page.locator(".menu[open]")).to_have_count(1)
    page.locator("#list li").first.get_by_text("Rename", exact=True).click()
    page.get_by_label("New title").fill("Of my link")
    read_again()
    expect(page.get_by_label("New title")).to_have_value("Of my link")
    page.keyboard.press("Enter")
    expect(page.locator("#list li").filter(has_text="Of my link")).to_have_count(1)
    expect(page.locator("#list .rename")).to_have_count(0)


def test_feedback_is_given_changed_and_there_after_a_reload(talked: Any) -> None:
    page = talked
    page.get_by_role("button", name="Bad answer").click()
    page.get_by_label("What was good or wrong?").fill("That is old.")
    page.get_by_role("button", name="Send", exact=True).first.click()
    expect(page.locator(".said")).to_have_text("Thank you for telling us.")
    page.reload()
    expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_label("What was good or wrong?")).to_have_value("That is old.")
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "false")


def test_a_comment_is_kept_though_the_thumb_before_it_is_late(talked: Any) -> None:
    page = talked
    held: list[Any] = []
    let_through: list[bool] = []
    page.route("**/feedback/*", lambda route: route.continue_() if let_through else held.append(route))
    page.get_by_role("button", name="Bad answer").click()
    page.get_by_label("What was good or wrong?").fill("That is old.")
    page.get_by_role("button", name="Send", exact=True).first.click()
    page.wait_for_timeout(500)
    let_through.append(True)
    for route in reversed(held):  # in any order in which they may arrive
        with page.expect_response("**/feedback/*"):
            route.continue_()
    expect(page.locator(".said")).to_have_text("Thank you for telling us.")
    page.reload()
    page.get_by_role("button", name="Good answer").click()
    expect(page.get_by_label("What was good or wrong?")).to_have_value("That is old.")
    page.get_by_role("button", name="Good answer").click()


def test_a_draft_stays_with_its_conversation(talked: Any) -> None:
    page = talked
    page.locator("#message").fill("half a question")
    page.locator("#list li > a").nth(1).click()
    expect(page.locator("#message")).to_have_value("")
    page.go_back()
    expect(page.locator("#message")).to_have_value("half a question")
    page.reload()
    expect(page.locator("#message")).to_have_value("half a question")
    page.locator("#message").fill("")


def test_an_answer_is_stopped_from_another_tab_and_kept(new_page: Any, servers: tuple[Server, Server]) -> None:
    page = new_page()
    page.goto(servers[1].url)
    page.get_by_label("Chat as").select_option("Ida")
    ask(page, "Tell me slowly, please")
    expect(page.locator(".text")).to_contain_text("word word")
    conversation = page.url.rpartition("=")[2]
    stop = f"{servers[1].url}chat/{conversation}/stop?user_id=user_3"
    with urllib.request.urlopen(urllib.request.Request(stop, b"", {"Content-Type": "application/json"})) as response:
        assert json.load(response)["stopped"] == 1
    expect(page.locator(".note")).to_have_text("Stopped before the end.")
    page.reload()
    expect(page.locator(".text")).to_contain_text("word word")
    expect(page.locator(".note")).to_have_text("Stopped before the end.")
    page.locator("#list summary").first.click()
    page.locator("#list").get_by_text("Delete", exact=True).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".turn")).to_have_count(0)
