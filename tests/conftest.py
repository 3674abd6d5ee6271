"""One database and one Redis for all tests; nothing of a test's Redis keys reaches another test."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import override_settings

from tests import scheduling

# The first example of a property pays for reading the encoding; timing is no subject of the tests.
hypothesis.settings.register_profile("project", deadline=None, max_examples=100)
hypothesis.settings.load_profile("project")

DATA = Path(os.environ.get("FABRA_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.hookimpl(trylast=True)  # pytest-django sorts them before
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=scheduling.rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return scheduling.ModuleScheduling(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session")
def shared_data() -> Any:
    """Return a function that gives the path of real data, or skips where it is absent."""

    def path_of(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"the data {name} is not here: set FABRA_TEST_DATA to the folder that has it")
        return path

    return path_of


PREFIX = f"test:{uuid.uuid4().hex}"


@pytest.fixture(scope="session", autouse=True)
def test_settings() -> Iterator[None]:
    """What all tests run with; a test's own `settings` are set above it."""
    from fabra_project.celery import app

    # What tests publish is kept away from a worker that uses the same server.
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "global_keyprefix": f"{PREFIX}:celery:"}
    with override_settings(
        FABRA_REDIS_PREFIX=PREFIX,
        CACHES={"default": django_settings.CACHES["default"] | {"KEY_PREFIX": f"{PREFIX}:cache"}},
        # The test client speaks HTTP, which production would redirect.
        SECURE_SSL_REDIRECT=False,
        SESSION_COOKIE_SECURE=False,
        CSRF_COOKIE_SECURE=False,
        # On a busy machine a Redis that is well may take a second.
        FABRA_REDIS_TIMEOUT_S=5.0,
        PASSWORD_HASHERS=["tests.hashers.QuickHasher"],
        # A second thread spins while it waits for the first: a test's short texts then take twice the CPU time.
        FABRA_EMBEDDING_THREADS=1,
    ):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, test_settings: None) -> str:
    """Copy the database of each process from one that is migrated; return the name of the project's own."""
    from tests.databases import migrated_database

    connection.settings_dict["TEST"]["TEMPLATE"] = migrated_database()
    return str(connection.settings_dict["NAME"])


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any, django_db_modify_db_settings: str) -> None:
    from tests.databases import keep_rows

    # Where no chosen test uses a database, pytest-django makes none, and this would be the project's own.
    if connection.settings_dict["NAME"] == django_db_modify_db_settings:
        return
    with django_db_blocker.unblock():
        keep_rows()


@pytest.fixture(scope="session")
def redis_server(test_settings: None) -> Iterator[Any]:
    """A client of the tests' server, whatever a test has its settings say."""
    import redis

    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        yield client


@pytest.fixture(autouse=True)
def own_redis_keys(redis_server: Any) -> Iterator[None]:
    """Remove what each test wrote to Redis."""
    from channels.layers import channel_layers

    channel_layers.backends.clear()  # made anew, with this prefix
    yield
    if keys := list(redis_server.scan_iter(f"{PREFIX}:*", count=10_000)):
        redis_server.unlink(*keys)


@pytest.fixture(autouse=True)
def own_definitions() -> Iterator[None]:
    """Forget what a test declared, what it read of the operator's settings, and what failed a moment ago."""
    from chat.bots import known
    from chat.limits import configured as limits
    from chat.phrases import known as phrases
    from chat.providers import circuits, configured
    from common import full_disk
    from contexts import registry as context_registry
    from features import registry, serving
    from features.feature_sets import feature_sets
    from features.models import values
    from retrieval.model_sources.declaration import model_sources
    from retrieval.retrievers import declaration

    registries = (
        registry.entities, registry.features, feature_sets, declaration.retrievers, model_sources,
        context_registry.contexts,
    )  # fmt: skip
    before = [dict(definitions) for definitions in registries]
    values._touched.clear()
    snapshots: tuple[Any, ...] = (
        serving.operator_settings, declaration.operator_settings, context_registry.operator_settings, configured.rows,
        known.rows, limits.rows, phrases.rows,
    )  # fmt: skip
    for snapshot in snapshots:
        snapshot.clear()
    circuits.forget_circuits()
    full_disk.forget_full_disk()
    yield
    for definitions, names in zip(registries, before, strict=True):
        definitions.clear()
        definitions.update(names)


@pytest.fixture
def redis_down(settings: Any) -> Iterator[None]:
    """Point everything at a port where nothing listens."""
    from channels.layers import channel_layers

    from chat.live import broadcast
    from common import redis

    def forget_connections() -> None:
        redis.plain_redis.cache_clear()
        channel_layers.backends.clear()
        broadcast._silent_until = 0.0

    forget_connections()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    yield
    forget_connections()


@pytest.fixture
def broker_down(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point Celery at a port where nothing listens."""
    from kombu import pools

    from fabra_project.celery import app

    def forget_connections() -> None:
        pools.reset()
        app._pool = app.amqp._producer_pool = None

    with monkeypatch.context() as patch:
        for name in ("broker_url", "broker_write_url"):
            patch.setitem(app.conf, name, "redis://127.0.0.1:1/0")
        forget_connections()
        yield
    forget_connections()


@pytest.fixture
def embedder(settings: Any) -> Iterator[type[Any]]:
    """Have documents embedded without a model, by a class whose `failure` is raised while it is set."""
    from retrieval.search.history import remembered_vector
    from tests.embedders import PATH, FragileEmbedder

    settings.FABRA_EMBEDDER, settings.FABRA_EMBEDDING_MODEL = PATH, "hashing-256"
    FragileEmbedder.mend()
    FragileEmbedder.embedded.clear()
    FragileEmbedder.questions.clear()
    remembered_vector.cache_clear()
    yield FragileEmbedder
    FragileEmbedder.mend()
