"""A citation of a team's own object leads staff to its page in the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory

from contexts.declaration import context
from contexts.items import ContextItem
from contexts.store import FeatureStore
from retrieval.model_sources.links import object_url
from tests.factories import TicketFactory
from tests.retrieval.model_sources import declare_tickets, process_events

pytestmark = pytest.mark.django_db


def url_for(user: Any, index: str = "desk", document_id: str = "chat.ticket:7") -> str:
    request = RequestFactory().get("/")
    request.user = user
    return object_url(index, document_id, request)


def test_staff_who_may_see_the_object_get_its_page_and_others_nothing() -> None:
    declare_tickets()
    agent = User.objects.create(username="agent", is_staff=True)
    assert url_for(agent) == ""
    agent.user_permissions.add(Permission.objects.get(codename="view_ticket"))
    agent = User.objects.get()
    assert url_for(agent) == "/admin/chat/ticket/7/change/"
    assert url_for(agent, index="other") == url_for(agent, document_id="handbook") == ""
    agent.is_staff = False
    assert url_for(agent) == ""


def test_the_passages_of_an_answer_lead_staff_to_their_objects(
    admin_client: Client, use_context: Any, settings: Any
) -> None:
    settings.DEBUG = True
    declare_tickets()
    ticket = TicketFactory(note="The pump leaks at its valve.")
    process_events()
    store = FeatureStore()

    @context(store, name="of_tickets", max_tokens=1000)
    async def of_tickets(user_id: str, query: str) -> list[ContextItem]:
        hits = await store.search("desk", query)
        return [ContextItem(hit.content, source_id=f"chunk:{hit.chunk_id}") for hit in hits]

    use_context(of_tickets)
    body = {"user_id": "admin", "message": "Where does the pump leak?"}
    answer = admin_client.post("/chat", body, content_type="application/json").json()

    def links(client: Client) -> set[str]:
        response = client.get(f"/api/messages/{answer['message_id']}/passages/?user_id=admin")
        return {passage["admin_url"] for passage in response.json()["passages"]}

    assert links(admin_client) == {f"/admin/chat/ticket/{ticket.pk}/change/"}
    assert links(Client()) == {""}
