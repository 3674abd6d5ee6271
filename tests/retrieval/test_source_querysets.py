"""A queryset() that a source cannot be read by is found by `manage.py check`, which asks no database."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat.models import Customer, Ticket
from retrieval.checks import check_model_sources
from tests.factories import TicketFactory
from tests.retrieval.model_sources import declare_tickets

pytestmark = pytest.mark.django_db


UNFIT: dict[str, Any] = {
    "slice has been taken": lambda self: Ticket.objects.all()[:10],
    "after union": lambda self: Ticket.objects.filter(number=1).union(Ticket.objects.filter(number=2)),
    r"values\(\)": lambda self: Ticket.objects.values("pk", "note"),
    r"values_list\(\)": lambda self: Ticket.objects.values_list("pk", flat=True),
    r"distinct\('customer'\)": lambda self: Ticket.objects.order_by("customer").distinct("customer"),
    "returns a list": lambda self: [],
    "returns a NoneType": lambda self: None,
    "returns a RawQuerySet": lambda self: Ticket.objects.raw("SELECT * FROM chat_ticket"),
    "rows of Customer": lambda self: Customer.objects.all(),
    "FieldError: Cannot resolve keyword 'nothing'": lambda self: Ticket.objects.filter(**{"nothing": 1}),
}
FIT: dict[str, Any] = {
    "manager": lambda self: Ticket.objects,
    "filtered": lambda self: Ticket.objects.filter(customer__name="Ana").distinct(),
    "distinct keys": lambda self: Ticket.objects.filter(customer__tickets__number=1).distinct("id"),
    "subquery": lambda self: Ticket.objects.filter(pk__in=Ticket.objects.order_by("-pk").values("pk")[:10]),
    "none": lambda self: Ticket.objects.none(),
    "deferred": lambda self: Ticket.objects.select_related("customer").only("note", "customer__name").reverse(),
    "a tenant is missing": lambda self: {}["tenant"],
}


@pytest.mark.parametrize("reason", UNFIT)
def test_a_queryset_that_cannot_be_read_by_keys_is_an_error_with_a_hint(reason: str) -> None:
    declare_tickets(queryset=UNFIT[reason])
    with CaptureQueriesContext(connection) as queries:
        (error,) = check_model_sources()
    assert error.id == "retrieval.E006" and "pk__in" in str(error.hint) and len(queries) == 0
    assert "chat.ticket in desk" in error.msg
    assert re.search(reason, error.msg)


@pytest.mark.parametrize("name", FIT)
def test_any_other_is_none_nor_is_one_that_is_not_known_before_it_runs(name: str) -> None:
    declare_tickets(queryset=FIT[name])
    with CaptureQueriesContext(connection) as queries:
        assert check_model_sources() == []
    assert len(queries) == 0


def test_what_a_queryset_asks_by_itself_is_not_sent() -> None:
    ticket = TicketFactory(note="It leaks.")

    def queryset(self: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE chat_ticket SET note = 'Read.'")
        return Ticket.objects.all()[:10]

    declare_tickets(queryset=queryset)
    assert check_model_sources() == []
    assert Ticket.objects.get(pk=ticket.pk).note == "It leaks."
