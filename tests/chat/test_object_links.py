"""A citation of a team's own object leads staff to its page in the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import RequestFactory

from retrieval.model_sources.links import object_url
from tests.retrieval.model_sources import declare_tickets

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
