"""What /chat would fail on is told before it is started."""

from collections.abc import Iterator
from typing import Any

import pytest

from chat.checks import check_chat_context
from chat.turns.resolve_context import configured_context


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    configured_context.cache_clear()
    yield
    configured_context.cache_clear()


def test_the_sample_bots_context_is_found() -> None:
    assert check_chat_context() == []


def test_a_context_that_nobody_declares_is_told(settings: Any) -> None:
    settings.FABRA_CHAT_CONTEXT = "no_such_context"
    (warning,) = check_chat_context()
    assert warning.id == "chat.W001"
    assert "no_such_context" in warning.msg
