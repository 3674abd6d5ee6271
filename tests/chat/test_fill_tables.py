"""The command that fills an empty database as a busy installation has it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from chat.models import Message
from chat.sample.big_tables import HOT
from contexts.models import Trace
from retrieval.models import Chunk, DocumentVersion

pytestmark = pytest.mark.django_db


def test_each_table_gets_its_share() -> None:
    out = StringIO()
    call_command("fill_tables", scale=0.0001, stdout=out)
    assert "50 traces" in out.getvalue()
    assert (Trace.objects.count(), Message.objects.count()) == (50, 100)
    assert Message.objects.filter(role="assistant", trace__isnull=False).count() == 50
    assert DocumentVersion.objects.filter(document__entity_id=HOT).count() == 200
    assert Chunk.objects.filter(document__entity_id=HOT).count() == 500


def test_a_database_in_use_is_left_alone() -> None:
    call_command("fill_tables", scale=0.0001, stdout=StringIO())
    with pytest.raises(CommandError, match="empty database"):
        call_command("fill_tables", stdout=StringIO())
