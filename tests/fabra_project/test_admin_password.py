"""The administrator's password is printed once; later the terminal says where it is."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from fabra_project.stack.announcement import announcement
from fabra_project.stack.bot import Address
from fabra_project.stack.folder import DataFolder


@pytest.fixture
def said(db: None, settings: Any, tmp_path: Path) -> Any:
    """Return a function that starts as `make up` does, and returns what is shown."""
    settings.FABRA_DATA_DIR = tmp_path

    def start() -> str:
        out = StringIO()
        call_command("create_admin", stdout=out)
        admin = json.loads(out.getvalue())
        address = Address(host="127.0.0.1", port=8000)
        return announcement(DataFolder(path=tmp_path), address, admin, is_open=True, has_sample=True)

    return start


def test_the_password_is_printed_the_first_time_only(said: Any, tmp_path: Path) -> None:
    first = said()
    kept = tmp_path / "secrets" / "admin_password"
    password = kept.read_text()
    assert password in first
    assert User.objects.get(username="admin").check_password(password)
    assert kept.stat().st_mode & 0o077 == 0
    second = said()
    assert password not in second and str(kept) in second
    # The account was deleted: it is made again, with the password that its owner has seen.
    User.objects.all().delete()
    assert password not in said()
    assert User.objects.get(username="admin").check_password(password)


def test_a_password_that_was_changed_is_the_owners(said: Any, tmp_path: Path) -> None:
    said()
    admin = User.objects.get(username="admin")
    admin.set_password("another")
    admin.save()
    shown = said()
    assert "the one you chose" in shown and str(tmp_path / "secrets") not in shown
    User.objects.filter(username="admin").update(username="other")
    User.objects.create_superuser("admin", password="by hand")
    (tmp_path / "secrets" / "admin_password").unlink()
    assert "the one you chose" in said()


@pytest.mark.parametrize("has_sample", [True, False])
def test_the_question_to_try_is_of_the_sample_only_where_there_is_one(tmp_path: Path, has_sample: bool) -> None:
    address, admin = Address(host="127.0.0.1", port=8000), {"username": "admin", "password": "x"}
    said = announcement(DataFolder(path=tmp_path), address, admin, is_open=True, has_sample=has_sample)
    assert ("password?" in said, "YOUR QUESTION" in said) == (has_sample, not has_sample)
