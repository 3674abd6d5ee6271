"""Features whose values a token brings: declared, stored with the token's time, served, and never computed."""

import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from common.errors import DefinitionError, InvalidInput
from contexts.store import FeatureStore
from features.declaration import entity, feature
from features.materialization.requests import materialize
from features.models import FeatureValue
from features.preview import preview_feature
from features.registry import features
from features.serving import read_features
from features.traits import keep_traits

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def declared() -> type:
    @entity(name="Member")
    class Member:
        user_id: str

    @feature(entity=Member, source="token", default_value="unknown", ttl="1d")
    def company(user_id: str, trait: str) -> str:
        return trait.strip()

    @feature(entity=Member, source="token", refresh="1h")
    async def credit(user_id: str, trait: str) -> Decimal:
        return Decimal(trait)

    return Member


def keep(traits: dict[str, Any], as_of: datetime = NOW, key: str = "ana") -> None:
    async_to_sync(keep_traits)("user_id", key, traits, as_of)


def read(name: str, key: str = "ana") -> Any:
    return async_to_sync(read_features)("Member", key, [name])[0]


def test_what_a_token_says_is_true_since_the_tokens_time() -> None:
    assert (read("company").value, read("company").source) == ("unknown", "default")
    keep({"company": " Acme ", "credit": "12.50", "nobody_declares": 1}, NOW - timedelta(minutes=5))
    assert (read("company").value, read("credit").value) == ("Acme", Decimal("12.50"))
    assert read("company").event_timestamp == NOW - timedelta(minutes=5)
    row = FeatureValue.objects.get(feature="company")
    assert (row.source, row.event_timestamp) == ("token", NOW - timedelta(minutes=5))
    history = async_to_sync(FeatureStore().get_historical_features)
    before, after = NOW - timedelta(minutes=6), NOW
    rows = history([{"user_id": "ana", "event_timestamp": moment} for moment in (before, after)], ["company"])
    assert [row["company"] for row in rows] == ["unknown", "Acme"]


def test_the_same_token_again_writes_nothing_and_an_older_one_replaces_nothing() -> None:
    keep({"company": "Acme"}, NOW - timedelta(minutes=5))
    keep({"company": "Acme"}, NOW - timedelta(minutes=5))
    keep({"company": "Acme"}, NOW)
    keep({"company": "Old"}, NOW - timedelta(minutes=9))
    assert FeatureValue.objects.filter(feature="company").count() == 1
    keep({"company": "New"}, NOW)
    assert read("company").value == "New"
    assert FeatureValue.objects.filter(feature="company").count() == 2
    keep({"company": None}, NOW + timedelta(seconds=1))
    assert read("company").value is None


def test_a_value_that_has_grown_old_is_kept_anew_when_it_is_said_again() -> None:
    keep({"credit": "1"}, NOW - timedelta(hours=2))
    assert read("credit").status == "stale"  # nothing could compute a fresh one
    keep({"credit": "1"}, NOW)
    assert read("credit").status == "fresh"
    keep({"company": "Acme"}, NOW - timedelta(days=2))
    assert (read("company").value, read("company").status) == ("unknown", "expired")


def test_a_trait_that_its_feature_refuses_is_left_out_by_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    keep({"company": 7, "credit": "a secret", "other": None})
    assert not FeatureValue.objects.exists()
    assert "company" in caplog.text and "credit" in caplog.text
    assert "a secret" not in caplog.text
    keep({"company": "Acme"})
    assert read("company").value == "Acme"


def test_it_is_never_computed(declared: type) -> None:
    with pytest.raises(InvalidInput, match="given by its token"):
        async_to_sync(materialize)("company", ["ana"])
    tried = preview_feature(features["company"], "ana", payload=" Acme ")
    assert (tried.value, tried.error) == ("Acme", "")
    assert not FeatureValue.objects.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "cookie"}, "must be 'token'"),
        ({"source": "token", "trigger": "poked"}, "takes no trigger"),
        ({"source": "token", "materialize": True}, "takes no materialize"),
        ({"source": "token", "batch": True}, "takes no batch"),
    ],
)
def test_a_source_goes_with_nothing_that_computes(declared: type, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):

        @feature(entity=declared, **options)
        def other(user_id: str, trait: str) -> str:
            return trait


def test_its_function_takes_the_trait(declared: type) -> None:
    with pytest.raises(DefinitionError, match=r"\(entity_key, trait\)"):

        @feature(entity=declared, source="token")
        def other(user_id: str) -> str:
            return ""

    with pytest.raises(DefinitionError, match="as_of"):

        @feature(entity=declared, source="token")
        def another(user_id: str, trait: str, as_of: datetime) -> str:
            return ""
