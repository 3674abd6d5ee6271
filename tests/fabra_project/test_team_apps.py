"""`FABRA_APPS` adds a team's apps to the project, and `startbot` makes one whose tests pass."""

import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from events.models import Event
from manage import can_do_without_stack
from tests.processes import PROJECT, test_environment

# Tests of the app within the project, which run with those that `startbot` made.
_OF_PROJECT = """
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from retrieval.models import ModelSource

pytestmark = pytest.mark.django_db


def test_its_migrations_say_what_its_models_say():
    call_command("makemigrations", "helpdesk", check=True, dry_run=True, verbosity=0)


def test_its_admin_is_the_first_group_of_the_menu(admin_client):
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert page.index("/admin/helpdesk/article/") < page.index("/admin/chat/conversation/")


def test_its_addresses_are_below_its_name():
    assert Client().get("/helpdesk/hello/").content == b"Hello."


def test_its_views_of_rest_are_for_accounts_and_secret_keys_unless_they_say_something_else():
    from django.contrib.auth.models import User

    from chat.models import ApiKey

    assert Client().get("/helpdesk/counts/").status_code == 401
    assert Client().get("/helpdesk/open/").json() == {"articles": 3}
    client = Client()
    client.force_login(User.objects.create_user("ana"))
    assert client.get("/helpdesk/counts/").json() == {"articles": 3}
    site = {"kind": ApiKey.Kind.PUBLIC, "origins": ["https://shop.example"], "per_minute": 9}
    for expected, bounds in ((200, {}), (403, {"networks": ["10.0.0.0/8"]}), (403, site)):
        _row, key = ApiKey.make("service", ["chat"], **bounds)
        headers = {"Authorization": f"Bearer {key}", "Origin": "https://shop.example"}
        assert Client().get("/helpdesk/counts/", headers=headers).status_code == expected


def test_in_development_they_are_open_to_this_machine(settings):
    settings.DEBUG = True
    assert Client().get("/helpdesk/counts/").status_code == 200
    assert Client().get("/helpdesk/counts/", REMOTE_ADDR="10.1.1.1").status_code == 401


def test_its_definitions_are_mirrored_by_migrate(process_events):
    process_events()
    assert ModelSource.objects.get().name == "helpdesk.article in helpdesk"


def test_its_golden_questions_are_imported_and_found(sync_models):
    from pathlib import Path

    import helpdesk

    call_command("loaddata", "articles", app_label="helpdesk", verbosity=0)
    sync_models()
    golden = Path(helpdesk.__file__).parent / "golden.json"
    call_command("evaluate", "--index", "helpdesk", "--import", str(golden), "--fail-under", "1")


def test_the_plans_of_its_accounts_are_materialised():
    from features.models import FeatureValue
    from helpdesk.models import Account

    Account.objects.bulk_create([Account(user_id="ana", plan="gold"), Account(user_id="ben")])
    call_command("materialize", "helpdesk_plan", verbosity=0)
    assert dict(FeatureValue.objects.values_list("entity_key", "value")) == {"ana": "gold", "ben": "basic"}
"""
_URLS = """
from django.http import HttpResponse
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView


class Counts(APIView):
    def get(self, request):
        return Response({"articles": 3})


class Open(Counts):
    permission_classes = [AllowAny]


urlpatterns = [
    path("hello/", lambda request: HttpResponse("Hello.")),
    path("counts/", Counts.as_view()),
    path("open/", Open.as_view()),
]
"""


@pytest.fixture
def helpdesk(tmp_path: Path) -> Path:
    folder = tmp_path / "helpdesk"
    folder.mkdir()
    call_command("startbot", "helpdesk", str(folder), verbosity=0)
    return folder


@pytest.mark.django_db(transaction=True)
def test_the_bot_that_startbot_makes_passes_its_tests_in_the_project(helpdesk: Path) -> None:
    (helpdesk / "urls.py").write_text(_URLS)
    (helpdesk / "tests" / "test_project.py").write_text(_OF_PROJECT)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reuse-db", "helpdesk"]
    try:
        run = subprocess.run(
            command, cwd=helpdesk.parent, env=_environment(helpdesk.parent), capture_output=True, text=True
        )
    finally:
        with connection.cursor() as cursor:  # the tables would stand in the way of a flush
            cursor.execute("DROP TABLE IF EXISTS helpdesk_article_groups, helpdesk_article, helpdesk_account")
            cursor.execute("DELETE FROM django_migrations WHERE app = 'helpdesk'")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "14 passed" in run.stdout


_DEFINITIONS = """
from chat.models import Ticket
from fabra.core import FeatureStore
from fabra.retrieval import index_model


@index_model(Ticket, index="helpdesk")
class TicketSource:
    def text(self, ticket):
        return ticket.note
"""
_SCRIPT = """
from fabra.core import FeatureStore, entity

from chat.models import Customer, Ticket


@entity(FeatureStore())
class User:
    user_id: str


customer = Customer.objects.create(user_id="ana")
Ticket.objects.create(customer=customer, number=1, subject="Pump", note="It leaks.")
"""


@pytest.mark.django_db(transaction=True)
def test_a_script_elsewhere_finds_the_apps_and_its_saves_make_events_by_their_definitions(tmp_path: Path) -> None:
    project, packages, elsewhere = (tmp_path / name for name in ("project", "packages", "elsewhere"))
    left_out = shutil.ignore_patterns(".*", "tests", "bench", "docs", "build", "__pycache__", "*.egg-info")
    shutil.copytree(PROJECT, project, ignore=left_out)
    for folder in (project / "helpdesk", packages, elsewhere):
        folder.mkdir()
    for package in (path for path in project.iterdir() if (path / "__init__.py").exists()):
        (packages / package.name).symlink_to(package)  # as an installation of the project in place has them
    (project / "helpdesk" / "__init__.py").touch()
    (project / "helpdesk" / "definitions.py").write_text(_DEFINITIONS)
    (elsewhere / "save.py").write_text(_SCRIPT)
    environment = test_environment(FABRA_APPS="helpdesk", PYTHONPATH=str(packages))
    run = subprocess.run(
        [sys.executable, "save.py"], cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    event = Event.objects.get()
    assert event.event_type == "doc_updated" and event.payload["model_source"] == "chat.ticket in helpdesk"


def _environment(folder: Path) -> dict[str, str]:
    """Return the variables by which the app's tests use this test's database."""
    parts = urlsplit(settings.DATABASE_URL)
    name = str(connection.settings_dict["NAME"]).removeprefix("test_")
    given: dict[str, Any] = {
        "DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}")),
        "DJANGO_SETTINGS_MODULE": "fabra_project.settings",
        "FABRA_APPS": "helpdesk",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(folder)]),
    }
    return os.environ | given


_LABEL = "from django.apps import AppConfig\n\n\nclass Shop(AppConfig):\n    name, label = 'shop', {!r}\n"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("nowhere", "FABRA_APPS has 'nowhere': there is no module 'nowhere'. It names apps"),
        ("shop.nowhere", "there is no module 'shop.nowhere'"),
        ("shop.apps.Wrong", "'shop.apps' does not contain a 'Wrong' class. Choices are: 'Shop'"),
        ("shop,shop", "FABRA_APPS names the app of 'shop' twice"),
        ("shop,shop.apps.Shop", "FABRA_APPS names the app of 'shop.apps.Shop' twice"),
        ("shop,chat", "FABRA_APPS has 'chat', an app that the project has anyway"),
        ("company.events", "the label 'events' of 'company.events' is that of 'events', too. Give the app another one"),
        ("shop , chat", "FABRA_APPS has 'chat', an app that the project has anyway"),
        (" shop", None),
        ("shop.apps.Shop", None),
    ],
)
def test_what_is_wrong_with_the_names_of_the_apps_is_said_in_a_sentence(
    tmp_path: Path, entries: str, said: str | None
) -> None:
    for package in ("shop", "company", "company/events"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "shop" / "apps.py").write_text(_LABEL.format("shop"))
    done = _manage("check", tmp_path, entries)
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if said is None else 1), done.stderr
    assert said is None or said in done.stderr


def test_an_app_that_imports_what_is_not_there_shows_where(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("import nowhere\n")
    done = _manage("check", tmp_path, "shop")
    assert done.returncode == 1 and "import nowhere" in done.stderr


def _manage(command: str, folder: Path, entries: str) -> "subprocess.CompletedProcess[str]":
    environment = _environment(folder) | {"FABRA_APPS": entries}
    return subprocess.run(
        [sys.executable, PROJECT / "manage.py", command], env=environment, capture_output=True, text=True
    )


def test_what_makes_an_app_needs_no_running_stack() -> None:
    assert all(can_do_without_stack([name]) for name in ("startbot", "startapp", "makemigrations"))


def test_in_another_project_startbot_names_the_steps_of_that_one(tmp_path: Path, settings: Any) -> None:
    settings.FABRA_OWN_PROJECT = False
    (tmp_path / "shop").mkdir()
    said = StringIO()
    call_command("startbot", "shop", str(tmp_path / "shop"), stdout=said)
    assert 'INSTALLED_APPS += ["shop"]' in said.getvalue()
    assert "DJANGO_SETTINGS_MODULE=fabra_project.settings pytest shop" in said.getvalue()
    assert "uvicorn fabra_project.asgi:application" in said.getvalue()
    assert "make " not in said.getvalue() and "FABRA_APPS" not in said.getvalue()


def test_two_bots_of_startbot_stand_beside_each_other(tmp_path: Path, helpdesk: Path) -> None:
    (tmp_path / "second").mkdir()
    call_command("startbot", "second", str(tmp_path / "second"), verbosity=0)
    environment = _environment(tmp_path) | {"FABRA_APPS": "helpdesk,second"}
    for command in (["check"], ["makemigrations", "--check", "helpdesk", "second"]):
        done = subprocess.run(
            [sys.executable, PROJECT / "manage.py", *command], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_that_no_module_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is a word of Python"):
        call_command("startbot", "class", str(tmp_path))
    assert not any(tmp_path.iterdir())


def test_a_name_that_another_app_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="conflicts with the name of an existing Python module"):
        call_command("startbot", "chat", str(tmp_path))
