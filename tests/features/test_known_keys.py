"""An entity may declare where its keys come from, and where nothing is known it is told what to do."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from chat.models import Customer
from common.errors import DefinitionError, InvalidInput
from features.admin.progress import progress_of
from features.declaration import entity, feature
from features.known_keys import known_keys, listed_keys
from features.materialization.requests import request_run
from features.materialization.runs import execute_run
from features.models import FeatureValue, KnownEntity
from features.registry import entities
from tests.factories import CustomerFactory

pytestmark = pytest.mark.django_db


def declare(keys: Any = None) -> None:
    @entity(name="Bear", keys=keys)
    class Bear:
        bear_id: str

    @feature(entity=Bear, materialize=True)
    def mood(bear_id: str) -> str:
        return f"calm {bear_id}"


def materialize() -> str:
    said = StringIO()
    call_command("materialize", "mood", stdout=StringIO(), stderr=said)
    return said.getvalue()


@pytest.mark.parametrize(
    "keys",
    [
        Customer.objects.values_list("user_id"),
        Customer.objects.values_list("user_id", flat=True),
        Customer.objects.values("user_id"),
        lambda: [("b", ), "a", "a"],
        ["a", "b", " spaced ", "", None],
    ],
    ids=["rows", "flat", "dicts", "function", "list"],
)  # fmt: skip
def test_declared_keys_are_known_beside_those_that_were_seen(keys: Any) -> None:
    declare(keys)
    CustomerFactory(user_id="a")
    CustomerFactory(user_id="b")
    KnownEntity.objects.touch("Bear", ["c"])
    assert known_keys(entities["Bear"]) == ["a", "b", "c"]


def test_a_run_that_finds_nobody_says_what_to_do_on_its_page_and_is_no_success(admin_client: Client) -> None:
    declare()
    run = request_run("mood")
    execute_run(run.pk)
    run.refresh_from_db()
    now = progress_of(run)
    assert (run.state, now.label, now.tone, now.state_tone) == ("done", "nothing is known", "warn", "warn")
    page = admin_client.get(reverse("admin:features_materializationrun_change", args=[run.pk])).content.decode()
    assert "No Bear is known" in page and "@entity(store, keys=" in page


def test_the_command_shows_no_full_bar_where_nobody_is_known() -> None:
    declare()
    said = StringIO()
    call_command("materialize", "mood", stdout=said, stderr=StringIO())
    assert "100%" not in said.getvalue() and "nothing is known" in said.getvalue()


def test_all_declared_entities_are_materialized() -> None:
    declare(Customer.objects.values_list("user_id"))
    assert "The `keys` of the entity Bear list nobody" in materialize()
    CustomerFactory(user_id="a")
    assert materialize() == ""
    assert FeatureValue.objects.get().value == "calm a"


def test_keys_that_cannot_be_listed_fail_the_run_with_their_error() -> None:
    declare(lambda: 1 / 0)
    said = StringIO()
    with pytest.raises(CommandError, match="is failed"):
        call_command("materialize", "mood", stdout=StringIO(), stderr=said)
    assert said.getvalue() == "ZeroDivisionError('division by zero')\n"


@pytest.mark.parametrize("rows", [Customer.objects.values_list("tier", "user_id"), lambda: [{"a": "x", "b": "y"}]])
def test_rows_of_several_columns_are_refused(rows: Any) -> None:
    declare(rows)
    CustomerFactory()
    for find in (lambda: known_keys(entities["Bear"]), lambda: listed_keys("Bear", ["a"])):
        with pytest.raises(InvalidInput, match="rows of 2 columns: list the bear_id alone"):
            find()


def test_a_run_of_no_entity_says_what_to_do() -> None:
    declare()
    assert "@entity(store, keys=Account.objects.values_list('bear_id'))" in materialize()


@pytest.mark.parametrize("keys", ["user_id", 7])
def test_keys_that_list_nothing_are_refused(keys: Any) -> None:
    with pytest.raises(DefinitionError, match="must be a queryset"):
        declare(keys)
