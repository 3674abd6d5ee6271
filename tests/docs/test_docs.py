"""The documentation works: its Python runs, its commands and links exist, its settings are those of the code."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management.color import no_style
from django.db import connection
from django.test import Client
from django.urls import resolve
from rest_framework import exceptions

from chat.models import ApiKey, Conversation, Customer, Ticket
from fabra.core import FeatureStore
from tests.docs import checks
from tests.docs.pages import (
    FRAGMENTS,
    PAGES,
    PROJECT,
    SHELL,
    anchors,
    blocks,
    languages,
    links,
    name_of,
    pages_with,
    spans,
)
from tests.docs.shell import API_KEY, Call, run
from tests.processes import Processes, test_environment

ADDRESS = "localhost:8000"
"""Where `make up` listens; a page whose Python calls it gets a server."""
README_MAX_LINES = 150
LINE_MAX_CHARS = 120
IMAGE_MAX_BYTES = 200_000
# The WebSocket, beginnings of addresses, another server's address, and a file.
OTHER_ADDRESSES = (
    "/ws/chat", "/api/", "/api/features/", "/api/feature-sets/", "/api/feature-sets/billing/user_123/", "/api/traces/",
    "/api/messages/", "/debug/context/", "/embeddings", "/usr/bin/chromium", "/mcp",
)  # fmt: skip
HASHING = {"FABRA_EMBEDDER": "retrieval.embedders.hashing.HashingEmbedder", "FABRA_EMBEDDING_MODEL": "hashing-256"}
ARTICLES = {
    "reset-your-password": "# Reset your password\n\nClick **Forgot password?** on the sign-in page.",
    "invoices": "# Invoices\n\nYou find your invoices under Billing. Pay by card or invoice.",
}

SETTINGS = PROJECT / "fabra_project"
_ADDRESS = r"(?:(?:GET|POST|DELETE) )?(/[\w/<>]*)"

# What a page declares is used, too.
USES = {
    "README.md": 'assert "invoice" in (await chat_context("user_123", "How do I pay an invoice?")).content',
    "docs/search.md": "assert await search_docs('invoices') and await search_billing('invoices')",
    "docs/events.md": """
from events.webhooks import sign
body, now = b'{"id": "e1", "event_type": "feedback_given"}', str(int(time.time()))
headers = {"X-Fabra-Timestamp": now, "X-Fabra-Signature": sign("old", now, body) + "," + sign("new", now, body)}
assert receive(headers, body, "new")["id"] == "e1" and receive(headers, body, "old") is None
try:
    raise AssertionError(receive(headers, body, "other"))
except PermissionError:
    pass
""",
    "docs/clients.md": "assert completion.fabra['citations'] and chunk.usage and 'password' in answer.content",
    "docs/features.md": """
assert await store.get_feature(open_tickets, "user_123") == 1
assert await store.get_features(billing, "user_123", request={"query": "A refund!"}) == {
    "user_tier": "premium", "open_cases": 1, "is_urgent": True,
}
assert "hand over" in (await billing_context("user_123", "Where is my refund?")).content
""",
}

# What stands around the fragments of a page, in its order; None where a package is not here.
AROUND: dict[str, list[str | None]] = {
    "docs/clients.md": [None],
    "docs/inside-your-project.md": [
        "from fabra_project import settings\nINSTALLED_APPS, MIDDLEWARE = [], []",
        "from django.urls import include, path\nurlpatterns = []",
        "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()",
    ],
    "docs/your-own-app.md": [""],
}

UNCHECKED = {"html", "javascript", "js", "mermaid", "text", "toml", "yaml"}

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def pages_of(*languages: str) -> Any:
    return pytest.mark.parametrize("page", pages_with(*languages), ids=name_of)


@pytest.fixture
def sample(settings: Any) -> None:
    """A small knowledge base without a model, two customers, and a webhook source."""
    settings.DEBUG = True
    settings.FABRA_EMBEDDER = HASHING["FABRA_EMBEDDER"]
    settings.FABRA_EMBEDDING_MODEL = HASHING["FABRA_EMBEDDING_MODEL"]
    store = FeatureStore()
    for entity_id, text in ARTICLES.items():
        async_to_sync(store.index)("knowledge_base", entity_id, text, {"category": "Billing", "updated": "2026-02-01"})
    ana = Customer.objects.create(user_id="user_123", name="Ana", tier="premium")
    Customer.objects.create(user_id="user_456", name="Ben", tier="free")
    Ticket.objects.create(customer=ana, number=101, subject="Invoice")


@pytest.mark.django_db(transaction=True)
@pages_of("python")
def test_the_python_of_a_page_runs(page: Path, sample: None, tmp_path: Path) -> None:
    found = blocks(page, "python")
    with Processes(tmp_path, FABRA_WEB="1", **HASHING) as processes:
        if any(ADDRESS in block.text for block in found):
            processes.start_web()
        files = []
        for number, block in enumerate(found):
            files.append(tmp_path / f"block_{number}.py")
            # The lines of a traceback are those of the page.
            lines = "\n" * (block.line - 1) + block.text
            files[-1].write_text(lines.replace(ADDRESS, f"localhost:{processes.port}"))
        files.append(tmp_path / "uses.py")
        files[-1].write_text(USES.get(name_of(page), ""))
        done = subprocess.run(
            [sys.executable, PROJECT / "tests" / "docs" / "run_blocks.py", *files],
            cwd=tmp_path, env=test_environment(**HASHING), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.django_db(transaction=True)  # a bulk request works in threads
@pages_of(*SHELL)
def test_the_commands_of_a_page_work(page: Path, sample: None, client: Client, tmp_path: Path) -> None:
    source = apps.get_model(*_label_of("WebhookSource")).objects.create(name="cms")
    _, key = ApiKey.make("docs", ApiKey.Scope.values)
    # The conversation of docs/chat.md, and who answers in it.
    Conversation.objects.create(pk=42, user_id="user_123")
    with connection.cursor() as cursor:  # or the page's own conversations might come to that number
        for statement in connection.ops.sequence_reset_sql(no_style(), [Conversation]):
            cursor.execute(statement)
    User.objects.create_superuser("admin")
    for block in blocks(page, *SHELL):
        calls = run(block.text, tmp_path, SECRET=source.secret, **{API_KEY: key})
        assert calls, f"{name_of(page)}:{block.line} calls nothing"
        for call in calls:
            checks.check_call(call, client)


@pytest.mark.django_db
@pages_of(*FRAGMENTS)
def test_the_fragments_of_a_page_fit_into_what_stands_around_them(page: Path) -> None:
    found = blocks(page, *FRAGMENTS)
    for block, given in zip(found, AROUND[name_of(page)], strict=True):
        checks.check_fragment("\n" * (block.line - 1) + block.text, str(page), given)


def test_every_block_is_of_a_language_that_is_checked_or_known_not_to_be() -> None:
    found = {language for page in PAGES for language in languages(page)}
    assert found - UNCHECKED == {*SHELL, *FRAGMENTS, "python", "json"}


@each_page
def test_commands_and_addresses_in_the_text_exist(page: Path) -> None:
    for span in spans(page):
        if span.startswith("manage.py "):
            checks.check_manage(shlex.split(span)[1:], is_mention=True)
        elif span.startswith(("make ", ".venv/bin/python ")):
            program, *arguments = shlex.split(span)
            checks.check_make(arguments) if program == "make" else checks.check_python(arguments)
        elif (found := re.fullmatch(_ADDRESS, span)) and found[1] not in OTHER_ADDRESSES:
            resolve(re.sub(r"<\w+>", "1", found[1]))


@each_page
def test_variables_in_the_text_exist(page: Path) -> None:
    checks.check_variables(re.findall(r"\b(?:FABRA|OPENAI)_[A-Z_]+\b", page.read_text()))


@pages_of("json")
def test_json_parses(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block.text)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{name_of(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name_of(page)}: {link}"


@each_page
def test_lines_are_short(page: Path) -> None:
    for number, line in enumerate(page.read_text().splitlines(), 1):
        assert len(line) <= LINE_MAX_CHARS, f"{name_of(page)}:{number}"


def test_the_readme_is_read_in_one_go() -> None:
    readme = (PROJECT / "README.md").read_text()
    assert readme.count("\n") < README_MAX_LINES
    pages = {name_of(page) for page in PAGES if name_of(page).startswith("docs/")}
    assert pages <= {link.partition("#")[0] for link in links(PROJECT / "README.md")}
    for picture in ("docs/images/chat.png", "docs/images/trace.png"):
        assert f"({picture})" in readme
        assert (PROJECT / picture).stat().st_size < IMAGE_MAX_BYTES


def test_the_recipes_name_files_that_exist() -> None:
    paths = [span for span in spans(PROJECT / "CONTRIBUTING.md") if re.fullmatch(r"\w+/[\w/]+\.(py|html|md)", span)]
    assert len(paths) > 10
    for path in paths:
        assert (PROJECT / path).is_file(), path


def test_the_settings_page_is_what_the_settings_say() -> None:
    made = checks.settings_page()
    assert made.PAGE.read_text() == made.page(), "run python docs/settings_page.py"
    assert made.MORE.keys() <= checks.known_variables()
    read = set(re.findall(r'environ(?:\.get\(|\[)"(FABRA_\w+)"', project_code()))
    assert made.OUTSIDE.keys() <= read, "nothing reads it"
    assert read <= checks.known_variables()


def test_the_error_codes_exist() -> None:
    rows = re.findall(r"^\| \d{3} \| (.+) \|$", (PROJECT / "docs" / "chat.md").read_text(), re.MULTILINE)
    documented = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert len(documented) > 20
    code = project_code() + Path(exceptions.__file__).read_text()
    assert not {setting for setting in documented if f'"{setting}"' not in code and f"'{setting}'" not in code}


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.+)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert re.findall(r"^  make ([\w-]+) +\S", shown, re.MULTILINE) == phony[1].split()


WRONG: dict[str, Callable[[Client], None]] = {
    "a command": lambda client: checks.check_manage(["indexx", "a"]),
    "an option": lambda client: checks.check_manage(["search", "a", "b", "--topk", "3"]),
    "a missing argument": lambda client: checks.check_manage(["index_documents", "./docs"]),
    "a target": lambda client: checks.check_make(["start"]),
    "a variable of make": lambda client: checks.check_make(["test", "TESTS=a"]),
    "a name of a module": lambda client: checks.check_fragment("from fabra.testing import nothing", "page", None),
    "a fragment": lambda client: checks.check_fragment("use(", "page", None),
    "a wheel": lambda client: checks.check_pip(["install", "dist/fabra_django-0.0.9-py3-none-any.whl"]),
    "an option of uv": lambda client: checks.check_uv(["build", "--wheels"]),
    "a script": lambda client: checks.check_python(["docs/nothing.py"]),
    "a variable": lambda client: checks.check_variables(["FABRA_NOTHING"]),
    "a queue": lambda client: checks.check_celery(["-A", "fabra_project", "worker", "--queues=none"]),
    "an address": lambda client: checks.check_curl(["localhost:8000/nothing/"], client),
    "a method": lambda client: checks.check_curl(["-X", "PUT", "localhost:8000/chat"], client),
    "JSON": lambda client: checks.check_curl(
        ["-X", "POST", "localhost:8000/chat", "-H", "Content-Type: application/json", "-d", "{'a'}"], client
    ),
    "a body": lambda client: checks.check_curl(
        ["-X", "POST", "localhost:8000/chat", "-H", "Content-Type: application/json", "-d", '{"user": "a"}'], client
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("check", WRONG.values(), ids=WRONG.keys())
def test_what_would_not_work_is_found(check: Callable[[Client], None], sample: None, client: Client) -> None:
    with pytest.raises((AssertionError, SyntaxError, ValueError)):
        check(client)


def test_a_script_is_recorded_as_the_shell_reads_it(tmp_path: Path) -> None:
    script = "FABRA_PORT=9 make up\nA='x y'\n.venv/bin/python manage.py search a \"$A\" \\\n  --json"
    assert run(script, tmp_path) == [
        Call(program="make", arguments=["up"], variables={"FABRA_PORT": "9"}),
        Call(program=".venv/bin/python", arguments=["manage.py", "search", "a", "x y", "--json"], variables={}),
    ]
    for wrong in ("git clone x", 'curl "$NOTHING"'):
        with pytest.raises(subprocess.CalledProcessError):
            run(wrong, tmp_path)


def project_code() -> str:
    """Return the Python of the project's apps and settings."""
    folders = [Path(app.path) for app in apps.get_app_configs() if Path(app.path).parent == PROJECT]
    return "".join(path.read_text() for folder in [*folders, SETTINGS] for path in folder.rglob("*.py"))


def _label_of(name: str) -> tuple[str, str]:
    (model,) = [model for model in apps.get_models() if model.__name__ == name]
    return model._meta.app_label, model._meta.model_name or ""
