"""Servers and a browser for the tests of the chat page."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.chat.browser import FLAGS, Server, own_database
from tests.missing import require_browser, required
from tests.processes import free_port

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
TRAVEL = "# Travel\n\nBook trains in first class if the journey takes more than four hours."
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="#b3261e"/></svg>'
REFUNDS = "# Refunds\n\nRefunds reach your card after 5 to 10 business days."


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
        if "the link's time" in question:
            pieces = ["The link in the mail is **valid** for 60 minutes [1]. ", "Later it is valid for 15 days [1]."]
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
from chat.bots.logo import check_logo
from chat.models import ApiKey, Bot, Customer, UserSigning
from retrieval.indexing.documents import index_document
given = json.load(sys.stdin)
for entity_id, text in given["documents"].items():
    link = {"url": "https://docs.example.com/refunds/"} if entity_id == "refunds" else {"url": "javascript:alert(1)"}
    index_document("knowledge_base", entity_id, text, link)
Customer.objects.create(user_id="user_1", name="Mara <b>L</b>", tier="premium")
Customer.objects.create(user_id="user_2", name="Jonas", tier="free")
Customer.objects.create(user_id="user_3", name="Ida", tier="premium")
Customer.objects.create(user_id="user_4", name="Lea", tier="premium")
Customer.objects.create(user_id="user_5", name="Nora", tier="premium")
Customer.objects.create(user_id="user_6", name="Ole", tier="premium")
from django.contrib.auth.models import User
User.objects.create_superuser("admin", "", "of-the-test", first_name="Mia", last_name="Moll")
from django.contrib.auth.models import Group
holm = User.objects.create_user("bo", "", "of-the-test", first_name="Bo", last_name="Holm", is_staff=True)
holm.groups.add(Group.objects.get(name="Support agent"))
from retrieval.models import GoldenQuestion, Index
index = Index.objects.get(name="knowledge_base")
for question, more in {
    "When do refunds reach my card?": {"tags": ["suggested"]},
    "What a customer wrote": {},
    "For partners?": {"tags": ["suggested"], "audience": ["partner"]},
}.items():
    GoldenQuestion.objects.create(index=index, question=question, expected_documents=["refunds"], **more)
index_document("handbook", "travel", given["handbook"], {"url": "/handbook/travel/"})
people = Bot(slug="people", name="People Desk", accent="#b3261e", index="handbook", demo_users=["lea | Lea | gold"])
people.texts = {"en": {"greeting": "Ask the desk", "starters": ["May I take the train first class?"]}}
picture = check_logo(given["logo"].encode())
people.set_logo(picture.content, picture.media_type)
people.save()
for name, site in given["sites"].items():
    row = ApiKey(name=name, kind="public", scopes=["chat"], origins=site["origins"], bot=site.get("bot", ""))
    row.digest = ApiKey.digest_of(site["key"])
    row.save()
    UserSigning.objects.create(key=row, nonce=given["nonce"], user_prefix="")
"""
SITE_NAMES = ("localhost", "127.0.0.1")
"""A site's by the first name is another one than the bot's, and by the second the same: its cookies come along."""
PUBLIC_KEY, NONCE = "fabra_pub_of-the-widget", "of-the-test"
PEOPLE_KEY = "fabra_pub_of-the-people-desk"


@pytest.fixture(scope="package")
def site_port() -> int:
    """Where the site is that embeds the chat; known before it runs, since its key is for its origin."""
    return free_port()


@pytest.fixture(scope="package")
def environment(site_port: int) -> Iterator[dict[str, str]]:
    """What a server of this file runs with."""
    origins = [f"http://{name}:{site_port}" for name in SITE_NAMES]
    given = {
        "documents": {"reset": RESET, "refunds": REFUNDS},
        "handbook": TRAVEL,
        "logo": LOGO,
        "sites": {
            "widget": {"key": PUBLIC_KEY, "origins": origins},
            "people": {"key": PEOPLE_KEY, "origins": origins, "bot": "people"},
        },
        "nonce": NONCE,
    }
    with own_database(PREPARE, json.dumps(given), FABRA_LIMIT_DEFAULT="1") as variables:
        yield variables


@pytest.fixture(scope="package")
def servers(environment: dict[str, str]) -> Iterator[tuple[Server, Server]]:
    """One server without a model, and one with the stub."""
    stub = ThreadingHTTPServer(("127.0.0.1", 0), StubModel)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    model = {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": f"http://127.0.0.1:{stub.server_port}/v1"}
    both = Server(**environment), Server(**environment | model)
    try:
        for server in both:
            warm(server.wait())
        yield both
    finally:
        for server in both:
            server.stop()
        stub.shutdown()


def warm(server: Server) -> None:
    """Ask once, so that no test waits for the embedding model to be read."""
    body = json.dumps({"user_id": f"first-{server.port}", "message": "Hello?"}).encode()
    request = urllib.request.Request(f"{server.url}chat", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=60).close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    playwright = required("playwright.sync_api")
    path = require_browser()
    playwright.expect.set_options(timeout=60_000)
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=str(path), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Any, servers: tuple[Server, Server]) -> Iterator[Any]:
    """Return a function that opens a page of a new browser profile; what goes wrong in one fails the test."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def open_page(**options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        return watched(contexts[-1].new_page(), wrong)

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def page(new_page: Any) -> Any:
    return new_page()


def watched(page: Any, wrong: list[str]) -> Any:
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # A file that does not load, or what the page's security policy forbids.
    page.on("console", lambda said: wrong.append(said.text) if "policy" in said.text.lower() else None)
    return page


def ask(page: Any, question: str) -> None:
    page.locator("#message").fill(question)
    page.locator("#message").press("Enter")


def answered(page: Any, count: int = 1) -> None:
    """Wait until so many turns have their answers."""
    page.wait_for_function(
        "count => document.querySelectorAll('article[data-state=done]').length === count", arg=count, timeout=60_000
    )


def copied(page: Any, said: Any) -> str:
    """Press the button that copies what was said, and return what is pasted then."""
    page.bring_to_front()
    button = said.get_by_role("button", name="Copy").element_handle()
    # It says so for a moment only, once the text is in the clipboard.
    button.evaluate(
        "node => new MutationObserver(() => { node.dataset.isCopied = '' }).observe(node, { childList: true })"
    )
    button.click()
    page.wait_for_function("node => 'isCopied' in node.dataset", arg=button)
    page.locator("#message").press("Control+V")
    page.wait_for_function("() => document.getElementById('message').value")
    return str(page.locator("#message").input_value())
