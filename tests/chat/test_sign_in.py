"""Signing in: throttled by user name and address, lockouts logged and seen in the admin; old sessions are cleared."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from common.client_address import parse_network
from common.retention import prune

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ada(settings: Any) -> User:
    settings.AXES_FAILURE_LIMIT = 3
    return User.objects.create_superuser("ada", password="right")


def sign_in(client: Client, password: str, path: str = "/login/", username: str = "ada", **meta: Any) -> Any:
    return client.post(path, {"username": username, "password": password}, **meta)


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_a_name_that_fails_too_often_at_an_address_is_locked_out_there(
    client: Client, admin_client: Client, path: str, caplog: Any
) -> None:
    with caplog.at_level(logging.WARNING, logger="axes"):
        tries = [sign_in(client, "wrong", path).status_code for _ in range(3)]
    assert tries == [200, 200, 429]
    refused = sign_in(client, "right", path)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "900")
    assert "possible again 15 minutes after" in refused.content.decode()
    assert sign_in(client, "right", path, REMOTE_ADDR="192.0.2.7").status_code == 302
    User.objects.create_superuser("bob", password="right")  # at the same address, such as that of an office
    assert sign_in(Client(), "right", path, "bob").status_code == 302
    assert any("Locking out" in message and "127.0.0.1" in message for message in caplog.messages)
    assert "wrong" not in caplog.text
    assert "locked out until" in admin_client.get(reverse("admin:axes_accessattempt_changelist")).content.decode()
    failures = admin_client.get(reverse("admin:axes_accessfailurelog_changelist"), {"locked_out__exact": "1"})
    assert failures.context["cl"].result_count == 1


def test_an_address_that_tries_many_names_is_locked_out(client: Client, admin_client: Client) -> None:
    tries = [sign_in(client, "wrong", username=f"user{number}").status_code for number in range(30)]
    assert tries == [200] * 29 + [429]
    assert sign_in(client, "right").status_code == 429
    assert sign_in(client, "right", REMOTE_ADDR="192.0.2.7").status_code == 302
    assert "locked out until" in admin_client.get(reverse("admin:axes_accessattempt_changelist")).content.decode()


def test_a_name_that_is_guessed_from_many_addresses_is_locked_out_but_for_its_owner(client: Client) -> None:
    assert sign_in(client, "right", REMOTE_ADDR="203.0.113.1").status_code == 302
    tries = [sign_in(client, "wrong", REMOTE_ADDR=f"192.0.2.{number}").status_code for number in range(30)]
    assert tries == [200] * 29 + [429]
    assert sign_in(client, "right", REMOTE_ADDR="198.51.100.1").status_code == 429
    assert sign_in(client, "right", REMOTE_ADDR="203.0.113.1").status_code == 302


def test_signing_in_forgets_the_failures_of_that_name_at_that_address_only(client: Client) -> None:
    User.objects.create_user("mallory", password="right")
    for number in range(29):
        if number % 2 == 0:
            sign_in(client, "right", username="mallory")
        sign_in(Client(), "wrong", username=f"user{number}")
    assert sign_in(Client(), "wrong", username="user30").status_code == 429
    sign_in(client, "wrong", REMOTE_ADDR="192.0.2.7")
    assert sign_in(client, "right", REMOTE_ADDR="192.0.2.7").status_code == 302
    assert not AccessAttempt.objects.filter(ip_address="192.0.2.7").exists()


def test_an_operator_can_lift_a_lockout_and_time_does(client: Client, admin_client: Client) -> None:
    for _ in range(3):
        sign_in(client, "wrong")
    attempt = AccessAttempt.objects.get()
    assert "wrong" not in attempt.post_data
    admin_client.post(reverse("admin:axes_accessattempt_delete", args=[attempt.pk]), {"post": "yes"})
    assert sign_in(client, "right").status_code == 302
    for _ in range(3):
        sign_in(client, "wrong")
    assert sign_in(client, "right").status_code == 429
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert sign_in(client, "right").status_code == 302
    assert AccessFailureLog.objects.filter(locked_out=True).count() == 2  # stays to be seen


def test_behind_a_proxy_the_clients_address_is_locked_out(client: Client, settings: Any) -> None:
    settings.FABRA_TRUSTED_PROXIES = [parse_network("127.0.0.1")]
    for number in range(3):  # what the client itself puts on the left does not help
        sign_in(client, "wrong", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}, 192.0.2.7")
    assert sign_in(client, "right", HTTP_X_FORWARDED_FOR="192.0.2.7").status_code == 429
    assert sign_in(client, "right", HTTP_X_FORWARDED_FOR="192.0.2.8").status_code == 302


def test_addresses_of_one_ipv6_network_are_one_sender(client: Client) -> None:
    for number in range(3):
        sign_in(client, "wrong", REMOTE_ADDR=f"2001:db8:0:1::{number}")
    assert sign_in(client, "right", REMOTE_ADDR="2001:db8:0:1:ffff::1").status_code == 429
    assert sign_in(client, "right", REMOTE_ADDR="2001:db8:0:2::1").status_code == 302


def test_old_sessions_and_old_records_are_pruned(client: Client, ada: User) -> None:
    client.force_login(ada)
    Session.objects.create(session_key="old", session_data="", expire_date=timezone.now() - timedelta(days=2))
    sign_in(Client(), "wrong")
    AccessFailureLog.objects.update(attempt_time=timezone.now() - timedelta(days=91))
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(days=91))
    assert prune()
    assert not Session.objects.filter(session_key="old").exists()
    assert Session.objects.count() == 1
    assert not AccessFailureLog.objects.exists() and not AccessAttempt.objects.exists()
    assert not PeriodicTask.objects.filter(task="chat.tasks.clear_old").exists()
