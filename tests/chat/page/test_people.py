"""A person in the conversation, as its customer sees them: asked for, there, typing, answering, gone again."""

import json
from typing import Any

import pytest

from tests.chat.browser import PASSWORD, Server
from tests.chat.page.conftest import answered, ask, copied
from tests.missing import required

playwright = required("playwright.sync_api")
expect = playwright.expect


@pytest.fixture
def agent(new_page: Any, servers: tuple[Server, Server]) -> Any:
    """A page of the inbox, on the other server; a test may stop its clock."""
    page = new_page()
    page.clock.install()
    page.goto(f"{servers[1].url}admin/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/admin/")
    return page


def stop_clock(page: Any) -> None:
    """Let what the page shows for some seconds stay until its clock is resumed."""
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)


def say(agent: Any, text: str) -> None:
    agent.locator("#answer").fill(text)
    agent.locator("#answer").press("Enter")
    expect(agent.locator("#answer")).to_have_value("")


def ask_for_person(page: Any, server: Server) -> None:
    """Begin a conversation of which a person is asked to join."""
    page.goto(server.url)
    ask(page, "When do refunds reach my card?")
    answered(page)
    page.get_by_role("button", name="Talk to a person").click()
    expect(page.locator("#presence")).to_contain_text("A person was asked to join.")


def test_an_answer_that_knows_nothing_offers_a_person_until_one_is_asked(
    page: Any, servers: tuple[Server, Server]
) -> None:
    page.goto(servers[0].url)
    page.get_by_label("Chat as").select_option("Ole")
    ask(page, "When do refunds reach my card?")
    answered(page)
    expect(page.locator(".action.offer")).to_have_count(0)
    ask(page, "Zebra quagga okapi?")
    answered(page)
    offer = page.locator(".turn").nth(1).get_by_role("button", name="Talk to a person")
    expect(offer).to_be_visible()
    offer.click()
    expect(page.locator("#presence")).to_contain_text("A person was asked to join.")
    expect(page.locator(".action.offer")).to_be_hidden()


def test_a_person_answers_and_nothing_is_lost_or_said_twice(
    page: Any, agent: Any, servers: tuple[Server, Server]
) -> None:
    page.goto(servers[0].url)
    page.get_by_label("Chat as").select_option("Ida")
    ask(page, "When do refunds reach my card?")
    answered(page)
    page.get_by_role("button", name="Talk to a person").click()
    expect(page.locator("#presence")).to_contain_text("A person was asked to join.")
    expect(page.locator(".notice")).to_have_count(1)
    expect(page.get_by_role("button", name="Talk to a person")).to_be_hidden()

    agent.goto(f"{servers[1].url}admin/inbox/?conversation={page.url.rpartition('=')[2]}")
    agent.get_by_role("button", name="Take over").click()
    expect(page.locator("#presence")).to_have_text("Mia Moll is answering.")
    agent.locator("#answer").press_sequentially("Hel")
    expect(page.locator("#presence")).to_contain_text("Mia Moll is typing")
    say(agent, "Hello, *this* is Mia.")
    expect(page.locator(".agent h2")).to_have_text("Mia Moll")
    expect(page.locator(".agent em")).to_have_text("this")
    ask(page, "Thank you!")
    expect(page.locator(".turn").nth(1)).to_have_attribute("data-state", "said")
    expect(agent.locator("[data-messages]")).to_contain_text("Thank you!")

    # In the background, what is new is counted, and marked at the return.
    page.evaluate("document.hasFocus = () => false")
    say(agent, "Your refund is on its way.")
    expect(page).to_have_title("(1) Support chat")
    page.evaluate("document.hasFocus = () => true; dispatchEvent(new Event('focus'))")
    expect(page).to_have_title("Support chat")
    expect(page.locator(".marker + .agent")).to_contain_text("on its way")

    # While the server is away, the person goes on by another.
    servers[0].stop()
    expect(page.locator("#connection")).to_contain_text("Connection lost")
    say(agent, "It was sent on Monday.")
    ask(page, "Good to know")
    servers[0].start()
    servers[0].wait()
    expect(page.locator("#log")).to_contain_text("It was sent on Monday.")
    expect(page.locator(".turn").nth(2)).to_have_attribute("data-state", "said")
    expect(page.locator(".agent")).to_have_count(3)

    agent.get_by_role("button", name="Hand back").click()
    expect(page.locator(".notice").last).to_have_text("The assistant answers again.")
    expect(page.get_by_role("button", name="Talk to a person")).to_be_enabled()
    said = page.locator("#log > :not(.marker)").count()
    page.reload()
    expect(page.locator("#log > :not(.marker)")).to_have_count(said)


def test_an_answer_stands_below_what_came_between_it_and_its_question(
    page: Any, servers: tuple[Server, Server]
) -> None:
    """As where a person handed the conversation back, and the bot answers what they left."""
    sockets = joined(page, "**/ws/chat*")
    page.goto(servers[0].url)
    ask(page, "When do refunds reach my card?")
    answered(page)
    told: dict[str, Any] = {"author": None, "client_id": None, "context_id": None, "citations": [], "grounding": None}
    said = [("user", "And to Peru?"), ("notice", "The assistant answers again."), ("assistant", "In ten days.")]
    for number, (role, text) in enumerate(said):
        message = {"id": 2**40 + number, "role": role, "text": text, "html": f"<p>{text}</p>", "flags": [], **told}
        message["created_at"] = "2026-01-01T10:00:00+00:00"
        new = {"type": "message", "conversation_id": int(page.url.rpartition("=")[2]), "message": message}
        sockets[-1].send(json.dumps(new))
    expect(page.locator("article[data-state=done]")).to_have_count(2)
    expect(page.locator("#log > *")).to_contain_text(["5 to 10 business days", *(text for _, text in said)])
    expect(page.locator(".question")).to_have_count(2)


def joined(page: Any, url: str) -> list[Any]:
    """Return the sockets that a page will open, by which a test tells it something."""
    sockets: list[Any] = []

    def join(socket: Any) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket(url, join)
    return sockets


@pytest.fixture
def inbox_sockets(agent: Any) -> list[Any]:
    return joined(agent, "**/ws/inbox")


def test_an_answer_that_is_sent_while_the_conversation_is_drawn_anew_is_not_offered_again(
    page: Any, agent: Any, inbox_sockets: list[Any], servers: tuple[Server, Server]
) -> None:
    ask_for_person(page, servers[0])
    pk = int(page.url.rpartition("=")[2])

    def send(route: Any) -> None:
        with agent.expect_response(f"**/admin/inbox/{pk}/"):
            inbox_sockets[-1].send(json.dumps({"type": "state", "conversation_id": pk}))
        route.continue_()

    agent.goto(f"{servers[1].url}admin/inbox/?conversation={pk}")
    agent.get_by_role("button", name="Take over").click()
    expect(page.locator("#presence")).to_have_text("Mia Moll is answering.")
    agent.route("**/send/", send)
    say(agent, "In five days.")
    expect(page.locator(".agent")).to_have_count(1)


def test_a_conversation_that_is_drawn_anew_still_says_who_is_typing(
    page: Any, agent: Any, inbox_sockets: list[Any], servers: tuple[Server, Server]
) -> None:
    ask_for_person(page, servers[0])
    pk = int(page.url.rpartition("=")[2])
    agent.goto(f"{servers[1].url}admin/inbox/?conversation={pk}")
    line = agent.locator("[data-typing]")
    before = line.element_handle()
    stop_clock(agent)  # for some seconds it is shown
    inbox_sockets[-1].send(json.dumps({"type": "typing", "conversation_id": pk, "author": "Bo Holm"}))
    inbox_sockets[-1].send(json.dumps({"type": "state", "conversation_id": pk}))
    agent.wait_for_function("line => !line.isConnected", arg=before)
    expect(line).to_have_text("Bo Holm is typing")
    agent.clock.resume()
    expect(line).to_be_hidden()  # some seconds later


def test_what_a_person_answers_can_be_judged_and_copied(page: Any, agent: Any, servers: tuple[Server, Server]) -> None:
    ask_for_person(page, servers[0])
    agent.goto(f"{servers[1].url}admin/inbox/?conversation={page.url.rpartition('=')[2]}")
    agent.get_by_role("button", name="Take over").click()
    expect(page.locator("#presence")).to_have_text("Mia Moll is answering.")
    say(agent, "It was **sent** on Monday.")
    said = page.locator(".agent")
    assert copied(page, said) == "It was **sent** on Monday."
    with page.expect_response("**/feedback/*") as kept:
        said.get_by_role("button", name="Good answer").click()
    assert kept.value.ok
    page.reload()
    expect(said.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    expect(said.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "false")


def test_the_wish_for_a_person_begins_a_conversation(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    page.get_by_label("Chat as").select_option("Ida")
    page.get_by_role("button", name="Talk to a person").click()
    expect(page.locator("#presence")).to_contain_text("A person was asked to join.")
    expect(page.locator(".notice")).to_have_count(1)
    expect(page.locator(".question")).to_contain_text("I would like to talk to a person.")


def closed_by(agent: Any, page: Any, server: Server) -> None:
    """Have an agent close the page's conversation."""
    agent.goto(f"{server.url}admin/inbox/?conversation={page.url.rpartition('=')[2]}")
    agent.get_by_role("button", name="Take over").click()
    expect(page.locator("#presence")).to_have_text("Mia Moll is answering.")
    agent.get_by_role("button", name="Close", exact=True).click()
    agent.get_by_role("dialog").get_by_role("button", name="Close it").click()
    expect(page.locator("#presence")).to_have_text("This conversation is closed. A new message begins a new one.")


def test_the_wish_for_a_person_in_a_closed_conversation_begins_a_new_one(
    page: Any, agent: Any, servers: tuple[Server, Server]
) -> None:
    ask_for_person(page, servers[0])
    closed_by(agent, page, servers[1])
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.locator("#presence").bounding_box()["width"] > 160  # beside the button there is no room
    closed = page.url
    page.locator("#message").fill("Half a sent")
    page.get_by_role("button", name="Talk to a person").click()
    expect(page.locator("#presence")).to_contain_text("A person was asked to join.")
    assert page.url != closed
    expect(page.locator(".notice").nth(-2)).to_have_text("Your last conversation was closed, so this is a new one.")
    expect(page.locator(".question").last).to_contain_text("I would like to talk to a person.")
    expect(page.locator("#connection")).to_be_hidden()
    expect(page.locator("#message")).to_have_value("Half a sent")


def test_what_two_windows_write_stands_in_one_order_and_is_typed_by_nobody_else(
    page: Any, agent: Any, servers: tuple[Server, Server]
) -> None:
    ask_for_person(page, servers[0])
    other = page.context.new_page()
    other.goto(page.url)
    agent.goto(f"{servers[1].url}admin/inbox/?conversation={page.url.rpartition('=')[2]}")
    expect(agent.locator("[data-customer]")).to_have_text("has the chat open")
    agent.get_by_role("button", name="Take over").click()
    for window in (page, other):
        expect(window.locator("#presence[data-here=true]")).to_have_text("Mia Moll is answering.")
    stop_clock(agent)
    other.locator("#message").press_sequentially("Two")
    expect(agent.locator("[data-typing]")).to_have_text("The customer is typing")
    agent.clock.resume()
    page.locator("#message").fill("One")
    for window in (page, other):  # both are shown in their window before the server has either
        window.locator("#message").press("Enter")
    for window in (page, other):
        expect(window.locator(".turn[data-state=said]")).to_have_count(2)
        expect(window.locator("#presence")).to_have_text("Mia Moll is answering.")
    orders = [window.locator(".question").all_text_contents() for window in (page, other)]
    page.reload()
    expect(page.locator(".question")).to_have_count(3)
    assert orders == [page.locator(".question").all_text_contents()] * 2
    agent.goto("about:blank")
    expect(page.locator("#presence")).to_have_text("Mia Moll is away at the moment.")


def test_a_conversation_that_its_customer_deletes_leaves_the_inbox(
    page: Any, agent: Any, servers: tuple[Server, Server]
) -> None:
    ask_for_person(page, servers[0])
    pk = page.url.rpartition("=")[2]
    agent.goto(f"{servers[1].url}admin/inbox/?conversation={pk}")
    agent.get_by_role("button", name="Take over").click()
    expect(page.locator("#presence")).to_have_text("Mia Moll is answering.")
    expect(agent.locator("[data-live]")).to_have_text("live")
    headers = {"X-CSRFToken": page.locator("body").get_attribute("data-csrf-token"), "Referer": servers[0].url}
    user = page.get_by_label("Chat as").input_value()
    deleted = page.request.delete(f"{servers[0].url}api/conversations/{pk}/?user_id={user}", headers=headers)
    assert deleted.ok, deleted.text()
    expect(agent.locator("[data-main]")).to_contain_text("has deleted this conversation")
    expect(agent.locator(f"[data-open-conversation='{pk}']")).to_have_count(0)
