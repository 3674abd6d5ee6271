"""Comparing a whole source: what no signal told, the first fill, its queries, crashes, and races with saves."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from io import StringIO
from itertools import pairwise
from threading import Event as Signal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone

from chat.models import Customer, Ticket
from common.locks import held
from events import processing
from events.models import Event
from fabra.retrieval import index_model
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.errors import EmbedderUnavailable, ObjectUnreadable
from retrieval.indexing.documents import delete_document, index_document
from retrieval.model_sources import relations
from retrieval.model_sources.batches import BatchSizes
from retrieval.model_sources.declaration import ModelSourceSpec, model_sources
from retrieval.model_sources.handler import sync_lock
from retrieval.model_sources.sync import SourceBusy, due_sources, sync
from retrieval.models import Document, ModelSource, SourcedObject
from retrieval.sync_definitions import sync_model_sources as mirror
from retrieval.tasks import sync_model_source, sync_model_sources
from tests.broker import messages
from tests.embedders import WorkerDied
from tests.factories import CustomerFactory, TicketFactory
from tests.retrieval.model_sources import (
    compare,
    declare_people,
    declare_tickets,
    documents,
    process_events,
    texts,
)  # fmt: skip

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("embedder")]


SMALL = BatchSizes(first_page=100, page=100, indexed=100)


def write_tickets(count: int, customers: int = 10) -> None:
    """Write tickets as no signal tells."""
    owners = Customer.objects.bulk_create(
        Customer(user_id=f"customer_{Customer.objects.count()}_{n}", name=f"Customer {n}") for n in range(customers)
    )
    start = Ticket.objects.count()
    Ticket.objects.bulk_create(
        Ticket(customer=owners[n % customers], number=start + n, subject=f"Subject {n}", note=f"Note {n}. It leaks.")
        for n in range(count)
    )


def test_what_no_signal_told_is_found() -> None:
    source = declare_tickets()
    write_tickets(4)
    row = compare(source)
    assert (row.total, row.compared, row.changed, row.withdrawn, row.failed) == (4, 4, 4, 0, 0)
    first, second, third, fourth = Ticket.objects.order_by("pk")
    Ticket.objects.filter(pk=first.pk).update(note="Rewritten.")
    Ticket.objects.filter(pk=second.pk).update(status="closed")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM chat_ticket WHERE id = %s", [third.pk])
    row = compare(source)
    assert (row.compared, row.changed, row.withdrawn) == (2, 1, 2)
    assert texts() == {f"chat.ticket:{first.pk}": "Rewritten.", f"chat.ticket:{fourth.pk}": "Note 3. It leaks."}
    assert compare(source).changed == 0


def test_the_first_fill_takes_at_most_twenty_queries_for_a_thousand_rows() -> None:
    source = declare_tickets()
    compare(source)  # the index is there
    write_tickets(3000)
    with CaptureQueriesContext(connection) as queries:
        row = compare(source)
    assert row.changed == 3000 == len(documents())
    assert len(queries) <= 20 * 3, len(queries)
    with CaptureQueriesContext(connection) as queries:
        assert compare(source).changed == 0
    assert len(queries) <= 10 * 3, len(queries)


@pytest.mark.parametrize("run", [sync, lambda source: sync_model_source(source.name)], ids=["command", "worker"])
def test_long_rows_take_few_queries_too(run: Callable[[ModelSourceSpec], object]) -> None:
    source = declare_tickets(text=lambda self, ticket: " ".join(f"Pump {ticket.number}-{n} leaks." for n in range(100)))
    compare(source)
    with CaptureQueriesContext(connection) as of_any_comparison:
        run(source)
    write_tickets(1500)
    with CaptureQueriesContext(connection) as queries:
        run(source)
    assert ModelSource.objects.get().changed == 1500 == len(documents())
    assert len(queries) - len(of_any_comparison) <= 20 * 1.5, [query["sql"][:100] for query in queries]


def test_an_end_that_is_asked_for_within_a_batch_leaves_it_where_it_is(embedder: Any) -> None:
    source = declare_tickets(text=lambda self, ticket: " ".join(f"Pump {ticket.number}-{n} leaks." for n in range(600)))
    write_tickets(60)
    asked = iter(range(1000))
    assert not sync(source, until=lambda: next(asked) > 3)
    row = ModelSource.objects.get()
    assert 0 < row.compared == row.changed == len(documents()) < 60
    before = len(embedder.embedded)
    assert sync(source)
    row.refresh_from_db()
    assert (row.compared, row.changed, len(documents())) == (60, 60, 60)
    assert len(embedder.embedded) == len(set(embedder.embedded)) > before


def test_relations_that_the_methods_follow_are_read_for_many_objects_at_once() -> None:
    source = declare_people()
    groups = Group.objects.bulk_create(Group(name=f"group {n}") for n in range(3))
    users = User.objects.bulk_create(User(username=f"u{n}", first_name=f"Name {n}") for n in range(300))
    through = User.groups.through
    through.objects.bulk_create(through(user=user, group=groups[n % 3]) for n, user in enumerate(users))
    with CaptureQueriesContext(connection) as queries:
        compare(source)
    of_groups = [query for query in queries if "auth_group" in query["sql"]]
    assert len(of_groups) <= 4
    assert documents()[f"auth.user:{users[4].pk}"].audience == ["group 1"]


def test_a_source_that_reads_each_object_by_itself_is_told_so_with_what_to_do() -> None:
    source = declare_people(audience=lambda self, user: list(user.groups.values_list("name", flat=True)))
    User.objects.bulk_create(User(username=f"u{n}", first_name=f"Name {n}") for n in range(40))
    said = StringIO()
    call_command("sync_models", stdout=StringIO(), stderr=said)
    assert "queries for 40 objects" in said.getvalue()
    assert "prefetch_related" in ModelSource.objects.get().warning
    source.declared.__class__.audience = lambda self, user: [group.name for group in user.groups.all()]
    assert compare(source).warning == ""


@isolate_apps("chat", "django.contrib.auth", "django.contrib.contenttypes")
def test_generic_relations_that_the_methods_follow_are_read_for_many_objects_at_once() -> None:
    class Remark(models.Model):
        content_type = models.ForeignKey(ContentType, models.CASCADE)
        object_id = models.PositiveIntegerField()
        content_object = GenericForeignKey()

        class Meta:
            app_label = "chat"

    class Chapter(models.Model):
        title = models.CharField(max_length=20)
        remarks = GenericRelation(Remark)

        class Meta:
            app_label = "chat"

    with connection.schema_editor() as editor:
        editor.create_model(Remark)
        editor.create_model(Chapter)
    chapters = Chapter.objects.bulk_create(Chapter(title=f"Chapter {n}") for n in range(30))
    Remark.objects.bulk_create(Remark(content_object=chapter) for chapter in chapters)
    relations.watch(chapters[0])
    assert len(chapters[0].remarks.all()) == 1
    assert relations.followed(chapters[0]) == {"remarks"}
    with CaptureQueriesContext(connection) as queries:
        relations.read_ahead(chapters[1:], {"remarks"})
        assert [len(chapter.remarks.all()) for chapter in chapters[1:]] == [1] * 29
    assert len(queries) == 1


def test_a_document_that_others_changed_or_deleted_is_put_right() -> None:
    source = declare_tickets()
    ticket, other = TicketFactory(note="Mine."), TicketFactory(note="Also mine.")
    process_events()
    index_document("desk", f"chat.ticket:{ticket.pk}", "Theirs.")
    delete_document("desk", f"chat.ticket:{other.pk}")
    index_document("desk", "chat.ticket:999999", "Of no object.")
    index_document("desk", "handbook", "Of no source.")
    assert compare(source).changed == 2
    assert texts() == {
        f"chat.ticket:{ticket.pk}": "Mine.", f"chat.ticket:{other.pk}": "Also mine.", "handbook": "Of no source.",
    }  # fmt: skip


def test_a_comparison_goes_on_where_it_was_stopped(embedder: Any) -> None:
    source = declare_tickets()
    write_tickets(250)
    assert not sync(source, until=lambda: True, sizes=SMALL)
    row = ModelSource.objects.get()
    assert row.is_running and row.compared == 100 == len(documents())
    assert not sync(source, until=lambda: True, sizes=SMALL)
    assert sync(source, sizes=SMALL)
    row.refresh_from_db()
    assert (row.compared, row.changed, row.total) == (250, 250, 250) and not row.is_running
    assert len(embedder.embedded) == 250


def test_a_comparison_whose_worker_dies_embeds_only_its_last_batch_again(embedder: Any) -> None:
    source = declare_tickets()
    write_tickets(300)

    def die_later(row: ModelSource) -> None:
        embedder.failure = WorkerDied

    with pytest.raises(WorkerDied):
        sync(source, on_progress=die_later, sizes=SMALL)
    embedder.mend()
    assert 100 <= len(documents()) < 300
    assert compare(source, sizes=SMALL).changed == 300 and len(documents()) == 300
    assert len(embedder.embedded) == 300


def test_an_embedder_that_is_down_stops_a_comparison_and_the_next_one_goes_on(embedder: Any) -> None:
    source = declare_tickets()
    write_tickets(5)
    embedder.failure = EmbedderUnavailable
    with pytest.raises(EmbedderUnavailable):
        sync(source)
    row = ModelSource.objects.get()
    assert row.is_running and "embedding model" in row.error and due_sources() == [source.name]
    embedder.mend()
    assert compare(source).error == "" and len(documents()) == 5


def test_objects_that_can_not_be_indexed_are_told_and_the_others_go_on() -> None:
    def note(self: Any, ticket: Ticket) -> str:
        return "x\x00y" if ticket.subject == "Subject 1" else 1 / 0 if ticket.subject == "Subject 2" else ticket.note

    source = declare_tickets(text=note)
    write_tickets(4)
    row = compare(source)
    assert (row.compared, row.failed, len(documents())) == (4, 2, 2)
    errors = list(SourcedObject.objects.exclude(error="").order_by("object_pk").values_list("error", flat=True))
    assert errors == ["text must not contain NUL characters.", "text(): it raised ZeroDivisionError: division by zero"]
    assert compare(source).failed == 2


def test_a_queryset_that_fails_is_told_and_withdraws_nothing() -> None:
    source = declare_tickets()
    write_tickets(2)
    compare(source)
    source.declared.queryset = lambda: Ticket.objects.all()[:1]
    with pytest.raises(ObjectUnreadable, match="Cannot reorder a query once a slice has been taken"):
        sync(source)
    row = ModelSource.objects.get()
    assert "queryset()" in row.error and not row.is_running and len(documents()) == 2


def test_one_process_compares_a_source_at_a_time() -> None:
    source = declare_tickets()
    with ThreadPoolExecutor(1) as pool, _held_elsewhere(pool, sync_lock(source.name)), pytest.raises(SourceBusy):
        sync(source)


class _held_elsewhere:  # noqa: N801
    """Hold a lock by another connection."""

    def __init__(self, pool: ThreadPoolExecutor, name: str) -> None:
        self.pool, self.lock = pool, held(name)

    def __enter__(self) -> None:
        assert self.pool.submit(self.lock.__enter__).result()

    def __exit__(self, *error: object) -> None:
        self.pool.submit(self.lock.__exit__, None, None, None).result()
        self.pool.submit(lambda: connection.close()).result()


class SlowEmbedder(HashingEmbedder):
    """Calls a function while it embeds: what happens between the reading of an object and its writing."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def embed(self, texts: Sequence[str]) -> Any:
        action, SlowEmbedder.meanwhile = SlowEmbedder.meanwhile, staticmethod(lambda: None)
        action()
        return super().embed(texts)


@pytest.fixture
def meanwhile(settings: Any) -> Callable[[Callable[[], object]], None]:
    settings.FABRA_EMBEDDER, settings.FABRA_EMBEDDING_MODEL = f"{__name__}.SlowEmbedder", "hashing-256"

    def do(action: Callable[[], object]) -> None:
        def and_disconnect() -> None:
            try:
                action()
            finally:
                connection.close()

        SlowEmbedder.meanwhile = staticmethod(and_disconnect)

    return do


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_new", [True, False])
def test_an_audience_that_is_restricted_during_a_comparison_stays_so(meanwhile: Any, is_new: bool) -> None:
    source = declare_people()
    User.objects.bulk_create([User(username="ana", first_name="Secret")])
    if not is_new:
        compare(source)
        User.objects.update(first_name="Secret, changed")

    def restrict() -> None:
        User.objects.get().groups.add(Group.objects.create(name="gold"))
        process_events()

    meanwhile(restrict)
    sync(source)
    process_events()
    assert [document.audience for document in documents().values()] == [["gold"]]
    assert compare(source).changed == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_new", [True, False])
def test_an_object_that_is_withdrawn_during_a_comparison_stays_so(meanwhile: Any, is_new: bool) -> None:
    source = declare_people()
    User.objects.bulk_create([User(username="ana", first_name="Secret")])
    if not is_new:
        compare(source)
        User.objects.update(first_name="Secret, changed")

    def deactivate() -> None:
        user = User.objects.get()
        user.is_active = False
        user.save()
        process_events()

    meanwhile(deactivate)
    sync(source)
    assert texts() == {}


@pytest.mark.django_db(transaction=True)
def test_the_transaction_that_ends_last_is_read_even_if_its_event_is_the_older_one() -> None:
    """Two transactions change text and audience; the first to begin is the last to end, and its event the older."""
    declare_people()
    user = User.objects.create(username="ana", first_name="Old")
    gold = Group.objects.create(name="gold")
    process_events()
    has_begun, may_end = Signal(), Signal()

    def change_text() -> None:
        try:
            with transaction.atomic():
                mine = User.objects.get()
                mine.first_name = "New"
                mine.save(update_fields=["first_name"])
                has_begun.set()
                assert may_end.wait(60)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(change_text)
        assert has_begun.wait(60)
        # The link is the other transaction's: it needs no lock of the user's row but the key's.
        User.groups.through.objects.create(user=user, group=gold)
        gold.save()  # watched, so that the users of the group are told of
        process_events()
        may_end.set()
        writer.result()
    older = Event.objects.due().get()
    newer = Event.objects.exclude(pk=older.pk).order_by("-occurred_at").first()
    assert older.occurred_at < newer.occurred_at
    processing.process(older.pk)
    (document,) = documents().values()
    assert (document.text, document.audience) == ("New", ["gold"])


def test_beat_compares_what_is_due_and_a_worker_in_slices(settings: Any) -> None:
    source = declare_tickets()
    write_tickets(3)
    assert due_sources() == [source.name]
    sync_model_sources()
    sync_model_source(source.name)
    assert len(documents()) == 3 and due_sources() == []
    ModelSource.objects.update(finished_at=timezone.now() - settings.FABRA_MODEL_SYNC_EVERY - timedelta(seconds=1))
    assert due_sources() == [source.name]
    ModelSource.objects.update(finished_at=timezone.now(), requested_at=timezone.now())
    assert due_sources() == [source.name]
    ModelSource.objects.update(is_enabled=False)
    assert due_sources() == []
    assert messages("ingest")


def test_the_command_compares_checks_and_fails_where_they_differ() -> None:
    source = declare_tickets()
    write_tickets(3)

    def run(*options: str) -> str:
        out = StringIO()
        call_command("sync_models", *options, stdout=out, stderr=out)
        return out.getvalue()

    with pytest.raises(CommandError, match="3 differ"):
        run("--check")
    assert not Document.objects.exists()
    assert "chat.ticket in desk: 3 compared, 3 indexed, 0 withdrawn, 0 failed" in run()
    assert "no difference" in run("--check", source.name)
    Ticket.objects.filter(subject="Subject 0").update(status="closed")
    Ticket.objects.filter(subject="Subject 1").update(note="Other.")
    with pytest.raises(CommandError, match="2 differ"):
        run("--check")
    run(source.name)
    assert sorted(texts().values()) == ["Note 2. It leaks.", "Other."]
    with pytest.raises(CommandError, match=r"declared are: chat\.ticket in desk"):
        run("nothing")
    with pytest.raises(CommandError, match=r"there are: chat\.ticket in desk"):
        run("--withdraw", "nothing")
    ModelSource.objects.update(is_enabled=False)
    Ticket.objects.update(note="Another.")
    assert run("--check") == "chat.ticket in desk: switched off\n"


def test_the_documents_of_a_source_whose_code_is_gone_stay_until_they_are_withdrawn() -> None:
    source = declare_tickets()
    TicketFactory(note="One.", customer=CustomerFactory())
    process_events()
    del model_sources[source.name]
    mirror()
    assert ModelSource.objects.get().gone_at and len(documents()) == 1
    with pytest.raises(CommandError, match="--withdraw"):
        call_command("sync_models", "--check", stdout=StringIO())
    call_command("sync_models", "--withdraw", source.name, stdout=StringIO())
    assert texts() == {} and not SourcedObject.objects.exists()


@pytest.mark.parametrize("options", [[], ["--check"]])
@pytest.mark.parametrize("is_busy", [True, False])
def test_a_source_that_is_not_compared_is_told_and_holds_up_no_other(options: list[str], is_busy: bool) -> None:
    first, second = declare_customers(), declare_tickets()
    write_tickets(3)
    for source in (first, second):
        compare(source)
    if not is_busy:
        first.declared.queryset = lambda: Customer.objects.all()[:1]
    is_compared = is_busy and bool(options)  # a check writes nothing, so that it need not wait
    out = StringIO()
    with (
        ThreadPoolExecutor(1) as pool,
        _held_elsewhere(pool, sync_lock(first.name)) if is_busy else nullcontext(),
        nullcontext() if is_compared else pytest.raises(CommandError, match=rf"Not compared: {first.name}\."),
    ):
        call_command("sync_models", *options, stdout=out, stderr=out)
    said = out.getvalue()
    assert ("being compared" in said, "it raised" in said) == (is_busy and not is_compared, not is_busy)
    assert f"{second.name}: {'no difference' if options else '3 compared'}" in said


def test_a_terminal_without_the_app_takes_no_source_from_the_workers() -> None:
    source = declare_tickets()
    ticket = TicketFactory(note="One.", customer=CustomerFactory())
    process_events()
    spec = model_sources.pop(source.name)
    for options in ((), ("--check",)):
        call_command("sync_models", *options, stdout=StringIO())
    assert ModelSource.objects.get().gone_at is None
    mirror()  # as a migrate there says that its code is gone
    model_sources[source.name] = spec
    ticket.note = "Two."
    ticket.save()
    process_events()
    assert list(texts().values()) == ["Two."] and source.name in due_sources()


def test_a_check_writes_nothing_also_before_the_first_comparison() -> None:
    declare_tickets()
    ModelSource.objects.all().delete()
    with pytest.raises(CommandError, match="1 differ"):
        call_command("sync_models", "--check", stdout=StringIO())
    assert not ModelSource.objects.exists()


def test_rows_that_a_join_gives_several_times_are_one_document_each() -> None:
    source = declare_customers(queryset=lambda self: Customer.objects.filter(tickets__isnull=False))
    write_tickets(30, customers=5)
    row = compare(source)
    assert len(texts()) == 5 and row.error == ""
    Ticket.objects.filter(customer=Customer.objects.first()).delete()
    compare(source)
    assert len(texts()) == 4


def test_an_empty_queryset_withdraws_nothing_and_says_so() -> None:
    source = declare_customers()
    write_tickets(1, customers=12)
    compare(source)
    source.declared.__class__.queryset = lambda self: Customer.objects.none()
    with pytest.raises(ObjectUnreadable, match=r"its queryset\(\) is empty"):
        sync(source)
    assert len(texts()) == 12 and "--withdraw" in ModelSource.objects.get(name=source.name).error
    source.declared.__class__.queryset = lambda self: Customer.objects.all()
    assert compare(source).error == ""


@isolate_apps("chat")
def test_a_key_that_is_too_long_is_told_and_the_other_objects_go_on() -> None:
    class Fare(models.Model):
        code = models.TextField(primary_key=True)

        class Meta:
            app_label = "chat"

    with connection.schema_editor() as editor:
        editor.create_model(Fare)
    index_model(Fare, index="desk")(type("Fares", (), {"text": lambda self, fare: f"It is {fare.code[:10]}."}))
    mirror()
    source = model_sources["chat.fare in desk"]
    keys = [f"{name}{'x' * length}" for name, length in (("a", 10), ("b", 203), ("c", 250), ("d", 400), ("e", 10))]
    Fare.objects.bulk_create(Fare(code=key) for key in keys)
    row = compare(source)
    assert (row.compared, row.failed, row.error) == (5, 2, "")
    assert sorted(texts()) == [f"chat.fare:{key}" for key in (keys[0], keys[1], keys[4])]
    told = dict(SourcedObject.objects.exclude(error="").values_list("object_pk", "error"))
    assert set(told) == {keys[2], keys[3]} and "255 characters" in told[keys[2]]
    Fare.objects.filter(pk__in=keys[1:4]).delete()
    compare(source)
    assert len(texts()) == 2 == SourcedObject.objects.count()


def test_what_is_gone_is_withdrawn_in_batches_between_which_the_clock_is_looked_at() -> None:
    source = declare_tickets()
    write_tickets(40)
    compare(source)
    SourcedObject.objects.filter(pk__in=list(SourcedObject.objects.values_list("pk", flat=True)[:15])).delete()
    Ticket.objects.filter(number__lt=38).update(status="closed")
    left = []
    is_finished = False
    while not is_finished:
        with CaptureQueriesContext(connection) as queries:
            is_finished = sync(source, until=lambda: True, sizes=BatchSizes(withdrawn=5))
        left.append(len(texts()))
    assert left[0] >= 35 and left[-1] == 2 and all(before - after <= 5 for before, after in pairwise(left))
    assert len(queries) < 60
    assert ModelSource.objects.get().withdrawn == 38


def test_many_documents_are_withdrawn_with_few_queries() -> None:
    source = declare_tickets()
    write_tickets(500)
    compare(source)
    Ticket.objects.filter(number__lt=400).update(status="closed")
    with CaptureQueriesContext(connection) as queries:
        assert compare(source).withdrawn == 400
    assert len(texts()) == 100 and len(queries) <= 60, len(queries)


def declare_customers(**methods: Any) -> ModelSourceSpec:
    said = {"text": lambda self, customer: f"About {customer.name}.", "queryset": lambda self: Customer.objects.all()}
    index_model(Customer, index="desk")(type("Customers", (), said | methods))
    mirror()
    return model_sources["chat.customer in desk"]
