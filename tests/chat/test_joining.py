"""Two users who claim one visitor at the same time."""

import threading
from typing import Any

import pytest
from django.db import connection

from chat.conversations.joining import join
from chat.models import Conversation, JoinedVisitor


@pytest.mark.django_db(transaction=True)
def test_of_two_users_who_claim_a_visitor_at_once_one_gets_everything() -> None:
    for number in range(5):
        visitor = f"visitor:{number}"
        Conversation.objects.bulk_create(Conversation(user_id=visitor) for _ in range(3))
        barrier = threading.Barrier(2)
        counts: list[int] = []

        def claim(user_id: str, visitor: str = visitor, barrier: Any = barrier, counts: Any = counts) -> None:
            try:
                barrier.wait(60)
                counts.append(join(visitor, user_id))
            finally:
                connection.close()

        threads = [threading.Thread(target=claim, args=(user_id,)) for user_id in ("ana", "ben")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(counts) == [0, 3]
        owner = JoinedVisitor.objects.get(pk=visitor).user_id
        assert Conversation.objects.filter(user_id=owner).exists()
        assert not Conversation.objects.filter(user_id=visitor).exists()
