"""The limit of CPU time interrupts what hangs."""

import re
from contextlib import suppress

import pytest

from tests.cpu_limit import cpu_limit


def test_a_regular_expression_that_backtracks_is_interrupted() -> None:
    with pytest.raises(pytest.fail.Exception, match="CPU time"), cpu_limit(0.05), suppress(Exception):
        re.fullmatch(r"(a+)+b", "a" * 60)


def test_nothing_is_interrupted_after_the_block() -> None:
    with cpu_limit(0.05):
        pass
    assert sum(range(10_000_000))
