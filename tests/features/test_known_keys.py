"""An entity may declare where its keys come from, and where nothing is known it is told what to do."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from chat.models import Customer
from common.errors import DefinitionError
from features.declaration import entity, feature
from features.known_keys import known_keys
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
        lambda: [("b", ), "a", "a"],
        ["a", "b", " spaced ", "", None],
    ],
    ids=["rows", "flat", "function", "list"],
)  # fmt: skip
def test_declared_keys_are_known_beside_those_that_were_seen(keys: Any) -> None:
    declare(keys)
    CustomerFactory(user_id="a")
    CustomerFactory(user_id="b")
    KnownEntity.objects.touch("Bear", ["c"])
    assert known_keys(entities["Bear"]) == ["a", "b", "c"]


def test_all_declared_entities_are_materialized() -> None:
    declare(Customer.objects.values_list("user_id"))
    assert "No Bear is known" in materialize()
    CustomerFactory(user_id="a")
    assert materialize() == ""
    assert FeatureValue.objects.get().value == "calm a"


def test_a_run_of_no_entity_says_what_to_do() -> None:
    declare()
    assert "@entity(store, keys=Account.objects.values_list('bear_id'))" in materialize()


@pytest.mark.parametrize("keys", ["user_id", 7])
def test_keys_that_list_nothing_are_refused(keys: Any) -> None:
    with pytest.raises(DefinitionError, match="must be a queryset"):
        declare(keys)
