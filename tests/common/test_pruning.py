"""The task that prunes: it gets through whatever stays, fails or dies on its way, and runs once at a time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import ProtectedError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import Conversation, Message
from chat.retention import CONVERSATIONS
from common import tasks
from common.models import PrunedKind
from common.retention import Retained, kinds, prune_kind
from common.retention.declaration import BATCH
from contexts.models import Trace
from contexts.retention import TRACES
from features.models import FeatureValue
from features.retention import VALUES
from tests.broker import messages
from tests.common.test_retention import LONG_AGO, trace
from tests.factories import FeatureValueFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def short_slices(settings: Any) -> None:
    """Have each task look at one batch."""
    settings.FABRA_TASK_SLICE_S = -1.0


@pytest.fixture
def only() -> Iterator[Any]:
    """Return a function that has these kinds alone be pruned."""
    before = list(kinds)

    def choose(*chosen: Retained) -> None:
        kinds[:] = chosen

    yield choose
    kinds[:] = before


def conversations(count: int, state: str = "bot") -> list[Conversation]:
    rows = [
        Conversation(user_id="u", state=state, last_message_at=LONG_AGO + timedelta(seconds=n)) for n in range(count)
    ]
    return Conversation.objects.bulk_create(rows)


def turns() -> list[Any]:
    return [message.args[0] for message in messages() if message.task == "common.tasks.prune" and message.args]


def run_all() -> int:
    """Prune as a worker does, until no task is left; return how many there were."""
    tasks.prune()
    for done in range(1, 1000):
        if len(turns()) < done:
            return done
        tasks.prune(turns()[done - 1])
    raise AssertionError("it never ends")


def test_what_stays_stops_nothing_behind_it(only: Any) -> None:
    only(replace(CONVERSATIONS, batch=BATCH), TRACES)
    conversations(3 * BATCH, "waiting")
    (last,) = conversations(1)
    trace()
    assert run_all() < 20
    assert not Conversation.objects.filter(pk=last.pk).exists() and Conversation.objects.count() == 3 * BATCH
    assert not Trace.objects.exists()
    row = PrunedKind.objects.get(pk="conversations")
    assert (row.cursor, row.last_removed) == (None, 1)


def test_a_slice_goes_on_behind_what_the_last_one_looked_at(only: Any) -> None:
    for kind in (CONVERSATIONS, replace(CONVERSATIONS, name="by key", is_indexed=False)):
        only(kind, TRACES)
        conversations(5, "waiting")
        kind = replace(kind, batch=2)
        looked_at = []
        for _ in range(3):
            prune_kind(kind, lambda: True)
            looked_at.append(PrunedKind.objects.get(pk=kind.name).seen)
        assert looked_at == [2, 4, 0], "it has come to its end, and begins anew"
        Conversation.objects.all().delete()


def test_kinds_take_turns(only: Any) -> None:
    only(replace(CONVERSATIONS, batch=1), TRACES)
    conversations(5, "waiting")
    trace()
    tasks.prune()
    tasks.prune(turns()[-1])
    assert not Trace.objects.exists(), "while the other kind is still at its second row"


def test_a_table_of_kept_rows_is_not_read_again_with_each_batch(only: Any) -> None:
    conversations(200, "waiting")
    Conversation.objects.filter(pk__gt=0).update(last_message_at=LONG_AGO)
    kind = replace(CONVERSATIONS, batch=10)
    batch = kind.next_batch([(LONG_AGO + timedelta(seconds=1)).isoformat(), "0"], timezone.now())
    assert batch.keys == [] and batch.is_last
    rows = kind.next_batch([LONG_AGO.isoformat(), "0"], timezone.now())
    assert len(rows.keys) == 10 and not rows.is_last


def test_a_kind_that_fails_stops_no_other_and_is_shown(only: Any, admin_client: Client) -> None:
    def fail(rows: Any) -> None:
        raise ValueError("it has a rule of its own")

    only(replace(CONVERSATIONS, remove=fail), TRACES)
    conversations(3)
    trace()
    run_all()
    assert not Trace.objects.exists() and Conversation.objects.count() == 3
    assert "it has a rule of its own" in admin_client.get(reverse("common:storage")).content.decode()
    only(CONVERSATIONS, TRACES)
    run_all()
    assert not Conversation.objects.exists()
    assert "it has a rule of its own" not in admin_client.get(reverse("common:storage")).content.decode()


def test_a_row_that_cannot_go_keeps_no_other(only: Any) -> None:
    kept, *_ = conversations(4)

    def protect(rows: Any) -> None:
        if rows.filter(pk=kept.pk).exists():
            raise ProtectedError("Another table refers to it.", set())
        rows.delete()

    only(replace(CONVERSATIONS, remove=protect))
    run_all()
    assert Conversation.objects.get() == kept
    assert "ProtectedError" in PrunedKind.objects.get().error


def test_rows_that_go_one_by_one_keep_to_the_slice(only: Any) -> None:
    """Each may have to wait for whoever uses it."""
    alone = []

    def protect(rows: Any) -> None:
        if rows.count() > 1:
            raise ProtectedError("Not together.", set())
        alone.append(rows.get().pk)
        rows.delete()

    for kind in (CONVERSATIONS, replace(CONVERSATIONS, name="by key", is_indexed=False)):
        only(replace(kind, remove=protect))
        keys = [row.pk for row in conversations(4)]
        tasks.prune()
        assert alone == keys[:1] and Conversation.objects.count() == 3
        while Conversation.objects.exists():
            tasks.prune(turns()[-1])
        assert alone == keys, "the next slice goes on behind the last one"
        alone.clear()


def test_where_every_row_fails_the_kind_is_left_for_the_next_round(only: Any) -> None:
    tried = []

    def fail(rows: Any) -> None:
        tried.append(rows.count())
        raise ValueError

    only(replace(CONVERSATIONS, remove=fail, batch=100), TRACES)
    conversations(100)
    run_all()
    # Each task tries what is left together, and then one row.
    assert tried[0] == 100 and 20 < len(tried) < 50


def test_a_kind_whose_age_cannot_be_read_stops_no_other(only: Any) -> None:
    only(replace(CONVERSATIONS, setting="NO_SUCH_SETTING"), TRACES)
    trace()
    run_all()
    assert not Trace.objects.exists()
    assert "NO_SUCH_SETTING" in PrunedKind.objects.get(pk="conversations").error


def test_however_often_it_is_begun_one_task_follows(only: Any) -> None:
    only(replace(CONVERSATIONS, batch=1))
    conversations(6, "waiting")
    tasks.prune()
    tasks.prune()  # beat, while the first one's next task waits
    first, second = turns()
    tasks.prune(first)  # it was replaced
    assert turns() == [first, second]
    tasks.prune(second)
    tasks.prune(second)  # delivered twice
    assert len(turns()) == 3


def test_it_runs_once_at_a_time(only: Any) -> None:
    only(CONVERSATIONS)
    conversations(1)
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('prune', 0))")
        tasks.prune()
        assert Conversation.objects.exists() and turns() == []
        other.execute("SELECT pg_advisory_unlock(hashtextextended('prune', 0))")
    tasks.prune()
    assert not Conversation.objects.exists()


def test_what_dies_in_the_middle_is_gone_on_with_by_its_own_task(only: Any) -> None:
    only(replace(CONVERSATIONS, batch=2))
    conversations(6)
    tasks.prune()
    (turn,) = turns()

    def die(rows: Any) -> None:
        rows.delete()
        with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
        rows.exists()

    only(replace(CONVERSATIONS, batch=2, remove=die))
    with pytest.raises(OperationalError):
        tasks.prune(turn)
    connection.close()
    assert Conversation.objects.count() == 4
    only(replace(CONVERSATIONS, batch=2))
    tasks.prune(turn)  # Celery delivers it again
    assert Conversation.objects.count() == 2 and len(turns()) == 2


def test_a_conversation_that_is_written_into_at_this_moment_stays(only: Any) -> None:
    (row, other_row) = conversations(2)

    def write(rows: Any, now: Any) -> Any:
        with psycopg.connect(**connection.get_connection_params(), autocommit=True) as other:
            other.execute("UPDATE chat_conversation SET last_message_at = now() WHERE id = %s", [row.pk])
        Message.objects.create(conversation_id=row.pk, user_id="u", role="user", text="Are you there?")
        return rows

    assert prune_kind(replace(CONVERSATIONS, removable=write)) == (1, True)
    assert Message.objects.get().conversation == row
    assert not Conversation.objects.filter(pk=other_row.pk).exists()


def test_reading_by_key_ends_where_rows_are_young_and_not_at_a_time_that_lies_ahead() -> None:
    values = replace(VALUES, window=2)
    now = timezone.now()
    for number, created_at in enumerate((LONG_AGO, LONG_AGO, now, now, LONG_AGO)):
        value = FeatureValueFactory.create(event_timestamp=created_at, entity_key=f"k{number}")
        FeatureValue.objects.filter(pk=value.pk).update(created_at=created_at)
    first = values.next_batch(None, now)
    assert len(first.keys) == 2 and not first.is_last
    young = values.next_batch(first.cursor, now)
    assert young.keys == [] and young.is_last, "what comes behind is younger still"
    FeatureValue.objects.filter(created_at=now).update(created_at=now + timedelta(days=400))
    ahead = values.next_batch(first.cursor, now)
    assert ahead.keys == [] and not ahead.is_last, "a wrong clock wrote those"
    assert len(values.next_batch(ahead.cursor, now).keys) == 1


def test_a_staff_member_without_the_permission_sees_no_failure(client: Client) -> None:
    client.force_login(User.objects.create_user("staff", is_staff=True))
    assert client.get(reverse("common:storage")).status_code == 403


def test_an_operator_begins_a_round_and_sees_how_far_it_is(only: Any, admin_client: Client) -> None:
    only(replace(CONVERSATIONS, batch=1), TRACES)
    conversations(3)
    address = reverse("common:storage")
    assert "Nothing was pruned yet." in admin_client.get(address).content.decode()
    page = admin_client.post(reverse("common:prune_now"), follow=True).content.decode()
    assert "A worker removes now what is past its time" in page and len(run_messages()) == 1
    tasks.prune()
    tasks.prune(turns()[-1])
    assert "A round waits for a worker: 1 of 2 kinds of rows are done." in admin_client.get(address).content.decode()
    run_all()
    assert "The last round ended" in admin_client.get(address).content.decode()


def run_messages() -> list[Any]:
    return [message for message in messages() if message.task == "common.tasks.prune" and not message.args]


def test_who_may_only_look_is_offered_nothing(client: Client) -> None:
    user = User.objects.create_user("auditor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_logentry"))
    client.force_login(user)
    assert "Prune now" not in client.get(reverse("common:storage")).content.decode()
    for name in ("prune_now", "believe_clock"):
        assert client.post(reverse(f"common:{name}")).status_code == 403
        assert client.get(reverse(f"common:{name}")).status_code in (403, 405)


def test_the_command_begins_with_the_first_row_wherever_a_round_is(only: Any) -> None:
    only(replace(CONVERSATIONS, batch=2))
    first, *_ = conversations(6, "waiting")
    tasks.prune()
    Conversation.objects.filter(pk=first.pk).update(state="bot")
    out = StringIO()
    call_command("prune", stdout=out)
    assert not Conversation.objects.filter(pk=first.pk).exists()
    assert out.getvalue().splitlines()[0].split() == ["1", "conversations"]


def test_the_command_says_what_could_not_be_removed_and_waits_for_nobody(only: Any) -> None:
    def fail(rows: Any) -> None:
        raise ValueError("it has a rule of its own")

    only(replace(CONVERSATIONS, remove=fail))
    conversations(1)
    with pytest.raises(CommandError, match="conversations: ValueError: it has a rule of its own"):
        call_command("prune")
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('prune', 0))")
        with pytest.raises(CommandError, match="Another process"):
            call_command("prune", wait=0.0)
