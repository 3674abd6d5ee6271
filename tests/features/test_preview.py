"""A dry run shows what a feature's function makes of one entity, and leaves nothing behind."""

from datetime import datetime
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from common.errors import InvalidInput
from contexts.store import FeatureStore
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from features import single_flight
from features.declaration import entity, feature
from features.models import (
    FeatureDefinition,
    FeatureValue,
    KnownEntity,
    MaterializationRun,
    OnlineRepair,
)
from features.preview import preview_feature
from features.registry import features
from tests.conftest import PREFIX

pytestmark = pytest.mark.django_db
store = FeatureStore()


@pytest.fixture
def Fox() -> type:  # noqa: N802
    @entity(store)
    class Fox:
        fox_id: str

    return Fox


def traces_left() -> dict[str, Any]:
    """Return everything that a computation leaves anywhere."""
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    keys = sorted(client.scan_iter(f"{PREFIX}:*", count=1000))
    client.close()
    models = (FeatureValue, KnownEntity, MaterializationRun, OnlineRepair, Event)
    return {"redis": keys, "in_flight": dict(single_flight._in_flight)} | {
        model.__name__: model.objects.count() for model in models
    }


def test_nothing_is_left_also_not_of_what_the_function_reads_and_writes(Fox: type) -> None:  # noqa: N803
    calls: list[str] = []

    @feature(entity=Fox)
    def age(fox_id: str) -> int:
        calls.append("age")
        return 4

    @feature(entity=Fox, batch=True)
    def weight(fox_ids: list[str]) -> list[int]:
        calls.append("weight")
        return [9 for _ in fox_ids]

    @feature(entity=Fox)
    async def fitness(fox_id: str) -> float:
        read = await store.get_online_features(Fox, fox_id, ["age", "weight"])
        await KnownEntity.objects.acreate(entity="Fox", entity_key="written by the function")
        await store.set_feature("age", fox_id, 5)
        return read["weight"] / read["age"]

    @feature(entity=Fox)
    def eventful(fox_id: str) -> str:
        return record_event(AxiomEvent(event_type="seen", entity_id=fox_id, payload={}), Event.Source.API)[0].event_id

    before = traces_left()
    trial = preview_feature(features["fitness"], "red")
    assert (trial.value, trial.error, trial.duration_ms > 0) == (2.25, "", True)
    assert preview_feature(features["eventful"], "red").value
    assert calls == ["age", "weight"]
    assert traces_left() == before
    assert async_to_sync(store.get_feature)("fitness", "red") == 2.25  # for real, it stores
    assert traces_left() != before


def test_a_stale_value_is_read_and_not_recomputed_behind(Fox: type) -> None:  # noqa: N803
    calls: list[str] = []

    @feature(entity=Fox, refresh="1s", stale_tolerance="1d")
    def age(fox_id: str) -> int:
        calls.append("age")
        return 4

    @feature(entity=Fox)
    async def older(fox_id: str) -> int:
        return await store.get_feature("age", fox_id) + 1

    async_to_sync(store.set_feature)("age", "red", 7, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    FeatureValue.objects.update(event_timestamp=datetime.now().astimezone())
    before = traces_left()
    preview_feature(features["older"], "red")
    assert traces_left() == before


def test_an_error_comes_with_its_traceback(Fox: type) -> None:  # noqa: N803
    @feature(entity=Fox, default_value=0)
    def broken(fox_id: str) -> int:
        raise LookupError(f"no fox {fox_id}")

    trial = preview_feature(features["broken"], "red")
    assert (trial.value, trial.error) == (None, "LookupError: no fox red")
    assert "in broken" in trial.traceback
    with pytest.raises(InvalidInput):
        preview_feature(features["broken"], "")


def test_a_triggered_feature_gets_an_event(Fox: type) -> None:  # noqa: N803
    @feature(entity=Fox, trigger="seen")
    def sightings(fox_id: str, event: AxiomEvent) -> Any:
        return [event.event_type, event.entity_id, event.payload["where"]]

    assert preview_feature(features["sightings"], "red", payload={"where": "wood"}).value == ["seen", "red", "wood"]


def page(client: Client, name: str, action: str, **data: str) -> Any:
    row = FeatureDefinition.objects.get_or_create(name=name, entity="Fox", location="here")[0]
    url = reverse(f"admin:features_featuredefinition_{action}", args=[row.pk])
    return client.post(url, data) if data else client.get(url)


def test_the_page_shows_result_time_and_error(Fox: type, admin_client: Client) -> None:  # noqa: N803
    @feature(entity=Fox)
    def name_of(fox_id: str) -> dict[str, str]:
        if fox_id == "bad":
            raise LookupError("<no such fox>")
        return {"name": "Reynard <script>"}

    assert "Run it" in page(admin_client, "name_of", "try_it").content.decode()
    shown = page(admin_client, "name_of", "try_it", entity_key="red").content.decode()
    assert "Reynard &lt;script&gt;" in shown
    assert "nothing was stored" in shown
    shown = page(admin_client, "name_of", "try_it", entity_key="bad").content.decode()
    assert "LookupError: &lt;no such fox&gt;" in shown
    assert "Traceback" in shown
    assert not FeatureValue.objects.exists()
    for bad in ("", " ", "x" * 256):
        assert page(admin_client, "name_of", "try_it", entity_key=bad).context["form"].errors


def test_a_viewer_may_not_try(Fox: type, client: Client, django_user_model: Any) -> None:  # noqa: N803
    feature(entity=Fox, name="quiet")(lambda fox_id: 1)
    client.force_login(django_user_model.objects.create_user("viewer", is_staff=True))
    assert page(client, "quiet", "try_it").status_code == 403
    assert page(client, "quiet", "backfill").status_code == 403


def test_the_backfill_page_starts_a_run_or_says_why_not(Fox: type, admin_client: Client) -> None:  # noqa: N803
    feature(entity=Fox, name="timeless")(lambda fox_id: 1)

    @feature(entity=Fox)
    def tail(fox_id: str, as_of: datetime) -> int:
        return as_of.hour

    response = page(admin_client, "timeless", "backfill")
    assert response.status_code == 302
    assert "tail(fox_id" not in str(response.content)
    data = {
        "start_0": "2026-01-01", "start_1": "00:00:00", "end_0": "2026-01-02", "end_1": "00:00:00",
        "every": "1h", "entity_keys": "red\ngrey\n",
    }  # fmt: skip
    assert page(admin_client, "tail", "backfill", **{**data, "every": "soon"}).context["form"].errors
    assert page(admin_client, "tail", "backfill", **{**data, "end_0": "2999-01-01"}).context["form"].errors
    assert page(admin_client, "tail", "backfill", **{**data, "start_0": "2026-02-01"}).context["form"].errors
    assert not MaterializationRun.objects.exists()
    assert page(admin_client, "tail", "backfill", **data).status_code == 302
    run = MaterializationRun.objects.get()
    assert (run.kind, run.entity_keys, len(run.moments), run.state) == ("backfill", ["grey", "red"], 25, "queued")
