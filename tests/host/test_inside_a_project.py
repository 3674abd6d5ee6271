"""The wheel in a Django project that has its own users, its own admin, and its own rules for REST and Celery."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from django.core.management.templates import TemplateCommand

from tests.docs.test_docs import HASHING
from tests.host.files import FILES, SETTINGS, URLS
from tests.processes import PROJECT, test_environment

PAGE = PROJECT / "docs" / "inside-your-project.md"
DATABASE = f"host_{os.getpid()}"


def run(*command: Any, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a copy, since building leaves files in the folder."""
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "tests", "bench", "docs", "build", "__pycache__", "*.egg-info")
    shutil.copytree(PROJECT, folder / "project", ignore=left_out)
    build = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    done = run(sys.executable, "-c", build, folder, cwd=folder / "project")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the wheel is installed in; its requirements are those of the environment."""
    folder = tmp_path_factory.mktemp("site")
    done = run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", folder, wheel)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the project as `django-admin startproject` does, then add the lines of the documentation."""
    folder = tmp_path_factory.mktemp("shop")
    TemplateCommand().handle("project", "shop", str(folder), **_OPTIONS)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    lines = dict(re.findall(r"```py\n# (\w+)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL))
    for name, more in {"settings": SETTINGS, "urls": "from django.urls import include\n" + URLS, "asgi": ""}.items():
        path = folder / "shop" / f"{name}.py"
        path.write_text(f"{path.read_text()}{more}{lines[name]}")
    return folder


_OPTIONS: dict[str, Any] = {
    "extensions": ["py"], "files": [], "template": None, "verbosity": 0, "exclude": None, "secret_key": "of-the-shop",
}  # fmt: skip


@pytest.fixture(scope="module")
def database(django_db_setup: None) -> Iterator[str]:
    parts = urlsplit(settings.DATABASE_URL)
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        yield urlunsplit(parts._replace(path=f"/{quote(DATABASE)}"))
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture(scope="module")
def came(shop: Path, site: Path, database: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what the visitor of the project saw."""
    document = tmp_path_factory.mktemp("help") / "refunds.md"
    document.write_text("# Refunds\n\nA refund takes 14 days after the parcel has come.\n")
    environment = test_environment(
        **HASHING, DJANGO_SETTINGS_MODULE="shop.settings", SHOP_DATABASE=database, DATABASE_URL="", DEBUG="0",
        PYTHONPATH=os.pathsep.join(map(str, (shop, site, PROJECT / "tests"))), FABRA_REDIS_PREFIX=DATABASE,
    )  # fmt: skip
    script = shutil.copy(PROJECT / "tests" / "host" / "visit.py", shop)
    done = run(sys.executable, script, document, cwd=shop, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_wheel_has_all_that_the_packages_need(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for app in ("chat", "common", "contexts", "events", "features", "retrieval"):
        for kind in ("templates", "static", "locale", "migrations"):
            lying = (path for path in (PROJECT / app).rglob("*") if kind in path.relative_to(PROJECT / app).parts)
            missing = {str(path.relative_to(PROJECT)) for path in lying if path.is_file() and path.suffix != ".pyc"}
            assert missing <= names
    assert {"retrieval/search/sql/ranking.sql", "fabra/py.typed", "chat/sample/users.json"} <= names


def test_a_question_is_answered(came: Any) -> None:
    answer = came["visited"]["chat"]
    assert answer["status"] == 200, answer["text"]
    assert "14 days" in json.loads(answer["text"])["response"]


def test_a_row_of_the_project_is_a_document_and_a_citation_leads_to_it(came: Any) -> None:
    answer = came["visited"]["object"]
    assert answer["status"] == 200, answer["text"]
    links = {citation["document_id"]: citation["url"] for citation in json.loads(answer["text"])["citations"]}
    of_groups = [url for name, url in links.items() if name.startswith("auth.group:")]
    assert of_groups and all(url.startswith("https://shop.example/groups/") for url in of_groups), links


def test_forms_offer_the_languages_that_the_bot_speaks_where_the_project_chose_none(came: Any) -> None:
    for form, field in (("bot form", "greeting_"), ("handover form", "text_")):
        codes = set(re.findall(rf'name="{field}([a-z-]+)"', came["visited"][form]["text"]))
        assert codes == {"en", "de"}, form


def test_checks_find_nothing(came: Any) -> None:
    assert "common.W003" in came["checked without a router"]
    assert "people_person" in came["tables of the archive"]
    assert not [name for name in came["tables of the archive"] if name.startswith(("chat_", "retrieval_", "events_"))]
    assert "no issues" in came["checked"] and "No changes detected" in came["checked"], came["checked"]


def test_the_chat_page_calls_the_path_that_it_is_at(came: Any) -> None:
    page = came["visited"]["page"]
    assert 'data-root="/fabra/"' in page["text"] and 'data-user-id="boss@shop.example"' in page["text"]
    assert "default-src 'none'" in page["headers"]["Content-Security-Policy"]


def test_the_bots_api_has_its_own_rules(came: Any) -> None:
    visited = came["visited"]
    row = json.loads(visited["conversations"]["text"])["results"][0]
    assert re.match(r"\d{4}-\d\d-\d\dT", row["created_at"]), row
    assert json.loads(visited["refused"]["text"])["error"]["code"]
    assert visited["refused"]["status"] in (401, 403)
    paths = json.loads(visited["schema"]["text"])["paths"]
    assert "/fabra/chat" in paths and all(path.startswith("/fabra/") for path in paths)


def test_an_address_below_the_bots_api_that_is_none_gets_its_error(came: Any) -> None:
    unknown = came["visited"]["unknown"]
    assert (unknown["status"], json.loads(unknown["text"])["error"]["code"]) == (404, "not_found")


def test_the_sign_in_asks_for_what_the_projects_users_have(came: Any) -> None:
    text = came["visited"]["sign-in"]["text"]
    assert re.search(r'<label for="id_username">Email', text) and "User name" not in text


def test_a_stranger_gets_what_is_for_everyone_where_the_project_wants_a_login(came: Any) -> None:
    visited = came["visited"]
    for name in ("sign-in", "healthz", "widget", "sign-in of the admin"):
        assert visited[name]["status"] == 200, (name, visited[name])
    page = visited["page of a stranger"]
    assert (page["status"], page["headers"]["Location"]) == (302, "/fabra/login/?next=/fabra/")


def test_the_projects_api_has_its_own_rules_still(came: Any) -> None:
    visited = came["visited"]
    assert visited["orders"]["status"] == 401 and "ShopError" in visited["orders"]["text"]
    assert visited["open"]["text"] == '{"OrderCount":3}'
    assert not {"Content-Security-Policy", "Cache-Control"} & visited["open"]["headers"].keys()
    assert visited["open again"]["status"] == 429


def test_the_projects_settings_are_as_before(came: Any) -> None:
    assert came["changed"] == [] and came["first apps"]


def test_the_bot_has_an_admin_of_its_own_and_the_projects_keeps_its_look(came: Any) -> None:
    assert came["signed in"] == [302, "/fabra/admin/"]
    visited = came["visited"]
    for name in ("bot admin", "bot list", "inbox", "form"):
        assert visited[name]["status"] == 200, name
        assert "admin/fabra.css" in visited[name]["text"] and 'href="/fabra/admin/' in visited[name]["text"], name
    own = visited["own admin"]["text"]
    assert "Django administration" in own and "unfold" not in own and "/fabra/" not in own


def test_the_page_of_each_row_leads_to_the_bots_own_admin(came: Any) -> None:
    pages = came["of rows"]
    assert {"contexts.Trace", "chat.Feedback", "chat.Conversation", "retrieval.Document"} <= pages.keys()
    assert {page["status"] for page in pages.values()} == {200}
    assert not [label for label, page in pages.items() if 'href="/admin/' in page["text"]]
    assert "Which refund?" in pages["contexts.Trace"]["text"]


def test_tasks_go_to_the_projects_own_celery(came: Any) -> None:
    main, keys, is_acknowledged_late = came["queue"]
    assert main == "shop" and "errands" in keys and "state" not in keys
    assert is_acknowledged_late


def test_a_change_in_another_database_is_told_of_once_it_is_committed(came: Any) -> None:
    assert came["told"] == [0, 1]


def test_the_asgi_application_is_wrapped_in_one_line(came: Any) -> None:
    assert came["asgi"].startswith("with_bot")


def test_a_package_that_hides_one_of_the_bots_is_told_with_what_to_do(site: Path, tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "__init__.py").touch()
    code = "from fabra.hosting import bot_apps; bot_apps([])"
    done = run(sys.executable, "-c", code, cwd=tmp_path, env={"PYTHONPATH": str(site)})
    assert f"`events` is hidden by {tmp_path / 'events'}: rename that package" in done.stderr


def test_an_app_with_a_label_of_the_bots_is_told_with_what_to_do(site: Path, tmp_path: Path) -> None:
    (tmp_path / "store" / "events").mkdir(parents=True)
    (tmp_path / "store" / "events" / "__init__.py").touch()
    code = (
        "import django; from django.conf import settings; from fabra.hosting import bot_apps; "
        "settings.configure(INSTALLED_APPS=['store.events', 'events']); django.setup()"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path, env={"PYTHONPATH": str(site)})
    assert "Your app store.events and the bot's have the label `events`" in done.stderr
