"""The agents' inbox in a browser: passing on, what is new, the focus, and readers of every kind."""

import json
import re
from typing import Any

import pytest

from tests.chat.browser import PASSWORD, Server
from tests.chat.page.conftest import ask
from tests.chat.page.test_people import ask_for_person, joined, say
from tests.chat.page.test_readers import PHONE, assert_accessible
from tests.missing import required

playwright = required("playwright.sync_api")
expect = playwright.expect


def sign_in(page: Any, server: Server, name: str = "admin") -> Any:
    page.goto(f"{server.url}admin/")
    page.fill("[name=username]", name)
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/admin/")
    return page


def number_of(page: Any) -> int:
    """Return the number of the conversation that a customer's page shows."""
    return int(page.url.rpartition("=")[2])


def test_a_conversation_is_passed_on_put_back_and_the_customer_reads_by_whom(
    page: Any, new_page: Any, servers: tuple[Server, Server]
) -> None:
    ask_for_person(page, servers[0])
    mia, holm = sign_in(new_page(), servers[1]), sign_in(new_page(), servers[1], "bo")
    holm.goto(f"{servers[1].url}admin/inbox/")
    expect(holm.locator("[data-live]")).to_have_text("live")
    holm.mouse.click(400, 400)  # somebody who uses it is there
    mia.goto(f"{servers[1].url}admin/inbox/?conversation={number_of(page)}")
    mia.get_by_role("button", name="Take over").click()
    mia.get_by_role("button", name="Pass on").click()
    expect(mia.locator(".fb-inbox-colleague", has_text="yourself")).to_have_count(0)
    row = mia.locator(".fb-inbox-colleague", has_text="Bo Holm")
    expect(row).to_contain_text("holds none")
    expect(row).to_contain_text("here")
    row.click()
    mia.get_by_role("dialog").get_by_role("button", name="Pass on").click()
    expect(mia.locator(".fb-inbox-actions")).to_contain_text("Bo Holm answers")
    expect(page.locator(".notice").last).to_have_text("Mia Moll has passed this conversation on to Bo Holm.")
    expect(page.locator("#presence")).to_contain_text("Bo Holm is answering.")
    holm.locator(f"[data-open-conversation='{number_of(page)}']").click()
    say(holm, "I go on.")
    expect(page.locator(".agent h2").last).to_have_text("Bo Holm")
    # A lead takes from a colleague what they hold; whoever is none has no buttons for that.
    mia.get_by_role("button", name="Pass on").click()
    mia.locator(".fb-inbox-colleague", has_text="yourself").click()
    mia.get_by_role("dialog").get_by_role("button", name="Pass on").click()
    expect(mia.locator("#answer")).to_be_focused()
    expect(holm.locator(".fb-inbox-actions")).to_contain_text("Mia Moll answers")
    expect(holm.locator(".fb-inbox-actions button")).to_have_count(0)
    mia.get_by_role("button", name="Back to the queue").click()
    expect(page.locator("#presence")).to_contain_text("A person was asked to join.")
    # The customer has waited long enough.
    page.get_by_role("button", name="Without a person").click()
    expect(page.locator(".notice").last).to_have_text("The assistant answers again.")
    expect(page.get_by_role("button", name="Talk to a person")).to_be_enabled()
    expect(mia.get_by_role("button", name="Ask for a person")).to_be_visible()
    mia.get_by_role("button", name="Ask for a person").click()
    expect(page.locator("#presence")).to_contain_text("A person was asked to join.")


def test_the_address_a_customer_leaves_is_a_link_and_each_message_is_heard(
    page: Any, new_page: Any, servers: tuple[Server, Server]
) -> None:
    mia = sign_in(new_page(), servers[1])
    with mia.expect_response("**/inbox/list/*"):  # from which on it knows what is new
        mia.goto(f"{servers[1].url}admin/inbox/")
    expect(mia.locator("[data-live]")).to_have_text("live")
    heard = mia.locator("[data-inbox]")
    ask_for_person(page, servers[0])
    row = mia.locator(f"[data-open-conversation='{number_of(page)}']")
    expect(row).to_be_visible()
    expect(heard).to_have_attribute("data-beeps", "1")
    ask(page, "my mail is ana@example.com.")
    expect(page.locator(".notice").last).to_have_text("Thank you. We will write to ana@example.com.")
    expect(heard).to_have_attribute("data-beeps", "2")  # though as many wait as before
    row.click()
    link = mia.locator(".fb-inbox-why a")
    expect(link).to_have_text("ana@example.com")
    assert (link.get_attribute("href") or "").startswith("mailto:ana@example.com?subject=")


def test_the_title_counts_who_is_to_be_answered(page: Any, new_page: Any, servers: tuple[Server, Server]) -> None:
    ask_for_person(page, servers[0])
    mia = sign_in(new_page(), servers[1])
    mia.goto(f"{servers[1].url}admin/inbox/")
    expect(mia.locator("[data-live]")).to_have_text("live")
    expect(mia.locator(f"[data-open-conversation='{number_of(page)}']")).to_be_visible()
    expect(mia).to_have_title(re.compile(r"^\(\d+\) "))
    count = int(mia.title().partition(")")[0][1:])
    page.get_by_role("button", name="Without a person").click()
    expect(mia).to_have_title(re.compile(rf"^\({count - 1}\) " if count > 1 else r"^[^(]"))
    page.get_by_role("button", name="Talk to a person").click()
    expect(mia).to_have_title(re.compile(rf"^\({count}\) "))


def test_a_redraw_leaves_the_focus_and_what_was_found_where_they_are(
    page: Any, new_page: Any, servers: tuple[Server, Server]
) -> None:
    ask_for_person(page, servers[0])
    pk = number_of(page)
    mia = sign_in(new_page(), servers[1])
    sockets = joined(mia, "**/ws/inbox")
    mia.goto(f"{servers[1].url}admin/inbox/?conversation={pk}")
    mia.get_by_role("button", name="Take over").click()
    expect(mia.locator("#answer")).to_be_focused()
    mia.locator("#passages").fill("refunds")
    mia.locator("#passages").press("Enter")
    expect(mia.locator("[data-found] summary").first).to_be_visible()
    for focused in (mia.locator("#passages"), mia.locator("[data-close]")):
        focused.focus()
        before = mia.locator("[data-conversation]").element_handle()
        sockets[-1].send(json.dumps({"type": "state", "conversation_id": pk}))
        mia.wait_for_function("talk => !talk.isConnected", arg=before)
        expect(focused).to_be_focused()
    expect(mia.locator("[data-found] summary").first).to_be_visible()
    # What is inserted stands apart, without the heading of its passage.
    mia.locator("#answer").fill("Hello Ana,")
    mia.locator("[data-found] summary").first.click()
    for _ in range(2):
        mia.locator("[data-found] [data-insert]").first.click()
    passage = "Refunds reach your card after 5 to 10 business days.\n\nhttps://docs.example.com/refunds/"
    expect(mia.locator("#answer")).to_have_value(f"Hello Ana,\n\n{passage}\n\n{passage}")


def test_who_hears_nothing_of_a_takeover_sees_it_all_the_same_and_why_theirs_is_refused(
    page: Any, new_page: Any, servers: tuple[Server, Server]
) -> None:
    """As while Redis is down: the sockets say nothing of what others do."""
    ask_for_person(page, servers[0])
    pk = number_of(page)
    mia, holm = sign_in(new_page(), servers[1]), sign_in(new_page(), servers[1], "bo")
    sockets: list[Any] = []

    def join_silent(socket: Any) -> None:
        socket.connect_to_server().on_message(lambda message: None)
        sockets.append(socket)

    mia.route_web_socket("**/ws/inbox", join_silent)
    mia.route("**/inbox/list/*", lambda route: route.abort())  # nor does it ask by itself, which it does now and then
    for agent in (mia, holm):
        agent.goto(f"{servers[1].url}admin/inbox/?conversation={pk}")
        expect(agent.locator(".fb-inbox-why")).to_have_text("Asked for because: the customer asked")
    expect(mia.locator("[data-live]")).to_have_text("live")
    holm.get_by_role("button", name="Take over").click()
    expect(holm.locator("#answer")).to_be_focused()
    mia.unroute("**/inbox/list/*")
    mia.get_by_role("button", name="Take over").click()
    head, error = mia.locator(".fb-inbox-actions"), mia.locator("[data-error]")
    expect(head).to_contain_text("Bo Holm answers")
    expect(error).to_contain_text("Bo Holm")
    before = mia.locator("[data-conversation]").element_handle()
    sockets[-1].send(json.dumps({"type": "state", "conversation_id": pk}))
    mia.wait_for_function("talk => !talk.isConnected", arg=before)
    expect(error).to_contain_text("Bo Holm")
    holm.get_by_role("button", name="Hand back").click()
    expect(holm.locator(".fb-inbox-actions")).to_contain_text("the assistant answers")
    sockets[-1].send(json.dumps({"type": "live", "conversation_id": None, "is_live": False}))
    expect(head).to_contain_text("the assistant answers")


@pytest.mark.parametrize(
    "options", [{"color_scheme": "light"}, {"color_scheme": "dark", **PHONE}], ids=["wide", "phone, dark"]
)
def test_axe_finds_nothing(page: Any, new_page: Any, servers: tuple[Server, Server], options: dict[str, Any]) -> None:
    ask_for_person(page, servers[0])
    ask(page, "ana@example.com")
    mia = sign_in(new_page(reduced_motion="reduce", **options), servers[1])
    mia.goto(f"{servers[1].url}admin/inbox/")
    mia.locator("[data-open-conversation]").first.wait_for()
    assert_accessible(mia)
    mia.goto(f"{servers[1].url}admin/inbox/?conversation={number_of(page)}")
    mia.get_by_role("button", name="Take over").click()
    say(mia, "Hello, **Ana**.")
    assert_accessible(mia)
    if "viewport" not in options:  # at 1280 px, what is known stands beside the conversation
        assert mia.locator(".fb-inbox-side").bounding_box()["y"] == mia.locator(".fb-inbox-talk").bounding_box()["y"]
    assert mia.evaluate("document.documentElement.scrollWidth") <= mia.viewport_size["width"]
    for name in ("Pass on", "Close"):
        mia.get_by_role("button", name=name, exact=True).click()
        mia.get_by_role("dialog").wait_for()
        assert_accessible(mia, "dialog[open]")
        mia.keyboard.press("Escape")
