"""The chat page in a real browser, against a real server: answers, safety, stopping, errors and reconnecting."""

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.chat.browser import CHROMIUM, FLAGS, Server, own_database

HOSTILE = "<script>document.title='run'</script> <img src=x onerror=\"document.title='run'\">"
RESET = (
    f"# Reset your password\n\nClick **Forgot password?**. The link in the mail is valid for 60 minutes.\n\n{HOSTILE}"
)
MODEL_ANSWER = [
    "Use the **link in the *mail*** [1], not [9].\n\nFilters\n---\n\n| Filter | Calls |\n",
    "|---|--:|\n| `open\\|late` | 5 |\n\n",
    HOSTILE,
    "\n\n[bad](javascript:alert(1))",
]
REFUNDS = "# Refunds\n\nRefunds reach your card after 5 to 10 business days."

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: run `make test`")
expect = playwright.expect
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium")


class StubModel(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that streams: slowly where the question says so, else at once."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"]
        if "break" in question:
            self.send_error(400)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        is_slow = "slowly" in question
        pieces = ["A **first** block.\n\n", *["word "] * 600] if is_slow else MODEL_ANSWER
        try:
            for piece in pieces:
                self._send({"index": 0, "delta": {"content": piece}})
                time.sleep(0.05 if is_slow else 0)
            self._send({"index": 0, "delta": {}, "finish_reason": "stop"})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            pass  # the reader stopped it

    def _send(self, choice: dict[str, Any]) -> None:
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "stub", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, *args: Any) -> None:
        pass


PREPARE = """
import json, sys
from chat.models import Customer
from retrieval.indexing.documents import index_document
for entity_id, text in json.load(sys.stdin).items():
    link = {"url": "https://docs.example.com/refunds/"} if entity_id == "refunds" else {"url": "javascript:alert(1)"}
    index_document("knowledge_base", entity_id, text, link)
Customer.objects.create(user_id="user_1", name="Mara <b>L</b>", tier="premium")
Customer.objects.create(user_id="user_2", name="Jonas", tier="free")
"""


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What a server of this file runs with."""
    with own_database(PREPARE, json.dumps({"reset": RESET, "refunds": REFUNDS}), FABRA_LIMIT_DEFAULT="1") as variables:
        yield variables


@pytest.fixture(scope="module")
def servers(environment: dict[str, str]) -> Iterator[tuple[Server, Server]]:
    """One server without a model, and one with the stub."""
    stub = ThreadingHTTPServer(("127.0.0.1", 0), StubModel)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    model = {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": f"http://127.0.0.1:{stub.server_port}/v1"}
    both = Server(**environment), Server(**environment | model)
    try:
        yield both[0].wait(), both[1].wait()
    finally:
        for server in both:
            server.stop()
        stub.shutdown()


@pytest.fixture(scope="module")
def browser(servers: tuple[Server, Server]) -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a new browser profile; what goes wrong in it fails the test."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    # A file that does not load, or what the page's security policy forbids.
    opened.on("console", lambda said: wrong.append(said.text) if "policy" in said.text.lower() else None)
    yield opened
    context.close()
    assert not wrong


def ask(page: Any, question: str) -> None:
    page.get_by_label("Your message").fill(question)
    page.get_by_label("Your message").press("Enter")


def assert_nothing_ran(page: Any) -> None:
    assert page.title() == "Support chat"
    assert page.locator("main script, main img").count() == 0


def test_a_question_gets_its_answer_and_source(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    expect(page.get_by_role("heading", name="How can we help?")).to_be_visible()
    expect(page.locator("#tier")).to_have_text("premium")
    ask(page, "How do I reset my password?")
    expect(page.locator(".text")).to_contain_text("valid for 60 minutes")
    expect(page.locator(".meta")).to_contain_text("No language model is configured")
    expect(page.locator(".meta")).to_contain_text("of 8,000 tokens")
    expect(page.locator(".meta")).to_contain_text("99 of 100 messages left")
    expect(page.get_by_role("link", name="Why this answer?")).to_have_attribute(
        "href", re.compile(r"^/admin/contexts/trace/[0-9a-f-]{36}/change/$")
    )
    page.locator(".cite").first.click()
    card = page.locator(".card").first
    expect(card).to_contain_text("Reset your password")
    expect(card.locator("blockquote")).to_be_visible()
    expect(card.locator("a")).to_have_count(0)  # what is no web address is no link

    page.reload()
    expect(page.locator(".text")).to_contain_text("valid for 60 minutes")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading", name="How can we help?")).to_be_visible()
    assert page.locator(".turn").count() == 0


def test_a_source_links_to_its_page(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    ask(page, "When do refunds reach my card?")
    page.locator(".cite").first.click()
    for link in (page.locator(".card a").first, page.locator(".text a").first):
        expect(link).to_be_visible()
        expect(link).to_have_attribute("href", "https://docs.example.com/refunds/")
        expect(link).to_have_attribute("rel", re.compile("noopener"))
        expect(link).to_have_attribute("target", "_blank")
    expect(page.locator(".card a").first).to_have_text("docs.example.com/refunds")


def test_markup_of_question_and_document_is_text(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[0].url)
    expect(page.locator("#user")).to_contain_text("Mara <b>L</b>")
    ask(page, f"reset my password {HOSTILE}")
    expect(page.locator(".question")).to_contain_text(HOSTILE)
    expect(page.locator(".text")).to_contain_text(HOSTILE)
    page.locator(".cite").first.click()
    expect(page.locator(".card").first.locator("blockquote")).to_contain_text(HOSTILE)
    assert_nothing_ran(page)


def test_markdown_of_a_model_is_rendered_safely(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[1].url)
    ask(page, "How do I reset my password?")
    expect(page.locator(".meta")).to_contain_text("stub")
    text = page.locator(".text")
    expect(text.locator("strong")).to_have_text("link in the mail")
    expect(text.locator("strong em")).to_have_text("mail")
    expect(text.locator("h4")).to_have_text("Filters")
    expect(text.locator("td code")).to_have_text("open|late")
    expect(text.locator("td").nth(1)).to_have_css("text-align", "right")
    expect(text).to_contain_text(HOSTILE)
    expect(text).to_contain_text("not [9]")
    expect(text.locator("p").last).to_have_text("bad")
    expect(text.locator("a")).to_have_count(0)
    page.reload()
    expect(text.locator("strong em")).to_have_text("mail")
    page.get_by_role("button", name="Source 1: Reset your password").click()
    expect(page.locator(".card blockquote").first).to_be_visible()
    assert_nothing_ran(page)


def test_stop_keeps_what_was_written(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[1].url)
    ask(page, "Tell me slowly")
    expect(page.locator(".text")).to_contain_text("word word")
    expect(page.locator(".text p")).to_have_count(2)  # what is finished, rendered, and the rest as text
    expect(page.locator(".text strong")).to_have_text("first")
    page.get_by_label("Your message").fill("the next question")
    page.get_by_role("button", name="Stop the answer").click()
    expect(page.locator(".note")).to_have_text("Stopped before the end.")
    expect(page.get_by_label("Your message")).to_have_value("the next question")
    page.get_by_label("Your message").press("Enter")
    expect(page.locator(".turn").nth(1).locator(".meta")).to_contain_text("stub")


def test_errors_are_sentences_with_a_way_on(page: Any, servers: tuple[Server, Server]) -> None:
    page.goto(servers[1].url)
    ask(page, "break")
    expect(page.locator(".error")).to_contain_text("refused the request")
    expect(page.get_by_role("button", name="Try again")).to_be_enabled()

    page.get_by_label("Chat as").select_option("Jonas")
    ask(page, "How do I reset my password?")
    expect(page.locator(".meta")).to_contain_text("0 of 1 messages left")
    ask(page, "And when it does not work?")
    expect(page.locator(".error")).to_contain_text(
        re.compile(r"limit of 1 message is reached.* at \d+:\d+.*, in \d+ minutes")
    )
    expect(page.get_by_role("button", name="Try again")).to_be_disabled()

    page.get_by_label("Chat as").select_option("Mara <b>L</b>")
    expect(page.locator(".question")).to_have_text("You asked" + "break")


def test_reconnects_after_a_restart_and_sends_what_waited(page: Any, servers: tuple[Server, Server]) -> None:
    server = servers[0]
    page.goto(server.url)
    ask(page, "When do refunds reach my card?")
    expect(page.locator(".text")).to_contain_text("5 to 10 business days")
    server.stop()
    expect(page.locator("#connection")).to_contain_text("Connection lost")
    ask(page, "How do I reset my password?")
    expect(page.locator(".waiting")).to_contain_text("Your question is kept")
    server.start()
    server.wait()
    expect(page.locator(".turn").nth(1).locator(".text")).to_contain_text("valid for 60 minutes", timeout=20_000)
    expect(page.locator("#connection")).to_be_hidden()
