"""The command that fills an empty database as a busy installation has it."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from chat.models import AuditEntry, Conversation, Feedback, Gap, Message, ModelCall
from chat.sample.big_tables import HOT, HOT_MESSAGES
from contexts.models import Trace
from events.models import HandlerOutcome, WebhookDelivery
from features.models import FeatureConfirmation, FeatureValue, MaterializationRun
from features.registry import features
from retrieval.models import Chunk, DocumentVersion
from retrieval.search.execute import search_sync

pytestmark = pytest.mark.django_db


def test_each_table_gets_its_share() -> None:
    out = StringIO()
    call_command("fill_tables", scale=0.0001, stdout=out)
    assert "50 traces" in out.getvalue()
    assert (Trace.objects.count(), Message.objects.count()) == (50, 98 + HOT_MESSAGES)
    assert Message.objects.filter(role="assistant", trace__isnull=False).count() == 50
    assert DocumentVersion.objects.filter(document__entity_id=HOT).count() == 200
    assert Chunk.objects.filter(document__entity_id=HOT).count() == 500
    assert set(FeatureValue.objects.values_list("feature", flat=True)) <= set(features)
    assert (ModelCall.objects.count(), HandlerOutcome.objects.count(), AuditEntry.objects.count()) == (50, 50, 20)
    assert (WebhookDelivery.objects.count(), Feedback.objects.count(), Gap.objects.count()) == (30, 10, 1)
    assert (FeatureConfirmation.objects.count(), MaterializationRun.objects.count()) == (5, 1)


def test_the_index_is_searched_and_nothing_is_wrong_with_it() -> None:
    call_command("fill_tables", scale=0.0001, stdout=StringIO())
    out = StringIO()
    call_command("verify_index", "big", stdout=out)
    assert "The index big agrees in all its parts." in out.getvalue()
    assert Chunk.objects.values("embedding").distinct().count() == Chunk.objects.count() == 518
    assert "billing" in search_sync("big", "How does billing work?").hits[0].content


def test_a_database_in_use_is_left_alone() -> None:
    call_command("fill_tables", scale=0.0001, stdout=StringIO())
    with pytest.raises(CommandError, match="has conversations; the tables are filled in an empty one"):
        call_command("fill_tables", stdout=StringIO())
    Conversation.objects.all().delete()
    with pytest.raises(CommandError, match="has documents; the tables"):
        call_command("fill_tables", stdout=StringIO())


@pytest.mark.django_db(transaction=True)
def test_a_failure_leaves_the_database_empty_for_another_try() -> None:
    def full_disk(execute: Any, sql: str, *rest: Any) -> Any:
        if "INSERT INTO chat_message" in sql:
            raise OperationalError("could not extend file")
        return execute(sql, *rest)

    with connection.execute_wrapper(full_disk), pytest.raises(OperationalError):
        call_command("fill_tables", scale=0.0001, stdout=StringIO())
    call_command("fill_tables", scale=0.0001, stdout=StringIO())
    assert Trace.objects.count() == 50
