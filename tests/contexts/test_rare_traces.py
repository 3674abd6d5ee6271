"""Traces that failed, or have no outcome, are found among many that are answered."""

import pytest

from contexts.models import Trace
from tests.plans import indexes_give_the_order


@pytest.mark.django_db
@pytest.mark.parametrize("state", [Trace.State.FAILED, Trace.State.ASSEMBLED])
def test_a_rare_state_has_an_index_that_also_gives_the_order(state: Trace.State) -> None:
    found = Trace.objects.filter(state=state)
    with indexes_give_the_order():
        for plan in (found.order_by("-created_at")[:100].explain(), found.order_by().values("state").explain()):
            assert "trace_unanswered" in plan
