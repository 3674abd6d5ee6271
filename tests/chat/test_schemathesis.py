"""schemathesis calls every operation of the OpenAPI schema, with a key and without, and finds nothing.

`FABRA_SCHEMA_EXAMPLES=500 make test ARGS=tests/chat/test_schemathesis.py` looks longer.
"""

import os
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

EXAMPLES = int(os.environ.get("FABRA_SCHEMA_EXAMPLES", "15"))
PROFILE = settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)  # fmt: skip


@pytest.fixture
def api(db: None, settings: Any, embedder: Any) -> Any:
    settings.FABRA_API_DOCS = True
    settings.FABRA_RATE_LIMIT_DEFAULT = 100_000
    return schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())


schema = schemathesis.pytest.from_fixture("api")


@pytest.fixture
def key(db: None) -> str:
    from chat.models import ApiKey

    return ApiKey.make("tester", ApiKey.Scope.values, None)[1]


@schema.parametrize()
@PROFILE
def test_with_a_key(case: Any, key: str) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {key}"})


@schema.parametrize()
@PROFILE
def test_without_a_key(case: Any) -> None:
    case.call_and_validate()
