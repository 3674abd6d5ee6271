"""The widget on another site, in a real browser: loaded, opened, asked, signed in to, and refused."""

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from chat.demo.site import Demo, make_server
from chat.models import UserSigning
from tests.chat.browser import PASSWORD, Server
from tests.chat.page.conftest import NONCE, PUBLIC_KEY, SITE_NAMES
from tests.missing import required

playwright = required("playwright.sync_api")
axe = required("axe_playwright_python.sync_playwright")
expect = playwright.expect

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
OPEN, CLOSE = "Open the support chat", "Close the support chat"


@pytest.fixture(scope="module")
def demo(servers: tuple[Server, Server], site_port: int) -> Iterator[Any]:
    """The server of a site that embeds the chat; `demo` of its handler is what it knows."""
    known = Demo(
        bot_url=servers[0].url.rstrip("/"), key=PUBLIC_KEY, secret=UserSigning(nonce=NONCE).secret,
        users={"user_6": "Ole", "user_5": "Nora"},
    )  # fmt: skip
    server = make_server(known, site_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.RequestHandlerClass
    server.shutdown()
    server.server_close()


@pytest.fixture
def site(demo: Any, site_port: int) -> Iterator[str]:
    """The site's address, by another name than the bot's: its frames are a third party's."""
    before = demo.demo
    yield f"http://localhost:{site_port}/"
    demo.demo = before


def chat_of(page: Any) -> Any:
    return page.frame_locator("fabra-widget iframe")


def open_chat(page: Any) -> Any:
    """Open the chat on the page; return its frame, which is ready."""
    page.get_by_role("button", name=OPEN).click()
    expect(chat_of(page).locator("#message")).to_be_enabled()
    return chat_of(page)


def ask(chat: Any, question: str = "When do refunds reach my card?") -> None:
    chat.locator("#message").fill(question)
    chat.locator("#message").press("Enter")


def answered(chat: Any, count: int = 1) -> None:
    expect(chat.locator("article[data-state=done]")).to_have_count(count)


def sign_in(page: Any, name: str) -> None:
    page.locator("header select").select_option(name)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text(f"Signed in as {name}").wait_for()


def sign_out(page: Any) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()


def titles(chat: Any) -> Any:
    """Return the titles in the list of conversations, which is opened."""
    expect(chat.locator("#message")).to_be_enabled()  # before, nothing answers a click
    chat.locator("#open-list").click()
    return chat.locator("#list .name")


def hold(page: Any, pattern: str) -> Any:
    """Hold the first request to an address; return a function that waits for it and returns its route."""
    held: list[Any] = []

    def first(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    def wait() -> Any:
        while not held:
            page.wait_for_timeout(20)
        return held[0]

    page.route(pattern, first)
    return wait


PLACE = f"fabra-widget:{PUBLIC_KEY}:conversation"


def open_conversation(page: Any, *, is_one: bool) -> Any:
    """Return what the site keeps of the open conversation, once it is one, or none: the frame tells it."""
    page.wait_for_function("([place, isOne]) => Boolean(sessionStorage.getItem(place)) === isOne", arg=[PLACE, is_one])
    return page.evaluate("place => sessionStorage.getItem(place)", PLACE)


def events(page: Any) -> None:
    """Note the events of the widget from now on, for `noted`."""
    page.evaluate(
        """() => {
          window.noted = [];
          for (const name of ["open", "close", "message", "escalated", "failed", "unread", "token"])
            document.querySelector("fabra-widget").addEventListener(name, ({ detail }) => noted.push([name, detail]));
        }"""
    )


def noted(page: Any, name: str, count: int = 1) -> list[Any]:
    """Return the details of these events, once there are as many: what the frame tells arrives a little later."""
    enough = "([name, count]) => noted.filter(([kind]) => kind === name).length >= count"
    page.wait_for_function(enough, arg=[name, count])
    return [detail for kind, detail in page.evaluate("noted") if kind == name]


def test_nothing_but_the_script_is_loaded_until_the_chat_is_opened(page: Any, site: str, demo: Any) -> None:
    of_bot: list[str] = []
    page.on("request", lambda request: of_bot.append(request.url) if request.url.startswith(demo.demo.bot_url) else 0)
    page.goto(site, wait_until="networkidle")
    expect(page.get_by_role("button", name=OPEN)).to_be_visible()
    assert [urlsplit(url).path for url in of_bot] == ["/widget.js"]
    open_chat(page)
    assert "/embed" in {urlsplit(url).path for url in of_bot}


def test_a_visitor_asks_and_gets_an_answer_with_its_source(page: Any, site: str) -> None:
    page.goto(site)
    events(page)
    chat = open_chat(page)
    expect(chat.locator("#greeting")).to_have_text("Ahoy! What are you looking for?")
    expect(chat.locator(".example")).to_have_count(3)
    expect(chat.locator("#message")).to_be_focused()
    ask(chat)
    expect(chat.locator("article[data-state=done] .text")).to_contain_text("5 to 10 business days")
    chat.locator(".cite").first.click()
    expect(chat.locator(".card").first).to_contain_text("Refunds")
    assert [detail["role"] for detail in noted(page, "message", 2)] == ["user", "assistant"]


@pytest.mark.parametrize("name", SITE_NAMES, ids=["of another site", "of the same site"])
def test_a_visitor_is_known_on_the_next_page_without_a_cookie(page: Any, site: str, name: str) -> None:
    page.goto(site.replace(SITE_NAMES[0], name))
    chat = open_chat(page)
    if name == SITE_NAMES[0]:  # where this browser forbids cookies, and the frame's storage, too
        assert page.frames[1].evaluate("(document.cookie = 'tried=1; SameSite=None', document.cookie)") == ""
    ask(chat)
    answered(chat)
    page.reload()
    answered(chat_of(page))  # the conversation is open again
    chat_of(page).locator("#open-list").click()
    chat_of(page).locator("#new").click()
    open_conversation(page, is_one=False)
    page.reload()
    expect(titles(chat_of(page))).to_have_text(["When do refunds reach my card?"])
    expect(chat_of(page).locator("article")).to_have_count(0)
    assert page.context.cookies() == []


def test_a_conversation_that_was_open_is_for_its_reader_alone(page: Any, site: str) -> None:
    page.goto(site)
    sign_in(page, "Nora")
    ask(open_chat(page))
    answered(chat_of(page))
    conversation = open_conversation(page, is_one=True)
    assert conversation.isdigit()
    sign_out(page)
    chat = chat_of(page)
    expect(chat.locator("#message")).to_be_enabled()
    expect(chat.locator("#welcome")).to_be_visible()
    expect(chat.locator(".turn")).to_have_count(0)
    expect(chat.locator("#connection")).to_be_hidden()
    open_conversation(page, is_one=False)
    page.evaluate("([place, id]) => sessionStorage.setItem(place, id)", [PLACE, conversation])
    sign_in(page, "Nora")
    answered(chat_of(page))


def test_signing_in_joins_the_conversation_and_nobody_else_sees_it(page: Any, site: str) -> None:
    page.goto(site)
    chat = open_chat(page)
    ask(chat, "How do I reset my password, please?")
    answered(chat)
    chat.locator("#message").fill("a draft of the visitor")
    sign_in(page, "Nora")
    expect(titles(chat_of(page)).first).to_have_text("How do I reset my password, please?")
    page.keyboard.press("Escape")
    ask(chat_of(page))  # visitors have one message an hour here, and Nora a hundred
    answered(chat_of(page))
    sign_out(page)
    expect(titles(chat_of(page))).to_have_count(0)
    sign_in(page, "Ole")
    expect(titles(chat_of(page)).filter(has_text="please")).to_have_count(0)
    expect(chat_of(page).locator("#message")).to_have_value("")
    sign_out(page)
    sign_in(page, "Nora")
    expect(titles(chat_of(page)).filter(has_text="How do I reset my password, please?").first).to_be_visible()


def test_a_site_of_one_page_signs_in_and_out_without_loading_it(page: Any, site: str, demo: Any) -> None:
    page.goto(site)
    page.evaluate("document.querySelector('fabra-widget').removeAttribute('token-url')")
    chat = open_chat(page)
    ask(chat, "How do I reset my password?")
    answered(chat)
    page.evaluate("token => document.querySelector('fabra-widget').identify(token)", demo.demo.token_for("user_5"))
    expect(chat.locator("body")).to_have_attribute("data-user-id", "user_5")
    expect(chat.locator("article[data-state=done] .text")).to_contain_text("60 minutes")  # it stays open
    ask(chat, "When do refunds reach my card?")
    answered(chat, 2)
    page.evaluate("document.querySelector('fabra-widget').signOut()")
    expect(chat.locator("#message")).to_be_enabled()
    expect(chat.locator(".turn")).to_have_count(0)
    expect(titles(chat)).to_have_count(0)


def said_as_visitor(page: Any, site: str) -> None:
    """Ask as a visitor, close the chat, and leave the page."""
    page.goto(site)
    ask(open_chat(page), "How do I reset my password, please?")
    answered(chat_of(page))
    page.get_by_role("button", name=CLOSE).first.click()
    page.goto(site, wait_until="networkidle")


def is_told_to(page: Any, user: str) -> bool:
    """Open the chat, and return whether it knows what the visitor said."""
    chat = open_chat(page)
    assert chat.locator("body").get_attribute("data-user-id").startswith(user)
    titles(chat)
    chat.locator("#list .name, #list-note:not([hidden])").first.wait_for()  # of what the server has answered
    return bool(chat.locator("#list .name").filter(has_text="please").count())


@pytest.mark.parametrize("others", [["Ole"], []], ids=["another user", "nobody"])
def test_what_a_visitor_said_is_for_nobody_after_the_first_who_signed_in_without_opening_the_chat(
    others: list[str], page: Any, site: str
) -> None:
    said_as_visitor(page, site)
    for name in ["Nora", *others]:
        sign_in(page, name)
        noted_user = "place => localStorage.getItem(place)"
        page.wait_for_function(noted_user, arg=f"fabra-widget:{PUBLIC_KEY}:user")
        if name == "Nora":
            sign_out(page)
    assert not is_told_to(page, "user_6" if others else "visitor:")


def test_what_a_visitor_said_is_for_the_first_who_signs_in_also_where_they_open_the_chat_later(
    page: Any, site: str
) -> None:
    said_as_visitor(page, site)
    sign_in(page, "Nora")
    page.goto(site, wait_until="networkidle")
    assert is_told_to(page, "user_5")


@pytest.mark.parametrize("between", ["widget.signOut()", "0"], ids=["signed out", "another token"])
def test_the_same_on_a_site_of_one_page_and_when_the_chat_is_loaded_again(
    between: str, page: Any, site: str, demo: Any
) -> None:
    said_as_visitor(page, site)
    page.evaluate(
        f"""([nora, ole]) => {{
          const widget = document.querySelector("fabra-widget");
          widget.removeAttribute("token-url");
          widget.identify(nora);
          {between};
          widget.identify(ole);
        }}""",
        [demo.demo.token_for("user_5"), demo.demo.token_for("user_6")],
    )
    assert not is_told_to(page, "user_6")
    page.evaluate("document.querySelector('fabra-widget').signOut()")
    chat = chat_of(page)
    expect(chat.locator("body")).to_have_attribute("data-user-id", re.compile("^visitor:"))
    ask(chat)
    answered(chat)
    page.evaluate("token => document.querySelector('fabra-widget').identify(token)", demo.demo.token_for("user_5"))
    expect(chat.locator("body")).to_have_attribute("data-user-id", "user_5")
    expect(chat.locator("article[data-state=done] .text")).to_contain_text("5 to 10 business days")


@pytest.fixture
def early_site(demo: Any) -> Iterator[str]:
    """A site whose page has the widget's script, and one that waits for it, before its body."""
    page = f"""<!doctype html><html lang="en"><head><title>Shop</title>
      <script src="{demo.demo.bot_url}/widget.js" data-key="{PUBLIC_KEY}"></script>
      <script type="module">
        await customElements.whenDefined("fabra-widget");
        document.querySelector("fabra-widget").setAttribute("label", "Ask the shop");
      </script></head><body><p>Shop</p></body></html>"""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_whoever_waits_for_its_definition_finds_it_in_the_page(page: Any, early_site: str) -> None:
    page.goto(early_site)
    expect(page.get_by_role("button", name="Ask the shop")).to_be_visible()


def test_a_widget_that_is_taken_from_the_page_loads_nothing_and_opens_again_where_it_is_put_back(
    page: Any, site: str
) -> None:
    page.goto(site)
    open_chat(page)
    frames = """() => {
      window.taken = document.querySelector("fabra-widget");
      taken.remove();
      return taken.shadowRoot.querySelectorAll("iframe").length;
    }"""
    assert page.evaluate(frames) == 0
    page.evaluate("document.body.append(taken)")
    expect(chat_of(page).locator("#message")).to_be_enabled()


def test_a_request_that_the_sign_in_overtakes_does_not_undo_it(page: Any, site: str, demo: Any) -> None:
    page.goto(site)
    page.evaluate("document.querySelector('fabra-widget').removeAttribute('token-url')")
    chat = open_chat(page)
    ask(chat, "How do I reset my password?")
    answered(chat)
    page.wait_for_load_state("networkidle")
    searched = hold(page, "**/api/conversations/?*")
    titles(chat)
    chat.locator("#search").fill("password")
    searched()
    loaded = hold(page, "**/embed?*")
    page.evaluate("token => document.querySelector('fabra-widget').identify(token)", demo.demo.token_for("user_5"))
    loaded()  # the session is the user's, and the page not yet
    with page.expect_response("**/api/conversations/?*") as response:
        searched().continue_()
    assert response.value.status == 401  # the visitor is no more
    page.wait_for_timeout(200)  # in which the page could do the wrong thing
    loaded().continue_()
    expect(chat.locator("body")).to_have_attribute("data-user-id", "user_5")


@pytest.mark.parametrize("token_seconds", [300, 20])
def test_a_session_is_not_renewed_all_the_time_where_clocks_differ_or_tokens_are_short(
    page: Any, site: str, demo: Any, token_seconds: float
) -> None:
    demo.demo = replace(demo.demo, token_seconds=token_seconds)
    page.add_init_script("const now = Date.now; Date.now = () => now() + 5 * 60 * 1000;")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    began = time.monotonic()
    page.goto(site)
    sign_in(page, "Nora")
    chat = open_chat(page)
    page.wait_for_timeout(3000)
    most = 1 + int((time.monotonic() - began) / 10)  # where all of it took so long that it was due again
    assert 1 <= asked.count("/embed/session") <= most and 1 <= asked.count("/token") <= most
    expect(chat.locator("#message")).to_be_enabled()


def test_an_expired_token_is_renewed_by_its_address(page: Any, site: str, demo: Any) -> None:
    demo.demo = replace(demo.demo, token_seconds=6)
    page.goto(site)
    sign_in(page, "Nora")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url) if request.url.endswith("/token") else None)
    chat = open_chat(page)
    first = len(fetched)
    demo.demo = replace(demo.demo, token_seconds=300)
    page.wait_for_timeout(6500)
    ask(chat, "When do refunds reach my card?")
    answered(chat)
    assert len(fetched) > first


def test_a_site_that_gives_tokens_itself_is_asked_for_a_new_one(page: Any, site: str, demo: Any) -> None:
    page.goto(site)
    old = replace(demo.demo, token_seconds=-100).token_for("user_5")
    page.evaluate(
        """([old, fresh]) => {
          const widget = document.querySelector("fabra-widget");
          widget.removeAttribute("token-url");
          widget.setAttribute("token", old);
          widget.addEventListener("token", (event) => {
            event.preventDefault();
            setTimeout(() => widget.identify(fresh), 50);
          });
        }""",
        [old, demo.demo.token_for("user_5")],
    )
    events(page)
    chat = open_chat(page)
    assert chat.locator("body").get_attribute("data-user-id") == "user_5"
    assert noted(page, "token") == [None]


def test_a_token_that_is_wrong_makes_a_visitor_and_the_site_learns_it(page: Any, site: str, demo: Any) -> None:
    demo.demo = replace(demo.demo, secret="of-another-bot-and-long-enough-for-it")
    page.goto(site)
    sign_in(page, "Nora")
    events(page)
    chat = open_chat(page)
    assert chat.locator("body").get_attribute("data-user-id").startswith("visitor:")
    assert noted(page, "failed") == [{"code": "user_token_invalid"}]


def test_the_site_learns_that_a_person_was_asked(page: Any, site: str) -> None:
    page.goto(site)
    sign_in(page, "Ole")
    events(page)
    chat = open_chat(page)
    ask(chat)
    answered(chat)
    chat.get_by_role("button", name="Talk to a person").click()
    expect(chat.locator("#presence")).to_contain_text("A person was asked to join.")
    assert [set(detail) for detail in noted(page, "escalated")] == [{"conversation_id"}]


def test_what_comes_while_the_panel_is_closed_is_counted(page: Any, site: str) -> None:
    page.goto(site)
    sign_in(page, "Nora")
    chat = open_chat(page)
    chat.locator("#close-chat").click()
    expect(page.get_by_role("button", name=OPEN)).to_be_focused()
    page.frames[1].evaluate(
        """() => {
          const field = document.querySelector("#message");
          field.value = "When do refunds reach my card?";
          field.dispatchEvent(new Event("input"));
          document.querySelector("#composer").requestSubmit();
        }"""
    )
    expect(page.get_by_role("button", name="one new message")).to_be_visible()
    assert page.locator("fabra-widget").get_attribute("unread") == "1"
    page.get_by_role("button", name="one new message").click()
    expect(page.locator("fabra-widget")).not_to_have_attribute("unread", "1")
    answered(chat)


def test_the_keyboard_opens_and_closes_it_and_the_focus_returns(page: Any, site: str) -> None:
    page.goto(site)
    page.get_by_role("button", name=OPEN).focus()
    page.keyboard.press("Enter")
    chat = chat_of(page)
    expect(chat.locator("#message")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("fabra-widget dialog")).to_be_hidden()
    expect(page.get_by_role("button", name=OPEN)).to_be_focused()
    page.keyboard.press("Enter")
    expect(chat.locator("#message")).to_be_focused()
    page.get_by_role("button", name=CLOSE, exact=True).first.focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=OPEN)).to_be_focused()


def test_the_page_can_open_and_dress_it(page: Any, site: str) -> None:
    page.goto(site)
    events(page)
    page.evaluate("document.querySelector('fabra-widget').setAttribute('open', '')")
    chat = chat_of(page)
    expect(chat.locator("#message")).to_be_enabled()
    page.evaluate(
        """() => {
          const widget = document.querySelector("fabra-widget");
          const look = { accent: "#ffd400", greeting: "<b>Hi</b>", starters: "One?|Two?", position: "left" };
          for (const [name, value] of Object.entries(look)) widget.setAttribute(name, value);
        }"""
    )
    expect(chat.locator("#greeting")).to_have_text("<b>Hi</b>")
    expect(chat.locator(".example")).to_have_text(["One?", "Two?"])
    assert chat.locator(".top").evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(255, 212, 0)"
    assert page.locator("fabra-widget dialog").bounding_box()["x"] < 40
    page.evaluate("document.querySelector('fabra-widget').close()")
    assert [len(noted(page, name)) for name in ("open", "close")] == [1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"color_scheme": "light", "reduced_motion": "reduce"},
        {"color_scheme": "dark", "reduced_motion": "reduce", **PHONE},
        {"color_scheme": "dark", "reduced_motion": "reduce", "locale": "de-DE"},
    ],
    ids=["wide", "phone, dark", "German, dark"],
)
@pytest.mark.parametrize("accent", ["#1d4f91", "#ffd400"])
def test_axe_finds_nothing(new_page: Any, site: str, options: dict[str, Any], accent: str) -> None:
    page = new_page(**options)
    page.goto(site)
    page.evaluate("accent => document.querySelector('fabra-widget').setAttribute('accent', accent)", accent)
    assert_accessible(page)
    page.locator("fabra-widget .launcher").click()
    chat = chat_of(page)
    expect(chat.locator("#message")).to_be_enabled()
    assert_accessible(page)
    ask(chat)
    answered(chat)
    chat.locator(".cite").first.click()
    assert_accessible(page)
    chat.locator("#open-list").click()
    assert_accessible(page)


def assert_accessible(page: Any) -> None:
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_on_a_phone_it_has_the_whole_screen_and_keeps_the_focus(new_page: Any, site: str) -> None:
    page = new_page(reduced_motion="reduce", **PHONE)
    page.goto(site)
    page.locator("fabra-widget .launcher").tap()
    chat = chat_of(page)
    expect(chat.locator("#message")).to_be_focused()
    box = page.locator("fabra-widget dialog").bounding_box()
    assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 390, 844)
    assert page.locator("fabra-widget dialog").evaluate("node => node.matches(':modal')")
    assert page.frames[1].evaluate("document.documentElement.scrollWidth") <= 390
    chat.locator("#close-chat").tap()
    expect(page.locator("fabra-widget dialog")).to_be_hidden()
    page.reload()  # it does not cover the next page by itself
    expect(page.locator("fabra-widget dialog")).to_be_hidden()


def test_a_wrong_origin_is_refused_with_a_code_and_another_sites_name_does_not_help(
    browser: Any, site: str, site_port: int, demo: Any
) -> None:
    page = browser.new_page()
    page.goto(f"http://other.localhost:{site_port}/")  # the same server, by a name that the key is not for
    events(page)
    page.get_by_role("button", name=OPEN).click()
    expect(page.get_by_text("The chat is not available at the moment.")).to_be_visible()
    assert noted(page, "failed") == [{"code": "origin_forbidden"}]
    page.evaluate(
        """url => {
          const frame = document.createElement("iframe");
          frame.src = url;
          document.body.append(frame);
          return new Promise((resolve) => (frame.onload = () => resolve()));
        }""",
        f"{demo.demo.bot_url}/embed?key={PUBLIC_KEY}&origin={site.rstrip('/')}",
    )
    # Chromium shows a page of its own in the place of one that may not be framed, whose address it may not tell yet.
    assert [frame.url.startswith("http") for frame in page.frames[1:]] == [True, False]
    page.close()


def test_a_key_that_is_none_says_so_quietly(page: Any, site: str) -> None:
    page.goto(site)
    events(page)
    page.evaluate("document.querySelector('fabra-widget').setAttribute('key', 'fabra_pub_none')")
    page.get_by_role("button", name=OPEN).click()
    expect(page.get_by_text("The chat is not available at the moment.")).to_be_visible()
    assert noted(page, "failed") == [{"code": "invalid_api_key"}]
    page.get_by_role("button", name=CLOSE).first.click()
    expect(page.locator("fabra-widget dialog")).to_be_hidden()


def test_who_is_signed_in_to_the_bot_itself_is_somebody_else_in_the_frame(
    page: Any, site: str, servers: tuple[Server, Server]
) -> None:
    page.goto(f"{servers[0].url}login/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.locator(".signed-in").wait_for()
    page.goto(site.replace(*SITE_NAMES))
    chat = open_chat(page)
    assert chat.locator("body").get_attribute("data-user-id").startswith("visitor:")
    expect(chat.locator(".signed-in")).to_have_count(0)


def test_a_message_of_another_window_is_not_the_sites(page: Any, site: str) -> None:
    page.goto(site)
    chat = open_chat(page)
    ask(chat)
    answered(chat)
    # From the frame itself, as a page that opened the bot's would do it: neither the parent nor its origin.
    page.frames[1].evaluate("postMessage({ fabra: 'token', token: null }, '*')")
    page.evaluate("postMessage({ fabra: 'close' }, '*')")
    page.wait_for_timeout(300)
    answered(chat)
    expect(page.locator("fabra-widget dialog")).to_be_visible()
