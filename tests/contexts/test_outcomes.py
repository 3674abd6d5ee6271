"""A trace has one outcome: the first that is committed, also where it is written together with other rows."""

import pytest

from common.sql.rows import write_together
from contexts.models import Trace
from contexts.traces import failure_statement, write_outcome

pytestmark = pytest.mark.django_db


def test_a_failure_is_the_outcome_of_a_trace_that_has_none() -> None:
    left, answered, other = (
        Trace.objects.create(context=name, user_id="ana", max_tokens=1, tokens=0, kept=0, dropped=0, duration_ms=1)
        for name in ("left", "answered", "other")
    )
    assert write_outcome(str(answered.pk), answer="Yes.", model="small", outcome={})
    for trace in (left, answered):
        write_together(failure_statement(("SELECT %s::uuid", [trace.pk]), "interrupted"))
    left.refresh_from_db()
    assert (left.state, left.error_code, left.outcome) == ("failed", "interrupted", {"error": "interrupted"})
    assert left.answered_at is not None
    answered.refresh_from_db()
    assert (answered.state, answered.answer, answered.error_code) == ("answered", "Yes.", "")
    other.refresh_from_db()
    assert other.state == "assembled"
