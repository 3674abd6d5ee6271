"""Features from querysets: declared, computed in one query, materialised in pages, and recomputed at a change."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.db.models import Count, DecimalField, F, Max, Q, QuerySet, Value
from django.test.utils import CaptureQueriesContext

from chat.models import Customer, Ticket
from common.errors import DefinitionError, InvalidInput
from common.model_changes import AT_ONCE
from contexts.store import FeatureStore
from events import processing
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from features.checks import check_querysets
from features.declaration import entity, feature
from features.errors import FeatureComputeError
from features.materialization.requests import request_run
from features.materialization.runs import execute_run
from features.models import FeatureDefinition, FeatureValue, KnownEntity, MaterializationRun
from features.registry import features
from features.serving import operator_settings
from features.sync_definitions import sync_features
from tests.factories import TicketFactory

pytestmark = pytest.mark.django_db
store = FeatureStore()
OPEN = Q(tickets__status="open")


@pytest.fixture(autouse=True)
def Member() -> type:  # noqa: N802
    @entity(store, name="Member")
    class Member:
        user_id: str

    return Member


def declare(function: Any = None, **options: Any) -> None:
    """Declare `open_tickets`, the number of a customer's open tickets."""

    def open_tickets(customers: QuerySet[Customer]) -> QuerySet[Customer]:
        return customers.annotate(value=Count("tickets", filter=OPEN))

    arguments: dict[str, Any] = {"source": Customer.objects, "watches": [Ticket], "materialize": True} | options
    feature(entity="Member", name="open_tickets", **arguments)(function or open_tickets)


def read(*keys: str) -> dict[str, Any]:
    found = async_to_sync(store.get_online_features)("Member", list(keys), ["open_tickets"])
    return {key: values["open_tickets"] for key, values in found.items()}


def one_page() -> Any:
    """Return an `until` that leaves time for one page of keys."""
    answers = iter([False])
    return lambda: next(answers, True)


def process_events() -> None:
    for event in Event.objects.due().order_by("pk"):
        processing.process(event.pk)


def outdated() -> list[str]:
    return list(Event.objects.filter(event_type="feature_outdated").order_by("pk").values_list("entity_id", flat=True))


def stored() -> dict[str, Any]:
    rows = FeatureValue.objects.filter(feature="open_tickets").order_by("pk")
    return {row.entity_key: row.value for row in rows}


def customer(user_id: str, **columns: Any) -> Customer:
    return Customer.objects.create(user_id=user_id, **columns)


def customers(number: int) -> list[Customer]:
    rows = [Customer(user_id=f"c{position:04}") for position in range(number)]
    return Customer.objects.bulk_create(rows)


class TestValues:
    def test_many_keys_are_one_query_and_a_key_without_a_row_has_the_default(self) -> None:
        declare(default_value=0)
        ana, ben = customer("ana"), customer("ben")
        TicketFactory(customer=ana), TicketFactory(customer=ana), TicketFactory(customer=ben, status="closed")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert read("ana", "ben", "nobody") == {"ana": 2, "ben": 0, "nobody": 0}
        assert sum("chat_customer" in query["sql"] for query in queries) == 1
        with CaptureQueriesContext(connection) as queries:
            assert read("ana", "ben", "nobody") == {"ana": 2, "ben": 0, "nobody": 0}
        assert not any("chat_customer" in query["sql"] for query in queries)

    def test_without_a_default_it_is_null(self) -> None:
        declare()
        assert read("nobody") == {"nobody": None}

    def test_the_type_is_that_of_the_annotated_field(self) -> None:
        def credit(customers: QuerySet[Customer]) -> Any:
            return customers.annotate(value=Value(Decimal("12.50"), output_field=DecimalField()))

        declare(credit)
        customer("ana")
        assert read("ana") == {"ana": Decimal("12.50")}
        assert read("ana") == {"ana": Decimal("12.50")}

    def test_a_return_annotation_is_the_type_if_it_is_no_queryset(self) -> None:
        def seen(customers: Any) -> str:
            return customers.annotate(value=Max("tickets__created_at"))

        declare(seen)
        TicketFactory(customer=customer("ana"))
        with pytest.raises(FeatureComputeError, match="datetime as str"):
            read("ana")

    def test_the_annotation_may_have_the_features_name(self) -> None:
        declare(lambda customers: customers.annotate(open_tickets=F("tier")))
        customer("ana", tier="gold")
        assert read("ana") == {"ana": "gold"}

    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            (lambda rows: rows, "no such annotation"),
            (lambda rows: rows.annotate(other=F("tier")), "no such annotation"),
            (lambda rows: list(rows), "returned list"),
            (lambda rows: rows.annotate(value=F("nowhere")), "nowhere"),
        ],
    )
    def test_a_function_that_annotates_nothing_fails_at_the_read_and_at_the_check(self, answer: Any, says: str) -> None:
        declare(answer)
        customer("ana")
        with pytest.raises(FeatureComputeError) as failed:
            read("ana")
        assert says in str(failed.value.__cause__)
        (problem,) = check_querysets()
        assert problem.id == "features.E001" and says in problem.msg

    def test_several_rows_of_a_key_are_an_error_unless_they_are_grouped(self) -> None:
        ana = customer("ana")
        TicketFactory(customer=ana), TicketFactory(customer=ana)
        arguments = {"source": Ticket.objects, "key": "customer__user_id", "watches": [Customer]}
        declare(lambda tickets: tickets.annotate(value=F("status")), **arguments)
        with pytest.raises(FeatureComputeError) as failed:
            read("ana")
        assert "several rows" in str(failed.value.__cause__)
        features.clear()
        declare(lambda tickets: tickets.values("customer__user_id").annotate(value=Count("pk")), **arguments)
        assert read("ana") == {"ana": 2}
        features.clear()
        newest = Ticket.objects.order_by("customer__user_id", "-created_at").distinct("customer__user_id")
        declare(lambda tickets: newest.filter(pk__in=tickets).annotate(value=F("number")), **arguments)
        assert read("ana", "ben")["ben"] is None

    def test_keys_have_the_type_of_their_column(self) -> None:
        @entity(store)
        class Account:
            pk: str

        @feature(entity=Account, source=User.objects, default_value="nobody")
        def user_name(users: QuerySet[User]) -> Any:
            return users.annotate(value=F("username"))

        user = User.objects.create(username="ana")
        found = async_to_sync(store.get_online_features)(Account, [str(user.pk), f"0{user.pk}", "x"], [user_name])
        assert [values["user_name"] for values in found.values()] == ["ana", "nobody", "nobody"]

    def test_a_past_moment_is_given_to_a_function_that_takes_one(self) -> None:
        def open_tickets(customers: QuerySet[Customer], as_of: datetime) -> Any:
            return customers.annotate(value=Count("tickets", filter=Q(tickets__created_at__lte=as_of)))

        declare(open_tickets)
        now = datetime.now(UTC)
        ana = customer("ana")
        TicketFactory(customer=ana, created_at=now - timedelta(days=3))
        TicketFactory(customer=ana, created_at=now - timedelta(days=1))
        start, end = now - timedelta(days=4), now - timedelta(hours=1)
        async_to_sync(store.materialize)("open_tickets", start=start, end=end, every="2d")
        moments = [start + timedelta(hours=1), now - timedelta(days=1, hours=12), now]
        rows = [{"user_id": "ana", "event_timestamp": moment} for moment in moments]
        history = async_to_sync(store.get_historical_features)(rows, ["open_tickets"])
        assert [row["open_tickets"] for row in history] == [0, 1, 1]


class TestDeclaration:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"source": Customer}, "such as Customer.objects"),
            ({"source": Customer.objects.all()[:5]}, "sliced"),
            ({"key": "nothing"}, "must be a column of Customer"),
            ({"key": "tickets"}, "must be a column"),
            ({"watches": Ticket}, "list of models"),
            ({"watches": ["chat.Ticket"]}, "watches lists models"),
            ({"watches": [(Ticket, "nowhere")]}, "does not lead"),
            ({"materialize": False, "trigger": "message_sent"}, "takes no trigger"),
            ({"batch": True}, "takes no batch"),
            ({"source": None}, "no queryset as its source, so it takes no watches"),
        ],
    )
    def test_what_cannot_work_is_refused(self, options: Any, says: str) -> None:
        with pytest.raises(DefinitionError, match=says):
            declare(**options)

    def test_the_function_takes_rows_and_is_plain(self) -> None:
        async def waits(customers: Any) -> Any: ...

        with pytest.raises(DefinitionError, match="plain function"):
            declare(waits)
        with pytest.raises(DefinitionError, match=r"called with \(rows\) or \(rows, as_of\)"):
            declare(lambda: None)

    def test_a_right_one_passes_the_check_without_a_query(self, django_assert_num_queries: Any) -> None:
        declare()
        with django_assert_num_queries(0):
            assert check_querysets() == []


class TestMaterialisation:
    def test_the_source_knows_its_keys_and_is_read_in_pages(self, settings: Any) -> None:
        settings.FABRA_MATERIALIZE_CHUNK = 40
        declare(batch_size=40)
        customers(100)
        TicketFactory(customer=Customer.objects.get(user_id="c0099"))
        with CaptureQueriesContext(connection) as queries:
            run = async_to_sync(store.materialize)("open_tickets")
        assert (run.state, run.done, run.total) == ("done", 100, 100)
        assert len(stored()) == 100 and stored()["c0099"] == 1
        computed = [query["sql"] for query in queries if "COUNT" in query["sql"] and "chat_ticket" in query["sql"]]
        assert len(computed) == 3
        pages = [query["sql"] for query in queries if '"user_id" > ' in query["sql"] and "LIMIT 40" in query["sql"]]
        assert len(pages) == 3
        assert not KnownEntity.objects.filter(entity="Member").exists()

    def test_a_run_goes_on_behind_its_cursor(self) -> None:
        declare()
        customers(6)
        run = MaterializationRun.objects.create(feature="open_tickets", cursor="c0003", done=4, claims=1)
        execute_run(run.pk)
        run.refresh_from_db()
        assert (run.state, run.done, run.total) == ("done", 6, 6)
        assert sorted(stored()) == ["c0004", "c0005"]

    def test_what_no_signal_told_is_found_by_the_next_run(self) -> None:
        declare(default_value=0)
        ana, ben = customer("ana"), customer("ben")
        TicketFactory(customer=ana), TicketFactory(customer=ben)
        async_to_sync(store.materialize)("open_tickets")
        assert read("ana", "ben") == {"ana": 1, "ben": 1}
        KnownEntity.objects.touch("Member", ["ana", "ben", "never-a-row"])
        Ticket.objects.filter(customer=ana).update(status="closed")
        Ticket.objects.filter(customer=ben)._raw_delete("default")
        Customer.objects.filter(user_id="ben")._raw_delete("default")
        run = async_to_sync(store.materialize)("open_tickets")
        assert read("ana", "ben") == {"ana": 0, "ben": 0}
        assert run.done == run.total == 2 and "never-a-row" not in stored()


class TestChanges:
    def test_a_change_of_the_rows_or_of_what_they_watch_is_an_event_of_the_callers_transaction(self) -> None:
        declare(default_value=0)
        ana = customer("ana")
        process_events()
        assert read("ana") == {"ana": 0}
        with transaction.atomic():
            TicketFactory(customer=ana)
            transaction.set_rollback(True)
        assert not Event.objects.due().exists()
        ticket = TicketFactory(customer=ana)
        process_events()
        assert read("ana") == {"ana": 1}
        value = FeatureValue.objects.filter(entity_key="ana").latest("pk")
        assert value.source == "event" and value.event is not None and value.event_timestamp > value.event.occurred_at
        ticket.status = "closed"
        ticket.save()
        process_events()
        assert read("ana") == {"ana": 0}

    def test_a_row_that_moves_to_another_key_changes_both(self) -> None:
        declare(default_value=0)
        ana, ben = customer("ana"), customer("ben")
        ticket: Any = TicketFactory(customer=ana)
        process_events()
        assert read("ana", "ben") == {"ana": 1, "ben": 0}
        ticket.customer = ben
        ticket.save()
        process_events()
        assert read("ana", "ben") == {"ana": 0, "ben": 1}
        ben.user_id = "bea"
        ben.save()
        process_events()
        assert read("ben", "bea") == {"ben": 0, "bea": 1}

    def test_deleted_rows_and_rows_that_leave_the_queryset_have_the_default(self) -> None:
        declare(default_value=0, source=Customer.objects.exclude(tier="closed"))
        ana, ben = customer("ana"), customer("ben")
        first, second, third = (TicketFactory(customer=whose) for whose in (ana, ana, ben))
        process_events()
        assert read("ana", "ben") == {"ana": 2, "ben": 1}
        first.delete()
        Ticket.objects.filter(pk=second.pk).delete()
        ben.tier = "closed"
        ben.save()
        process_events()
        assert read("ana", "ben") == {"ana": 0, "ben": 0}
        ana.delete()  # the ticket by cascade
        assert outdated()[-1] == "ana"
        assert third.customer_id == ben.pk

    @pytest.mark.django_db(transaction=True)
    def test_a_run_over_many_rows_that_left_goes_on_in_another_task(self, settings: Any) -> None:
        settings.FABRA_MATERIALIZE_CHUNK = 2
        declare(default_value=0, batch_size=2)
        customers = [customer(name) for name in "abcde"]
        for one in customers:
            TicketFactory(customer=one)
        async_to_sync(store.materialize)("open_tickets")
        assert set(read(*"abcde").values()) == {1}
        KnownEntity.objects.touch("Member", list("abcde"))
        Ticket.objects.all()._raw_delete("default")  # no signal tells
        Customer.objects.exclude(pk=customers[0].pk)._raw_delete("default")
        run = request_run("open_tickets")
        slices = 0
        while MaterializationRun.objects.all().unfinished().exists():
            execute_run(run.pk, until=one_page())
            slices += 1
        run.refresh_from_db()
        assert (run.state, run.done, run.total, slices) == ("done", 5, 5, 3)
        assert set(read(*"abcde").values()) == {0}

    def test_links_to_many_others_change_it_from_either_side(self) -> None:
        @entity(store)
        class Account:
            username: str

        @feature(entity=Account, source=User.objects, watches=[Group], materialize=True)
        def open_tickets(users: QuerySet[User]) -> Any:
            return users.annotate(value=Count("groups"))

        def read_group() -> Any:
            process_events()
            return async_to_sync(store.get_feature)("open_tickets", "ana")

        ana, ben = User.objects.create(username="ana"), User.objects.create(username="ben")
        staff, sales = Group.objects.create(name="staff"), Group.objects.create(name="sales")
        assert read_group() == 0
        ana.groups.add(staff)
        assert read_group() == 1
        sales.user_set.add(ana, ben)
        assert read_group() == 2
        sales.user_set.clear()
        assert read_group() == 1
        staff.delete()
        assert read_group() == 0

    @pytest.mark.django_db(transaction=True)
    def test_a_loop_of_saves_in_a_transaction_is_one_event_of_a_key_and_one_computation(self) -> None:
        declare(default_value=0)
        ana = customer("ana")
        process_events()
        with transaction.atomic():
            for _ in range(20):
                TicketFactory(customer=ana)
        assert outdated().count("ana") == 2
        process_events()
        assert FeatureValue.objects.filter(entity_key="ana").count() == 2 and read("ana") == {"ana": 20}

    def test_an_event_in_a_savepoint_that_is_rolled_back_hides_no_later_one(self) -> None:
        declare(default_value=0)
        ana = customer("ana")
        process_events()
        with transaction.atomic():
            TicketFactory(customer=ana)
            transaction.set_rollback(True)
        TicketFactory(customer=ana)
        process_events()
        assert read("ana") == {"ana": 1}

    def test_a_change_of_more_keys_than_a_hundred_is_a_run_and_of_several_such_one(self) -> None:
        def members(users: QuerySet[User]) -> Any:
            return users.annotate(value=Max("groups__name"))

        @entity(store)
        class Account:
            username: str

        feature(entity=Account, name="open_tickets", source=User.objects, watches=[Group])(members)
        group = Group.objects.create(name="staff")
        User.objects.bulk_create([User(username=f"u{number}") for number in range(AT_ONCE + 1)])
        group.user_set.set(User.objects.all())
        group.name = "crew"
        group.save()
        process_events()
        run = MaterializationRun.objects.get()
        assert (run.feature, run.entity_keys) == ("open_tickets", None)

    def test_a_model_that_no_lookup_leads_to_changes_all(self) -> None:
        declare(watches=[Group])
        Group.objects.create(name="staff")
        assert outdated() == ["open_tickets"]
        process_events()
        assert MaterializationRun.objects.get().feature == "open_tickets"

    def test_a_value_that_is_only_computed_when_it_is_read_is_not_computed_before(self) -> None:
        declare(materialize=False)
        ana = customer("ana")
        process_events()
        assert stored() == {}
        assert read("ana") == {"ana": 0}
        TicketFactory(customer=ana)
        process_events()
        assert read("ana") == {"ana": 1}

    def test_one_that_is_switched_off_is_left_alone(self) -> None:
        declare()
        sync_features()
        FeatureDefinition.objects.filter(name="open_tickets").update(is_enabled=False)
        operator_settings.clear()
        customer("ana")
        process_events()
        assert stored() == {} and Event.objects.get(entity_id="ana").state == Event.State.DONE

    def test_a_query_that_fails_breaks_no_save_and_is_tried_again(self) -> None:
        declare(lambda rows: rows.annotate(value=F("nowhere")))
        customer("ana")
        process_events()
        assert Event.objects.get(entity_id="ana").state == Event.State.RETRYING

    def test_a_client_can_not_send_such_an_event(self) -> None:
        declare()
        event = AxiomEvent(event_type="feature_outdated", entity_id="ana", payload={"feature": "open_tickets"})
        record_event(event, Event.Source.API)
        process_events()
        assert stored() == {} and Event.objects.get().state == Event.State.UNHANDLED

    def test_the_transaction_that_ends_last_is_read_even_if_its_event_is_the_older_one(self) -> None:
        """The value is read when the event is processed, whatever the event's time."""
        declare(default_value=0)
        ana = customer("ana")
        older = Event.objects.get()
        Event.objects.update(state="running")
        TicketFactory(customer=ana)
        process_events()
        assert read("ana") == {"ana": 1}
        Ticket.objects.update(status="closed")
        Event.objects.filter(pk=older.pk).update(state="received")
        processing.process(older.pk)
        assert read("ana") == {"ana": 0}


def test_a_key_that_no_source_gives_is_refused_as_any_other() -> None:
    declare()
    with pytest.raises(InvalidInput):
        read(" ana")
