"""The web process runs Django's middleware on its event loop, and loses nothing of what it does."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import AsyncClient
from django.utils.module_loading import import_string

pytestmark = pytest.mark.django_db


def in_web_process(path: str) -> str:
    return f"fabra_project.middleware.{path.rpartition('.')[2]}"


@pytest.fixture
def browser(settings: Any) -> AsyncClient:
    """A browser of the web process; what it posts without the CSRF token is refused."""
    settings.MIDDLEWARE = [in_web_process(path) for path in settings.MIDDLEWARE]
    return AsyncClient(enforce_csrf_checks=True)


def test_each_is_what_the_settings_name() -> None:
    for path in django_settings.MIDDLEWARE:
        assert issubclass(import_string(in_web_process(path)), import_string(path))


def test_a_form_without_its_token_is_refused(browser: AsyncClient) -> None:
    assert async_to_sync(browser.post)("/admin/login/", {"username": "a", "password": "b"}).status_code == 403


def test_a_session_is_saved_and_a_message_survives_its_redirect(browser: AsyncClient) -> None:
    User.objects.create_superuser("admin", password="correct horse")

    def post(path: str, form: dict[str, str]) -> Any:
        return async_to_sync(browser.post)(path, form | {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value})

    page = async_to_sync(browser.get)("/admin/login/")
    assert (page.headers["X-Frame-Options"], page.headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert post("/admin/login/", {"username": "admin", "password": "correct horse"}).status_code == 302
    passwords = dict.fromkeys(("password1", "password2"), "horse battery")
    added = post("/admin/auth/user/add/", {"username": "other", "usable_password": "true", **passwords})
    page = async_to_sync(browser.get)(added.headers["Location"])
    assert "was added successfully" in page.content.decode()
