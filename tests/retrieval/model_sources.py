"""Sources over models that the project has, for tests: tickets with their customers, users with their groups."""

from typing import Any

from django.contrib.auth.models import Group, User

from chat.models import Customer, Ticket
from events import processing
from events.models import Event
from fabra.retrieval import index_model
from retrieval.model_sources.declaration import ModelSourceSpec, model_sources
from retrieval.model_sources.sync import sync
from retrieval.models import Document, ModelSource
from retrieval.sync_definitions import sync_model_sources


def declare_tickets(**methods: Any) -> ModelSourceSpec:
    """Declare open tickets as documents; `methods` replace those of the class."""

    class Tickets:
        watches = [Customer]

        def queryset(self) -> Any:
            return Ticket.objects.filter(status="open")

        def text(self, ticket: Ticket) -> str:
            return ticket.note

        def title(self, ticket: Ticket) -> str:
            return ticket.subject

        def metadata(self, ticket: Ticket) -> dict[str, Any]:
            return {"customer": ticket.customer.name, "since": ticket.created_at}

        def url(self, ticket: Ticket) -> str:
            return f"/tickets/{ticket.number}/"

    index_model(Ticket, index="desk")(type("Tickets", (Tickets,), methods))
    sync_model_sources()
    return model_sources["chat.ticket in desk"]


def declare_pages() -> ModelSourceSpec:
    """Declare tickets as documents whose notes are HTML."""

    class Pages:
        def text(self, ticket: Ticket) -> str:
            return ticket.note

        def title(self, ticket: Ticket) -> str:
            return ""

    index_model(Ticket, index="desk", format="html")(Pages)
    sync_model_sources()
    return model_sources["chat.ticket in desk"]


def declare_people(**methods: Any) -> ModelSourceSpec:
    """Declare active users as documents that their groups may find."""

    class People:
        watches = [Group]

        def queryset(self) -> Any:
            return User.objects.filter(is_active=True)

        def text(self, user: User) -> str:
            return user.first_name

        def audience(self, user: User) -> list[str]:
            return [group.name for group in user.groups.all()]

    index_model(User, index="desk")(type("People", (People,), methods))
    sync_model_sources()
    return model_sources["auth.user in desk"]


def process_events() -> None:
    """Process what waits, in the order of arrival."""
    for event in Event.objects.due().order_by("pk"):
        processing.process(event.pk)


def compare(source: ModelSourceSpec, **options: Any) -> ModelSource:
    assert sync(source, **options)
    return ModelSource.objects.get(name=source.name)


def documents() -> dict[str, Document]:
    return {document.entity_id: document for document in Document.objects.live().exclude(version=None)}


def texts() -> dict[str, str]:
    return {entity_id: document.text for entity_id, document in documents().items()}
