"""Rows of a team's own models are documents: saved, linked, left out, deleted, and what they depend on changed."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone

from chat.models import Customer, Ticket
from common.errors import DefinitionError
from common.model_changes import AT_ONCE, Follower, Watch, _link_changed, _link_changing, _sources, register_followers
from events import processing
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from fabra.retrieval import index_model
from retrieval.errors import EmbedderUnavailable
from retrieval.indexing.purge import purge_document
from retrieval.model_sources.relations import read_ahead
from retrieval.model_sources.sync import sync
from retrieval.models import Document, ModelSource, SourcedObject
from retrieval.search.audience import searching_for
from retrieval.search.execute import search_sync
from retrieval.sync_definitions import sync_model_sources
from tests.factories import CustomerFactory, TicketFactory
from tests.retrieval.model_sources import (
    compare,
    declare_pages,
    declare_people,
    declare_tickets,
    documents,
    process_events,
    texts,
)  # fmt: skip

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("embedder")]


def recorded() -> list[tuple[str, str]]:
    return list(Event.objects.order_by("pk").values_list("event_type", "entity_id"))


def test_a_saved_object_is_a_document_with_all_that_its_source_says(settings: Any) -> None:
    settings.FABRA_SITE_URL = "https://shop.example.com"
    declare_tickets()
    ticket = TicketFactory(subject="Broken pump", note="# Pump\n\nIt leaks.", customer__name="Ana")
    event = Event.objects.get()
    assert (event.event_type, event.entity_id) == ("doc_updated", f"chat.ticket:{ticket.pk}")
    assert event.payload["content"] == ticket.note and event.payload["index"] == "desk"
    process_events()
    document = documents()[f"chat.ticket:{ticket.pk}"]
    assert (document.title, document.text, document.audience) == ("Broken pump", "# Pump\n\nIt leaks.", [])
    assert document.metadata["customer"] == "Ana" and document.metadata["since"].startswith("20")
    assert document.metadata["url"] == f"https://shop.example.com/tickets/{ticket.number}/"
    assert document.index.name == "desk"


def test_the_event_is_of_the_callers_transaction() -> None:
    declare_tickets()
    with transaction.atomic():
        TicketFactory(note="Never mind.")
        assert Event.objects.count() == 1
        transaction.set_rollback(True)
    assert not Event.objects.exists()


def test_an_object_that_leaves_the_queryset_is_withdrawn_and_comes_back_with_it() -> None:
    declare_tickets()
    ticket = TicketFactory(note="It leaks.")
    process_events()
    ticket.status = "closed"
    ticket.save()
    process_events()
    assert recorded()[-1][0] == "doc_deleted" and texts() == {} and not SourcedObject.objects.exists()
    ticket.status, ticket.note = "open", "It leaks again."
    ticket.save()
    process_events()
    assert texts() == {f"chat.ticket:{ticket.pk}": "It leaks again."}


def test_deleted_objects_are_withdrawn_whatever_deleted_them() -> None:
    declare_tickets()
    customer = CustomerFactory()
    first, second, third = (TicketFactory(note=f"Note {n}", customer=customer) for n in range(3))
    process_events()
    first.delete()
    Ticket.objects.filter(pk=second.pk).delete()
    process_events()
    assert list(texts()) == [f"chat.ticket:{third.pk}"]
    customer.delete()  # and the ticket by cascade
    process_events()
    assert texts() == {}


def test_an_object_whose_text_is_cleared_is_withdrawn() -> None:
    declare_tickets()
    ticket = TicketFactory(note="It leaks.")
    process_events()
    ticket.note = " \n"
    ticket.save()
    process_events()
    assert texts() == {}


def test_a_new_object_that_is_no_document_makes_no_event() -> None:
    declare_tickets()
    TicketFactory(note="Done.", status="closed")
    TicketFactory(note="")
    assert recorded() == []


def test_a_change_of_what_is_watched_changes_the_documents_that_depend_on_it() -> None:
    declare_tickets()
    ana, ben = CustomerFactory(name="Ana"), CustomerFactory(name="Ben")
    ticket, other = TicketFactory(note="One.", customer=ana), TicketFactory(note="Two.", customer=ben)
    process_events()
    before = Event.objects.count()
    ana.name = "Anna"
    ana.save()
    process_events()
    assert recorded()[before:] == [("doc_updated", f"chat.ticket:{ticket.pk}")]
    assert documents()[f"chat.ticket:{ticket.pk}"].metadata["customer"] == "Anna"
    assert documents()[f"chat.ticket:{other.pk}"].metadata["customer"] == "Ben"


def test_a_watched_row_that_points_to_the_objects_changes_the_one_it_left_too() -> None:
    class Customers:
        watches = [Ticket]

        def text(self, customer: Customer) -> str:
            return " ".join(ticket.subject for ticket in customer.tickets.all()) or "Nothing."

    index_model(Customer, index="desk")(Customers)
    ModelSource.objects.create(name="chat.customer in desk", model="chat.customer", index="desk", format="markdown")
    ana, ben = CustomerFactory(), CustomerFactory()
    ticket = TicketFactory(subject="Pump", customer=ana)
    process_events()
    assert sorted(texts().values()) == ["Nothing.", "Pump"]
    ticket.customer = ben  # type: ignore[assignment]
    ticket.save()
    process_events()
    assert texts() == {f"chat.customer:{ana.pk}": "Nothing.", f"chat.customer:{ben.pk}": "Pump"}
    ticket.delete()
    process_events()
    assert set(texts().values()) == {"Nothing."}


def test_links_to_many_others_change_the_audience_from_either_side() -> None:
    declare_people()
    user, gold, silver = User.objects.create(first_name="Ana"), *map(_group, ("gold", "silver"))
    process_events()

    def audience() -> list[str]:
        process_events()
        return documents()[f"auth.user:{user.pk}"].audience

    user.groups.add(gold)
    assert audience() == ["gold"]
    silver.user_set.add(user)
    assert audience() == ["gold", "silver"]
    gold.user_set.clear()
    assert audience() == ["silver"]
    silver.name = "platinum"
    silver.save()
    assert audience() == ["platinum"]
    user.groups.clear()
    assert audience() == []


def test_of_one_transaction_only_its_end_is_indexed(embedder: Any) -> None:
    declare_people()
    with transaction.atomic():
        user = User.objects.create(first_name="Secret")
        user.groups.add(_group("gold"))
    first, second = Event.objects.order_by("pk")
    assert [first.payload["audience"], second.payload["audience"]] == [[], ["gold"]]
    processing.process(first.pk)  # the first one alone finds what the transaction ended with
    assert documents()[f"auth.user:{user.pk}"].audience == ["gold"]
    second.refresh_from_db()
    assert second.state == Event.State.SUPERSEDED and len(embedder.embedded) == 1


def test_a_change_that_concerns_many_objects_has_the_whole_source_compared() -> None:
    source = declare_tickets()
    customer = CustomerFactory(name="Ana")
    for number in range(AT_ONCE + 1):
        TicketFactory(note=f"Note {number}", customer=customer)
    compare(source)
    Event.objects.all().delete()
    customer.name = "Anna"
    customer.save()
    assert not Event.objects.exists() and ModelSource.objects.requested().get().name == source.name
    compare(source)
    assert {document.metadata["customer"] for document in documents().values()} == {"Anna"}
    assert not ModelSource.objects.requested().exists()


def test_an_error_in_a_method_breaks_no_save_is_told_and_leaves_the_other_objects_alone() -> None:
    declare_tickets(title=lambda self, ticket: {"Good": "Good"}[ticket.subject])
    good, bad = TicketFactory(subject="Good", note="One."), TicketFactory(subject="Bad", note="Two.")
    process_events()
    assert texts() == {f"chat.ticket:{good.pk}": "One."}
    failed = SourcedObject.objects.exclude(error="").get()
    assert (failed.object_pk, failed.error) == (str(bad.pk), "title(): it raised KeyError: 'Bad'")
    assert Event.objects.get(entity_id=f"chat.ticket:{bad.pk}").state == Event.State.RETRYING


def test_a_query_that_fails_in_a_method_leaves_the_callers_transaction_usable() -> None:
    declare_tickets(text=lambda self, ticket: list(Ticket.objects.raw("SELECT nonsense")))
    with transaction.atomic():
        ticket = TicketFactory(note="One.")
        assert Ticket.objects.count() == 1
    assert Event.objects.get().payload == {
        "index": "desk", "model_source": "chat.ticket in desk", "object": str(ticket.pk),
    }  # fmt: skip


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize(
    "audience", [None, "gold", [""], {"gold": 1}, 7, ["*"], ["x" * 151], [f"{n}" for n in range(101)]]
)
def test_a_document_whose_audience_can_not_be_stored_is_withdrawn(audience: Any, is_told: bool) -> None:
    said: list[Any] = [["silver"]]
    source = declare_people(audience=lambda self, user: said[0])
    user = User.objects.create(first_name="Ana")
    process_events()
    said[0] = audience
    user.first_name = "Anna"
    if is_told:
        user.save()
        process_events()
    else:
        User.objects.update(first_name="Anna")
    assert compare(source).failed == 1
    assert texts() == {} and "audience" in SourcedObject.objects.get().error.lower()
    said[0] = ["gold"]
    SourcedObject.objects.update(updated_at=timezone.now() - timedelta(days=1))
    compare(source)
    assert documents()[f"auth.user:{user.pk}"].audience == ["gold"]


def test_an_article_that_a_group_of_a_long_name_gets_is_public_no_more() -> None:
    source = declare_people(audience=lambda self, user: [group.name for group in user.groups.all()])
    user = User.objects.create(first_name="Ana")
    process_events()
    assert documents()[f"auth.user:{user.pk}"].audience == []
    group = _group("g" * 150)
    User.groups.through.objects.bulk_create([User.groups.through(user=user, group=group)])
    compare(source)
    assert documents()[f"auth.user:{user.pk}"].audience == [group.name]
    with searching_for(lambda: [group.name]):
        assert search_sync("desk", "Ana").hits
    assert not search_sync("desk", "Ana").hits


@pytest.mark.parametrize("is_told", [True, False])
def test_a_text_that_fails_leaves_its_document_to_those_only_who_may_read_it(is_told: bool) -> None:
    said: dict[str, Any] = {"text": "Text.", "audience": ["gold", "silver"]}
    source = declare_people(text=lambda self, user: said["text"].strip(), audience=lambda self, user: said["audience"])
    user = User.objects.create(first_name="Ana")

    def change(audience: list[str]) -> list[str]:
        said.update(text=None, audience=audience)
        if is_told:
            user.save()
            process_events()
        compare(source)
        return [document.text for document in documents().values()]

    process_events()
    assert change(["gold", "silver", "bronze"]) == ["Text."]  # others may read the object too, and do not yet
    assert change([]) == ["Text."]
    assert change(["gold"]) == []
    assert "AttributeError" in SourcedObject.objects.get().error


def test_a_document_is_withdrawn_from_others_while_the_model_that_embeds_is_down(embedder: Any) -> None:
    said: dict[str, Any] = {"audience": []}
    source = declare_people(audience=lambda self, user: said["audience"])
    user, other = User.objects.create(username="ana", first_name="Ana"), User.objects.create(first_name="Ben")
    process_events()
    embedder.failure = EmbedderUnavailable
    said["audience"] = ["gold"]
    user.first_name = "Anna"
    user.save()
    process_events()
    assert list(texts()) == [f"auth.user:{other.pk}"]
    User.objects.filter(pk=other.pk).update(first_name="Benn")
    with pytest.raises(EmbedderUnavailable):
        sync(source)
    assert texts() == {}
    embedder.mend()
    SourcedObject.objects.update(updated_at=timezone.now() - timedelta(days=1))
    compare(source)
    assert {document.text: document.audience for document in documents().values()} == {
        "Anna": ["gold"], "Benn": ["gold"],
    }  # fmt: skip


def test_html_is_read_as_the_pages_of_a_site_are() -> None:
    declare_pages()
    page = "<h1>Pump</h1><p>It <b>leaks</b>.</p><script>steal()</script><ul><li>One</li><li>Two</li></ul>"
    TicketFactory(note=page)
    TicketFactory(note="<script>nothing()</script>")
    process_events()
    (document,) = documents().values()
    assert document.title == "Pump" and document.text == "# Pump\n\nIt **leaks**.\n\n- One\n- Two"


@pytest.mark.parametrize(
    "hostile",
    ["<div>" * 600 + "deep" + "</div>" * 600, "<table>" * 3000 + "deep", "<p>a\ud800b</p>", "<ul><li>" * 20_000 + "x"],
)
def test_a_page_that_breaks_its_reader_fails_alone_and_fails_no_save(hostile: str) -> None:
    source = declare_pages()
    said = {"bad": "<p>Was good.</p>"}
    source.declared.__class__.text = lambda self, ticket: said["bad"] if ticket.subject == "bad" else ticket.note
    first = TicketFactory(subject="first", note="<p>First.</p>")
    bad, last = TicketFactory(subject="bad", note="x"), TicketFactory(subject="last", note="<p>Last.</p>")
    process_events()
    said["bad"] = hostile
    bad.save()
    Ticket.objects.filter(pk=last.pk).update(note="<p>Changed.</p>")
    Ticket.objects.filter(pk=first.pk).delete()
    row = compare(source)
    found = texts()
    assert found[f"chat.ticket:{last.pk}"] == "Changed." and f"chat.ticket:{first.pk}" not in found
    failed = SourcedObject.objects.exclude(error="").values_list("object_pk", flat=True)
    assert list(failed) in ([str(bad.pk)], []) and row.failed == len(failed)


def test_a_save_reads_no_html() -> None:
    declare_pages()
    TicketFactory(note="<p>It <b>leaks</b>.</p>")
    payload = Event.objects.get().payload
    assert payload["content"] == "<p>It <b>leaks</b>.</p>" and payload["format"] == "html"


def test_what_a_page_does_not_give_is_told() -> None:
    source = declare_pages()
    picture = f"<p>It leaks.</p><p>{'A' * 5000}</p>"
    ticket = TicketFactory(note=picture)
    process_events()
    (warning,) = SourcedObject.objects.get().warnings
    assert warning["code"] == "giant_words"
    ticket.note = "<p>It leaks.</p>"
    ticket.save()
    process_events()
    assert SourcedObject.objects.get().warnings == []
    Ticket.objects.update(note=picture)
    compare(source)
    assert [warning["code"] for warning in SourcedObject.objects.get().warnings] == ["giant_words"]


def test_a_source_that_is_switched_off_or_gone_changes_nothing() -> None:
    source = declare_tickets()
    ModelSource.objects.update(is_enabled=False)
    TicketFactory(note="One.")
    process_events()
    assert texts() == {} and Event.objects.get().state == Event.State.DONE
    ModelSource.objects.update(is_enabled=True)
    compare(source)
    assert list(texts().values()) == ["One."]


def test_a_client_can_not_send_an_event_about_an_object() -> None:
    declare_tickets()
    payload = {"content": "Mine.", "index": "desk", "model_source": "chat.ticket in desk", "object": "1"}
    record_event(AxiomEvent(event_type="doc_updated", entity_id="chat.ticket:1", payload=payload), Event.Source.API)
    process_events()
    assert texts() == {"chat.ticket:1": "Mine."}


@pytest.mark.parametrize(
    ("model", "options", "methods", "message"),
    [
        (dict, {}, {"text": lambda self, obj: ""}, "takes a model"),
        (Ticket, {}, {}, "no method `text"),
        (Ticket, {"format": "pdf"}, {"text": lambda self, obj: ""}, "format is one of"),
        (Ticket, {"index": " "}, {"text": lambda self, obj: ""}, "index must not be empty"),
        (Ticket, {}, {"text": lambda self: ""}, r"called with \(self, obj\)"),
        (Ticket, {}, {"text": lambda self, obj: "", "watches": ["chat.Customer"]}, "watches lists models"),
        (Ticket, {}, {"text": lambda self, obj: "", "watches": [(Customer, "nowhere")]}, "does not lead"),
        (Ticket, {}, {"text": lambda self, obj: "", "watches": [(Group, "customer")]}, "to Customer, not to Group"),
        (Ticket, {}, {"text": lambda self, obj: "", "watches": Customer}, "watches is a list"),
    ],
)
def test_a_declaration_that_can_not_work_is_refused(model: Any, options: Any, methods: Any, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        index_model(model, **options)(type("Source", (), methods))


@isolate_apps("chat")
def test_a_model_with_a_key_of_several_columns_is_refused() -> None:
    class Seat(models.Model):
        pk = models.CompositePrimaryKey("row", "number")
        row = models.IntegerField()
        number = models.IntegerField()

        class Meta:
            app_label = "chat"

    with pytest.raises(DefinitionError, match="several columns"):
        index_model(Seat, index="desk")(type("Source", (), {"text": lambda self, seat: "A seat."}))


def test_a_title_that_is_none_is_none() -> None:
    declare_tickets(title=lambda self, ticket: None)
    TicketFactory(note="It leaks.")
    process_events()
    assert [document.title for document in documents().values()] == list(documents())  # their ids, not "None"


def test_rows_that_the_default_manager_hides_follow_what_they_watch() -> None:
    declare_tickets(queryset=lambda self: Ticket._base_manager.filter(status="open"))
    ticket = TicketFactory(note="It leaks.", customer__name="Ana")
    process_events()
    hiding = type("Hiding", (models.Manager,), {"get_queryset": lambda self: Ticket._base_manager.none()})()
    hiding.model = Ticket
    default, Ticket._meta.__dict__["default_manager"] = Ticket._default_manager, hiding
    try:
        ticket.customer.name = "Anna"
        ticket.customer.save()
    finally:
        Ticket._meta.__dict__["default_manager"] = default
    process_events()
    assert documents()[f"chat.ticket:{ticket.pk}"].metadata["customer"] == "Anna"


def test_a_save_does_not_fail_where_what_depends_on_it_can_not_be_found() -> None:
    compared: list[str] = []

    def of_no_tenant() -> Any:
        raise RuntimeError("no tenant is active")

    follower = Follower(
        name="of a tenant", rows=of_no_tenant, watches=(Watch(model=Customer, lookups=("customer",)),),
        changed=compared.append, changed_all=lambda: compared.append("all"),
    )  # fmt: skip
    declare_tickets()  # connects the signals of customers

    def sources() -> list[Follower]:
        return [follower]

    register_followers(sources)
    try:
        with transaction.atomic():
            CustomerFactory(name="Ana")
        assert compared == ["all"]
    finally:
        _sources.remove(sources)


@isolate_apps("chat", "django.contrib.auth", "django.contrib.contenttypes")
def test_a_row_between_two_models_changes_what_depends_on_either() -> None:
    class Visit(models.Model):
        customer = models.ForeignKey(Customer, models.CASCADE, related_name="+")
        group = models.ForeignKey(Group, models.CASCADE, related_name="+")

        class Meta:
            app_label = "chat"

    declare_tickets()
    ticket = TicketFactory(note="It leaks.")
    process_events()
    _link_changed(Visit, Visit(customer=ticket.customer, group=_group("staff")), using="default")
    assert recorded()[-1] == ("doc_updated", f"chat.ticket:{ticket.pk}") and len(recorded()) == 2


@isolate_apps("chat", "django.contrib.auth", "django.contrib.contenttypes")
def test_a_row_between_two_models_that_is_moved_changes_what_it_left_too() -> None:
    class Visit(models.Model):
        customer = models.ForeignKey(Customer, models.CASCADE, related_name="+")
        group = models.ForeignKey(Group, models.CASCADE, related_name="+")

        class Meta:
            app_label = "chat"

    with connection.schema_editor() as editor:
        editor.create_model(Visit)
    declare_tickets()
    left, reached = TicketFactory(note="It leaks."), TicketFactory(note="It hums.")
    visit = Visit.objects.create(customer=left.customer, group=_group("staff"))
    process_events()
    before = Event.objects.count()
    visit.customer = reached.customer
    _link_changing(Visit, visit, using="default")
    visit.save()
    _link_changed(Visit, visit, using="default")
    assert {name for _, name in recorded()[before:]} == {f"chat.ticket:{left.pk}", f"chat.ticket:{reached.pk}"}


def test_objects_of_several_classes_are_read_with_what_each_has() -> None:
    declare_people()
    user = User.objects.create(username="ana")
    user.groups.add(_group("staff"))
    ticket = TicketFactory()
    mixed: list[models.Model] = [user, ticket]
    read_ahead(mixed, {"groups", "customer", "customer__tickets", "content_object__author"})
    with CaptureQueriesContext(connection) as queries:
        assert [group.name for group in user.groups.all()] == ["staff"]
        assert ticket.customer.tickets.all()[0] == ticket
    assert len(queries) == 0


def test_a_purged_object_comes_back_only_with_a_change_of_its_own() -> None:
    source = declare_tickets()
    ticket = TicketFactory(note="My number is 42.")
    process_events()
    purge_document("desk", f"chat.ticket:{ticket.pk}")
    compare(source)
    assert texts() == {} and not Event.objects.filter(payload__has_key="content").exists()
    ticket.note = "No number."
    ticket.save()
    process_events()
    assert list(texts().values()) == ["No number."]
    assert not Document.objects.filter(versions__text__contains="42").exists()


@isolate_apps("chat", "django.contrib.auth", "django.contrib.contenttypes")
def test_rows_of_a_parents_table_that_are_no_objects_of_the_source_make_no_events() -> None:
    class Colleague(User):
        class Meta:
            app_label = "chat"

    with connection.schema_editor() as editor:
        editor.create_model(Colleague)

    class Colleagues:
        def queryset(self) -> Any:
            return Colleague.objects.filter(is_active=True)

        def text(self, colleague: Any) -> str:
            return colleague.first_name

    index_model(Colleague, index="desk")(Colleagues)
    sync_model_sources()
    ana = User.objects.create(username="ana")
    ana.save()
    ana.groups.add(_group("staff"))
    ana.delete()
    assert recorded() == []
    colleague = Colleague.objects.create(username="ben", first_name="Ben")
    User.objects.get(pk=colleague.pk).save()
    User.objects.get(pk=colleague.pk).groups.add(_group("desk"))
    user = User.objects.get(pk=colleague.pk)
    user.is_active = False
    user.save()
    assert [name for name, _ in recorded()] == ["doc_updated", "doc_updated", "doc_deleted"]
    assert {entity_id for _, entity_id in recorded()} == {f"chat.colleague:{colleague.pk}"}


def _group(name: str) -> Group:
    return Group.objects.create(name=name)
