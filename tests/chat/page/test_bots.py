"""A second bot in a real browser: its page, its form with the preview, and its frame on a site."""

import re
import threading
from typing import Any

from chat.demo.site import Demo, make_server
from chat.models import UserSigning
from tests.chat.browser import PASSWORD, Server
from tests.chat.page.conftest import NONCE, PEOPLE_KEY, ask
from tests.missing import required

playwright = required("playwright.sync_api")
expect = playwright.expect

RED, TEAL = "rgb(179, 38, 30)", "rgb(11, 110, 105)"


def colour_of(page: Any, selector: str, name: str = "background-color") -> Any:
    return page.locator(selector).first.evaluate("(node, name) => getComputedStyle(node).getPropertyValue(name)", name)


def test_a_bot_has_a_page_of_its_own_beside_the_default_one(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(f"{servers[0].url}b/people/")
    expect(page.get_by_role("heading", name="Ask the desk")).to_be_visible()
    assert page.title() == "People Desk"
    expect(page.locator("#sidebar .brand")).to_have_text("People Desk")
    assert page.locator("#logo").evaluate("node => node.complete && node.naturalWidth > 0")
    expect(page.locator("#user option")).to_have_text(["Lea", "Visitor, no account"])
    page.get_by_role("button", name="May I take the train first class?").click()
    expect(page.locator(".text")).to_contain_text("more than four hours")
    expect(page.locator(".card").first).to_contain_text("Travel")
    assert colour_of(page, ".cite", "color") == RED
    expect(page.locator("#list .name")).to_have_count(1)
    page.reload()
    expect(page.locator(".text")).to_contain_text("more than four hours")
    conversation = page.url

    page.goto(servers[0].url)
    expect(page.get_by_role("heading", name="How can we help?")).to_be_visible()
    assert page.title() == "Support chat"
    expect(page.locator("#sidebar .brand")).to_have_text("Support")
    expect(page.locator("#user option").first).to_have_text("Mara <b>L</b>")
    page.locator("#message").fill("x")
    assert colour_of(page, "#send") == TEAL
    page.goto(conversation.replace("/b/people/", "/"))  # another bot's is none of this page's
    expect(page.locator("#connection")).to_contain_text("not there any more")


def test_the_page_is_in_the_readers_colours(new_page: Any, servers: tuple[Server, Server]) -> None:
    for scheme in ("light", "dark"):
        page = new_page(color_scheme=scheme)
        page.goto(f"{servers[0].url}b/people/")
        page.locator("#message").fill("x")
        red, green, blue = map(int, colour_of(page, "#send")[4:-1].split(","))
        assert red > 2 * max(green, blue), scheme


def test_the_form_shows_the_page_while_one_types(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(f"{servers[0].url}admin/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/admin/")
    page.goto(f"{servers[0].url}admin/chat/bot/")
    page.get_by_role("link", name="People Desk").click()
    preview = page.frame_locator("#preview iframe")
    expect(preview.locator("#greeting")).to_have_text("Ask the desk")
    page.fill("#id_greeting_en", "Hello, people")
    page.fill("#id_starters_en", "First?\nSecond?")
    page.fill("#id_accent", "#00695c")
    expect(preview.locator("#greeting")).to_have_text("Hello, people")
    expect(preview.locator(".example")).to_have_text(["First?", "Second?"])
    expect(preview.locator("html")).to_have_attribute("style", re.compile(r"--accent: rgb\(0 105 92\)"))
    page.locator("#id_logo_file").set_input_files(
        {"name": "new.svg", "mimeType": "image/svg+xml", "buffer": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}
    )
    expect(preview.locator("#logo")).to_have_attribute("src", re.compile("^data:image/svg"))
    page.select_option("#preview [name=language]", "de")
    expect(preview.locator("#greeting")).to_have_text("Wie können wir helfen?")
    page.goto(f"{servers[0].url}b/people/")  # nothing was saved
    expect(page.get_by_role("heading", name="Ask the desk")).to_be_visible()


def test_a_site_shows_the_bot_of_its_key_unless_it_says_otherwise(
    page: Any, servers: tuple[Server, Server], site_port: int
) -> None:
    demo = Demo(
        bot_url=servers[0].url.rstrip("/"), key=PEOPLE_KEY, secret=UserSigning(nonce=NONCE).secret, users={}
    )  # fmt: skip
    server = make_server(demo, site_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page.goto(f"http://localhost:{site_port}/")
        widget = page.locator("fabra-widget")
        for name in ("accent", "greeting", "starters"):
            widget.evaluate("(node, name) => node.removeAttribute(name)", name)
        page.get_by_role("button", name="Open the support chat").click()
        chat = page.frame_locator("fabra-widget iframe")
        expect(chat.locator("#message")).to_be_enabled()
        expect(chat.locator("#greeting")).to_have_text("Ask the desk")
        expect(chat.locator("#title")).to_have_text("People Desk")
        assert colour_of(chat, ".top") == RED
        expect(page.locator("fabra-widget .launcher")).to_have_css("background-color", RED)
        ask(chat, "May I take the train first class?")
        expect(chat.locator(".text")).to_contain_text("more than four hours")
        widget.evaluate("node => node.setAttribute('accent', '#0b6e69')")
        expect(chat.locator("html")).to_have_attribute("style", re.compile(r"--bar: rgb\(11 110 105\)"))
        assert colour_of(page, "fabra-widget .launcher") == TEAL
    finally:
        server.shutdown()
        server.server_close()
