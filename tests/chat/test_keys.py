"""The text of a key that scanners find, its kinds and bounds, its rotation with an overlap, and its use per day."""

import io
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from chat.access.origins import check_origin
from chat.limits.key_use import store_use, use_of
from chat.models import ApiKey, KeyUse
from chat.models.key_text import PATTERN, has_checksum
from chat.models.keys import RotationRefused
from common.errors import InvalidInput
from tests.chat.test_access import ASK, call, code_of

pytestmark = pytest.mark.django_db


def make_by_command(*options: str) -> str:
    out = io.StringIO()
    call_command("create_api_key", "shop", *options, stdout=out)
    return out.getvalue().strip()


def rotate_by_command(*options: str) -> str:
    out = io.StringIO()
    call_command("rotate_api_key", *options, stdout=out)
    return out.getvalue().strip()


def test_the_documented_rule_of_scanners_finds_secret_keys_alone() -> None:
    page = Path(django_settings.BASE_DIR, "docs", "access.md").read_text()
    rule = tomllib.loads(re.findall(r"```toml\n(.*?)```", page, re.S)[0])["rules"][0]
    secret, public = (ApiKey.make("k", ["chat"], kind=kind)[1] for kind in ApiKey.Kind)
    for text in (f"KEY={secret}", f'"{secret}"', f"Bearer {secret}\n", f"https://x/?key={secret}&a=b", f"({secret})"):
        assert re.search(rule["regex"], text), text
        assert rule["keywords"][0] in text
    for text in (public, secret[:-1], secret + "a", "fabra_sec_…", "a key starts with fabra_sec_", "x" + secret):
        assert not re.search(rule["regex"], text), text
    assert rule["regex"] == PATTERN.replace("(?:sec|pub)", "sec")
    assert re.fullmatch(PATTERN, public)


def test_a_checksum_tells_a_key_from_one_that_was_mistyped(client: Client, bot: None) -> None:
    _, key = ApiKey.make("k", ["chat"])
    assert has_checksum(key)
    wrong = key[:20] + ("a" if key[20] != "a" else "b") + key[21:]
    for broken in (key[:-1], wrong, key + "0", key.lower(), "", "fabra_sec_"):
        assert not has_checksum(broken)
    refused = call(client, "POST", "/chat", ASK, wrong)
    assert code_of(refused) == (401, "invalid_api_key")
    assert "mistyped" in refused.json()["error"]["message"]
    ApiKey.objects.all().delete()
    assert "unknown" in call(client, "POST", "/chat", ASK, key).json()["error"]["message"]


def test_a_key_from_before_the_checksum_still_works() -> None:
    old = "fabra_sec_Zm9vYmFyYmF6cXV4-Zm9v_YmFyYmF6cXV4Zm9vYmFy"
    ApiKey.objects.create(name="old", start=old[:15], digest=ApiKey.digest_of(old), scopes=["chat"])
    assert ApiKey.authenticate(old) is not None


def test_a_public_key_only_chats_however_it_is_made() -> None:
    for scopes in (["ingest"], ["chat", "debug"], []):
        with pytest.raises(InvalidInput):
            ApiKey.make("k", scopes, kind=ApiKey.Kind.PUBLIC)
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.create(name="k", digest=f"{scopes}", scopes=scopes, kind="public")
    origin = ["--origin", "HTTPS://Shop.Example.com:443/"]
    limit = ["--per-minute", "60"]
    for options in (["--scope", "ingest", *origin, *limit], ["--scope", "chat", *limit], ["--scope", "chat", *origin]):
        with pytest.raises(CommandError):
            make_by_command("--public", *options)
    with pytest.raises(CommandError, match="never be in a page"):
        make_by_command("--scope", "chat", *origin)
    bounds = ["--context", "chat_context", "--daily-budget", "2.50"]
    key = make_by_command("--public", "--scope", "chat", *origin, *limit, *bounds)
    row = ApiKey.objects.get()
    assert key.startswith("fabra_pub_")
    assert (row.origins, row.contexts) == (["https://shop.example.com"], ["chat_context"])
    assert (row.daily_budget_usd, row.monthly_budget_usd) == (Decimal("2.5"), None)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--context", "none"], ["--daily-budget", "0"], ["--monthly-budget", "NaN"], ["--daily-budget", "1e30"],
        ["--per-minute", "10001"], ["--per-day", "3000000000"], ["--expires", "99999999d"],
    ],
)  # fmt: skip
def test_the_command_refuses_a_bound_that_nothing_can_meet(wrong: list[str]) -> None:
    with pytest.raises(CommandError):
        make_by_command("--scope", "chat", *wrong)
    assert not ApiKey.objects.exists()


def test_the_command_refuses_what_the_page_of_the_key_would() -> None:
    with pytest.raises(CommandError, match="name: "):
        call_command("create_api_key", "n" * 101, "--scope", "chat")
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://www.example.com", "https://www.example.com"),
        ("https://WWW.example.com/", "https://www.example.com"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(text: str, origin: str) -> None:
    assert check_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    ["", "example.com", "https://", "https://a.example/page", "https://a.example?x", "https://a.example#", "ftp://a.b",
     "https://user@a.example", "https://*.com", "https://a.*.example.com", "https://a.example:0", "https://a.example:99999",
     "https://a b.example", "https://bücher.example", "null", "https://a..example", "https://" + "a" * 300,
     "javascript://a.example", "https://[::1"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_origin(text)


def test_a_search_key_reads_and_writes_nothing(client: Client, bot: None) -> None:
    _, key = ApiKey.make("k", ["search"])
    assert call(client, "GET", "/api/search/?query=invoice", key=key).json()["hits"]
    assert call(client, "GET", "/api/documents/billing/", key=key).status_code == 200
    assert code_of(call(client, "DELETE", "/api/documents/billing/", key=key)) == (403, "scope_missing")
    assert code_of(call(client, "POST", "/chat", ASK, key)) == (403, "scope_missing")


def test_both_secrets_work_during_a_rotation_and_each_has_its_last_use() -> None:
    row, old = ApiKey.make("k", ["chat"])
    assert ApiKey.authenticate(old) == row
    before = ApiKey.objects.get().last_used_at
    new = row.rotate(timedelta(hours=1))
    row = ApiKey.objects.get()
    assert (row.last_used_at, row.previous_used_at) == (None, before)
    assert (row.start, row.previous_start) == (new[:15], old[:15])
    ApiKey.objects.update(previous_used_at=None)
    for secret, used in ((old, (False, True)), (new, (True, True))):
        assert ApiKey.authenticate(secret) == row
        row = ApiKey.objects.get()
        assert (row.last_used_at is not None, row.previous_used_at is not None) == used
    assert row.end_previous()
    assert ApiKey.authenticate(old) is None
    assert ApiKey.authenticate(new) == row
    assert not row.end_previous()


def test_a_rotation_without_overlap_or_with_a_revocation_ends_the_secrets() -> None:
    row, old = ApiKey.make("k", ["chat"])
    new = row.rotate(timedelta())
    assert ApiKey.authenticate(old) is None
    assert ApiKey.authenticate(new) is not None
    row.rotate(timedelta(hours=1))
    ApiKey.objects.update(revoked_at=timezone.now())
    assert ApiKey.authenticate(new) is None
    with pytest.raises(RotationRefused):
        row.rotate(timedelta(hours=1))


def test_a_second_rotation_locks_nobody_out() -> None:
    row, old = ApiKey.make("k", ["chat"])
    new = row.rotate(timedelta(hours=1))
    with pytest.raises(RotationRefused):
        row.rotate(timedelta(hours=1))
    assert ApiKey.authenticate(old) and ApiKey.authenticate(new)
    newest = row.rotate(timedelta(hours=1), end_previous=True)
    assert ApiKey.authenticate(old) is None
    assert ApiKey.authenticate(new) and ApiKey.authenticate(newest)
    for overlap in (timedelta(seconds=-1), timedelta(days=91)):
        with pytest.raises(InvalidInput):
            row.rotate(overlap, end_previous=True)


@pytest.mark.django_db(transaction=True)
def test_of_rotations_at_once_one_is_done_and_the_secret_in_use_works_on() -> None:
    row, old = ApiKey.make("k", ["chat"])

    def rotate(_: int) -> str | None:
        try:
            return ApiKey.objects.get(pk=row.pk).rotate(timedelta(hours=1))
        except RotationRefused:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        made = [secret for secret in pool.map(rotate, range(4)) if secret]
    assert len(made) == 1
    assert ApiKey.authenticate(old) == ApiKey.authenticate(made[0]) == row


def test_the_command_rotates_a_key_by_its_name_or_its_beginning() -> None:
    row, old = ApiKey.make("cms", ["chat"])
    new = rotate_by_command("cms", "--overlap", "24h")
    assert ApiKey.authenticate(old) and ApiKey.authenticate(new)
    with pytest.raises(CommandError, match="end it first"):
        rotate_by_command("cms")
    newest = rotate_by_command(new[:15], "--overlap", "0", "--end-previous")
    assert [ApiKey.authenticate(key) for key in (old, new)] == [None, None]
    assert ApiKey.authenticate(newest) == row
    ApiKey.make("cms", ["chat"])
    for wrong in (["cms"], ["none"], [newest[:15], "--overlap", "soon"]):
        with pytest.raises(CommandError):
            rotate_by_command(*wrong)


def test_requests_are_counted_per_day_and_those_beyond_a_limit_apart(client: Client, bot: None) -> None:
    limited, first = ApiKey.make("l", ["search"], per_minute=2)
    free, second = ApiKey.make("f", ["search", "chat"])
    for key, count in ((first, 3), (second, 2)):
        for _ in range(count):
            call(client, "GET", "/api/documents/", key=key)
    assert call(client, "POST", "/chat", ASK, second).status_code == 200
    assert not KeyUse.objects.exists(), "a request writes no row"
    assert store_use() == 6
    assert [(day.accepted, day.refused) for day in (use_of(limited, 1)[0], use_of(free, 1)[0])] == [(2, 1), (3, 0)]
    call(client, "GET", "/api/documents/", key=second)
    assert (store_use(), store_use()) == (1, 0)
    assert use_of(free, 30)[-1].accepted == 4
    assert len(use_of(free, 30)) == 30


def test_what_a_deleted_key_used_is_forgotten(client: Client, bot: None) -> None:
    row, key = ApiKey.make("k", ["search"])
    call(client, "GET", "/api/documents/", key=key)
    row.delete()
    assert store_use() == 1
    assert store_use() == 0
    assert not KeyUse.objects.exists()


def test_a_key_without_limits_works_without_redis(client: Client, bot: None, settings: Any) -> None:
    from common.redis import plain_redis

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    plain_redis.cache_clear()
    try:
        _, key = ApiKey.make("k", ["search"])
        assert call(client, "GET", "/api/documents/", key=key).status_code == 200
    finally:
        plain_redis.cache_clear()
