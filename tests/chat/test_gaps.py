"""Gaps: what was not answered is collected, grouped by meaning, and asked again once an article is there."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat import tasks
from chat.definitions import passages, store
from chat.engine.gap_questions import ask_gap
from chat.engine.unanswered import answer_last
from chat.feedback import give_feedback
from chat.gaps.decisions import due_gaps, link_article, merge, reopen, rule_out
from chat.gaps.grouping import LOCK, group_new
from chat.gaps.marking import mark
from chat.gaps.reasons import reasons_of
from chat.handover import actions
from chat.models import ApiKey, Conversation, Gap, GapQuestion, Message
from chat.retention import CONVERSATIONS
from common.locks import lock_in_transaction
from common.models import PrunedKind
from common.redis import plain_redis, redis_key
from common.retention import prune_kind
from contexts.declaration import context
from contexts.items import ContextItem, Escalation, escalate
from events.event import AxiomEvent
from events.models import Event
from events.outbox import record_event
from events.processing import process
from events.signals import recorded
from retrieval.embedders import get_embedder
from retrieval.embedders.minilm import is_prepared
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Document, Index
from tests.broker import messages
from tests.embedders import FragileEmbedder, WorkerDied
from tests.model_server import ModelServer
from tests.processes import wait_until

pytestmark = pytest.mark.django_db
EXPORT = "How do I export the invoices of a year?"
PHONE = "Which telephone number reaches the support team?"


def ask_unanswered(text: str = EXPORT, reason: str = "not_known", conversation: Conversation | None = None) -> Message:
    """Write a question with its answer, and mark it."""
    conversation = conversation or Conversation.objects.create(user_id="user_123")
    said = {"conversation": conversation, "user_id": conversation.user_id}
    question = Message.objects.create(**said, role=Message.Role.USER, text=text)
    Message.objects.create(**said, role=Message.Role.ASSISTANT, text="I do not know.")
    mark(question.pk, reason)
    return question


def gap_of(text: str = EXPORT, count: int = 1) -> Gap:
    """Return the gap of a question that was asked `count` times."""
    questions = [ask_unanswered(text) for _ in range(count)]
    group_new()
    return Gap.objects.get(questions__message=questions[0])


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(cursor.fetchone()[0])


def tend_gaps() -> None:
    """Do what the beat has done, and the task that it enqueues."""
    tasks.tend_gaps()
    for message in messages("models"):
        if message.task == "chat.tasks.ask_due_gaps":
            tasks.ask_due_gaps()
            break


def run_events(*types: str) -> None:
    for pk in Event.objects.filter(event_type__in=types, state="received").values_list("pk", flat=True):
        process(pk)


def reasons(message_id: int) -> list[list[str]]:
    return list(GapQuestion.objects.filter(message=message_id).values_list("reasons", flat=True))


class TestMarking:
    def test_an_answered_question_is_no_gap(self, bot: None, ask: Callable[..., Any]) -> None:
        ask("How do I reset my password?")
        assert not GapQuestion.objects.exists()

    def test_a_question_that_is_not_answered_is_marked_with_its_answer(
        self, bot: None, ask: Callable[..., Any]
    ) -> None:
        body = ask("Zebra quagga okapi?").json()
        question = GapQuestion.objects.get()
        assert question.reasons == ["not_known"]
        assert str(question.message.trace_id) == body["context_id"]

    @pytest.mark.parametrize(
        ("flags", "grounding", "searches", "expected"),
        [
            ([], None, [{}], ["nothing_found"]),
            ([], None, [], []),  # the context searches nothing
            (["small_talk"], None, [{}], []),
            (["semantic_unavailable"], None, [{}], []),  # an outage is no gap
            (["grounding_degraded"], {"share": 0.0}, [], []),
            (["not_known"], {"share": 0.0}, [], ["not_known"]),
            ([], {"share": 0.49}, [], ["not_supported"]),
            ([], {"share": 0.5}, [], []),
            ([], {"share": None, "sentences": []}, [], []),
        ],
    )
    def test_the_answer_tells_whether_it_is_one(
        self, flags: list[str], grounding: Any, searches: list[Any], expected: list[str]
    ) -> None:
        assert reasons_of({"searches": searches}, [], flags, grounding, is_extractive=False) == expected

    def test_a_thumbs_down_marks_and_its_withdrawal_takes_it_back(self, bot: None, ask: Callable[..., Any]) -> None:
        answer = Message.objects.get(pk=ask().json()["message_id"])
        question = Message.objects.get(role="user")
        give_feedback(answer.pk, "user_123", "down", "Wrong.")
        run_events("feedback_given")
        assert reasons(question.pk) == [["thumbed_down"]]
        group_new()
        give_feedback(answer.pk, "user_123", "up")
        run_events("feedback_given")
        assert reasons(question.pk) == [] and not Gap.objects.exists()

    def test_events_out_of_order_leave_what_the_user_said_last(self, bot: None, ask: Callable[..., Any]) -> None:
        answer = Message.objects.get(pk=ask().json()["message_id"])
        for value in ("down", None, "down", "up"):
            give_feedback(answer.pk, "user_123", value)
        for pk in Event.objects.filter(event_type="feedback_given").order_by("-pk").values_list("pk", flat=True):
            process(pk)
        assert not GapQuestion.objects.exists()

    def test_who_asks_for_a_person_marks_the_question_before_it(self, bot: None, ask: Callable[..., Any]) -> None:
        conversation = ask().json()["conversation_id"]
        ask("A human, please!", conversation_id=conversation)
        ask("How do I pay?", conversation_id=conversation)  # meanwhile, before the event is handled
        run_events("conversation_escalated")
        question = GapQuestion.objects.get()
        assert (question.message.text, question.reasons) == ("How do I reset my password?", ["escalated"])

    def test_who_is_content_and_asks_for_a_person_then_marks_nothing(self, bot: None, ask: Callable[..., Any]) -> None:
        conversation = ask().json()["conversation_id"]
        for text in ("Thanks!", "I want to talk to a human about my invoice"):
            ask(text, conversation_id=conversation)
        run_events("conversation_escalated")
        assert Event.objects.get(event_type="conversation_escalated").state == "done"
        assert not GapQuestion.objects.exists()

    def test_an_agent_who_is_gone_marks_nothing(self, bot: None, ask: Callable[..., Any]) -> None:
        body = ask().json()
        question = Message.objects.get(role="user")
        payload = {"conversation_id": body["conversation_id"], "reason": "agent_gone", "message_id": question.pk}
        event = AxiomEvent(event_type="conversation_escalated", entity_id="user_123", payload=payload)
        record_event(event, Event.Source.CHAT)
        run_events("conversation_escalated")
        assert not GapQuestion.objects.exists()

    def test_a_thumbs_down_marks_its_own_question_and_no_other(self, bot: None, ask: Callable[..., Any]) -> None:
        first = ask().json()
        question = Message.objects.get(role="user")
        ask("How do I pay?", conversation_id=first["conversation_id"])
        give_feedback(first["message_id"], "user_123", "down")
        for _ in range(2):
            run_events("feedback_given", "conversation_escalated")
        escalated = Event.objects.get(event_type="conversation_escalated")
        assert (escalated.payload["reason"], escalated.payload["message_id"]) == ("thumbs_down", question.pk)
        assert list(GapQuestion.objects.values_list("message", "reasons")) == [(question.pk, ["thumbed_down"])]
        give_feedback(first["message_id"], "user_123", None)
        run_events("feedback_given")
        assert not GapQuestion.objects.exists()

    @pytest.mark.parametrize("is_alone", [True, False])
    def test_a_context_that_wants_a_person_marks_its_own_question(
        self, is_alone: bool, bot: None, ask: Callable[..., Any], use_context: Callable[[Any], None]
    ) -> None:
        @context(name="careful", max_tokens=1000)
        async def careful(user_id: str, query: str) -> list[ContextItem | Escalation] | Escalation:
            wish = escalate("A cancellation is a person's to handle.")
            if "Cancel" not in query:
                return [ContextItem("Be kind.", required=True)]
            return wish if is_alone else [ContextItem("Be kind.", required=True), wish]

        use_context(careful)
        first = ask().json()
        GapQuestion.objects.all().delete()
        ask("Cancel my contract", conversation_id=first["conversation_id"])
        run_events("conversation_escalated")
        question = GapQuestion.objects.get()
        assert (question.message.text, "escalated" in question.reasons) == ("Cancel my contract", True)

    def test_reasons_add_up_and_a_deleted_question_stays_deleted(self, embedder: Any) -> None:
        question = ask_unanswered()
        for reason in ("escalated", "escalated"):
            mark(question.pk, reason)
        assert reasons(question.pk) == [["escalated", "not_known"]]
        pk = question.pk
        question.conversation.delete()
        mark(pk, "escalated")
        assert not GapQuestion.objects.exists()


class TestGrouping:
    def test_questions_of_one_meaning_are_one_gap(self, embedder: Any) -> None:
        for text in (EXPORT, "How do I export the invoices of this year?", PHONE):
            ask_unanswered(text)
        assert group_new() == 3
        assert [gap.question_count for gap in Gap.objects.all()] == [2, 1]
        assert Gap.objects.last().title == PHONE

    @pytest.mark.skipif(not is_prepared(), reason="the embedding model is missing: run `manage.py prepare_assets`")
    def test_a_paraphrase_joins_by_meaning(self) -> None:
        for text in (
            "How do I delete my account?", "I want my account deleted", "please remove my account for good",
            "Which payment methods do you accept?", "what payment methods are possible",
        ):  # fmt: skip
            ask_unanswered(text)
        group_new()
        assert sorted(gap.question_count for gap in Gap.objects.all()) == [2, 3]

    def test_each_new_question_is_one_event(self, embedder: Any) -> None:
        question = ask_unanswered()
        for _ in range(3):
            group_new()
        event = Event.objects.get(event_type="question_unanswered")
        assert event.entity_id == "user_123"
        assert event.payload == {
            "conversation_id": question.conversation_id, "message_id": question.pk, "context_id": None,
            "question": EXPORT, "reasons": ["not_known"], "gap_id": Gap.objects.get().pk,
        }  # fmt: skip

    def test_vectors_that_are_stored_are_not_made_again(self, embedder: type[FragileEmbedder]) -> None:
        model = get_embedder()
        question = ask_unanswered()
        Message.objects.filter(pk=question.pk).update(
            embedding=model.embed_query("something else"), embedding_model=model.model
        )
        embedder.questions.clear()
        group_new()
        assert embedder.questions == []
        other = ask_unanswered("something else")
        group_new()
        assert Gap.objects.get().question_count == 2
        other.refresh_from_db()
        assert other.embedding_model == model.model and len(other.embedding) == model.dimension

    def test_a_follow_up_means_what_was_asked_before_it_too(self, embedder: Any) -> None:
        for subject in (EXPORT, PHONE):
            conversation = Conversation.objects.create(user_id="user_123")
            Message.objects.create(conversation=conversation, user_id="user_123", role="user", text=subject)
            ask_unanswered("And on free?", conversation=conversation)
        group_new()
        assert Gap.objects.count() == 2
        ask_unanswered(EXPORT)
        group_new()
        assert Gap.objects.first().title == EXPORT  # not the follow-up, which says little by itself

    @pytest.mark.parametrize(
        "question", ["Is there a discount for nonprofits?", "And how many requests does the Business plan have?"]
    )
    def test_a_question_that_says_what_it_asks_for_is_one_gap_whatever_was_asked_before(
        self, embedder: Any, question: str
    ) -> None:
        for subject in ("Zebras paint quinces slowly?", "Penguins swim southwards daily?"):
            conversation = Conversation.objects.create(user_id="user_123")
            Message.objects.create(conversation=conversation, user_id="user_123", role="user", text=subject)
            ask_unanswered(question, conversation=conversation)
        group_new()
        assert Gap.objects.count() == 1

    def test_a_follow_up_is_told_by_the_words_of_the_indexs_language(self, bot: None) -> None:
        conversation = Conversation.objects.create(user_id="user_123")
        ask_unanswered(EXPORT, conversation=conversation)
        follow_up = ask_unanswered("Welche Rabatte gibt es dafür im Jahr?", conversation=conversation)
        Index.objects.update(language="german")
        group_new()
        assert GapQuestion.objects.get(message=follow_up).is_follow_up

    def test_without_the_model_they_wait_and_lose_nothing(self, embedder: type[FragileEmbedder]) -> None:
        from retrieval.errors import EmbedderUnavailable

        ask_unanswered()
        embedder.failure = EmbedderUnavailable
        assert group_new() == 0
        embedder.mend()
        assert group_new() == 1

    def test_a_question_that_the_model_refuses_holds_up_no_other(self, embedder: type[FragileEmbedder]) -> None:
        from retrieval.errors import TextRefused

        ask_unanswered()
        embedder.question_failure = TextRefused
        assert group_new() == 0
        embedder.mend()
        ask_unanswered(PHONE)
        assert group_new() == 1

    def test_after_a_change_of_the_model_old_and_new_questions_meet(self, embedder: Any, settings: Any) -> None:
        gap_of(EXPORT, 2)
        settings.FABRA_EMBEDDING_MODEL = "hashing-128"
        ask_unanswered(EXPORT)
        group_new()
        gap = Gap.objects.get()
        assert (gap.question_count, len(gap.centroid)) == (3, 128)

    def test_gaps_are_merged_into_the_larger_one(self, embedder: Any) -> None:
        larger, smaller = gap_of(EXPORT, 2), gap_of(PHONE)
        assert merge([smaller, larger]) == larger
        gap = Gap.objects.get()
        assert (gap.pk, gap.question_count, gap.title) == (larger.pk, 3, EXPORT)

    def test_a_question_of_an_answered_gap_opens_it_again(self, embedder: Any) -> None:
        gap = gap_of()
        Gap.objects.update(state="answered", asked_at=timezone.now())
        ask_unanswered()
        group_new()
        gap.refresh_from_db()
        assert (gap.state, gap.question_count) == ("open", 2)

    @pytest.mark.parametrize("state", ["out_of_scope", "linked"])
    def test_other_decisions_stay(self, state: str, embedder: Any) -> None:
        gap = gap_of()
        Gap.objects.update(state=state)
        ask_unanswered()
        group_new()
        gap.refresh_from_db()
        assert (gap.state, gap.question_count) == (state, 2)


class TestDeletion:
    def test_a_deleted_conversation_leaves_no_question_and_no_title(self, embedder: Any) -> None:
        first = ask_unanswered(EXPORT)
        other = ask_unanswered("How do I export the invoices of this year?")
        group_new()
        gap = Gap.objects.get()
        kept, gone = (other, first) if gap.title == EXPORT else (first, other)
        gone.conversation.delete()
        gap.refresh_from_db()
        assert (gap.question_count, gap.title) == (1, kept.text)
        kept.conversation.delete()
        assert not Gap.objects.exists()

    def test_of_pruned_conversations_each_gap_is_computed_anew_once(self, embedder: Any) -> None:
        first, other = ask_unanswered(EXPORT), ask_unanswered("How do I export the invoices of this year?")
        old = [ask_unanswered(EXPORT) for _ in range(3)] + [ask_unanswered(PHONE)]
        group_new()
        conversations = Conversation.objects.filter(pk__in=[question.conversation_id for question in old])
        conversations.update(last_message_at=timezone.now() - timedelta(days=366))
        with CaptureQueriesContext(connection) as queries:
            assert prune_kind(CONVERSATIONS) == (4, True)
        gap = Gap.objects.get()
        assert gap.question_count == 2 and gap.title in (first.text, other.text)
        assert sum("AVG(" in query["sql"] for query in queries) == 1, "the other gap has no question left"

    def test_a_conversation_with_several_gaps_is_deleted_at_once(self, embedder: Any) -> None:
        conversation = Conversation.objects.create(user_id="user_123")
        for text in (EXPORT, PHONE, EXPORT):
            ask_unanswered(text, conversation=conversation)
        group_new()
        conversation.delete()
        assert not Gap.objects.exists() and not GapQuestion.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    def test_pruning_and_merging_do_not_wait_for_each_other(self, embedder: Any) -> None:
        larger, smaller = gap_of(EXPORT, 2), gap_of(PHONE)
        Conversation.objects.update(last_message_at=timezone.now() - timedelta(days=366))

        def prune() -> tuple[int, bool]:
            try:
                return prune_kind(CONVERSATIONS)
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                lock_in_transaction(LOCK)  # as `merge` does first
                pruned = pool.submit(prune)
                wait_until(lambda: waiting_for_locks() == 1)
                merge([larger, smaller])
            assert pruned.result(timeout=30) == (3, True)
        assert not Gap.objects.exists() and not PrunedKind.objects.get().error

    def test_two_workers_at_once_group_each_question_once(self, embedder: Any) -> None:
        for number in range(20):
            ask_unanswered(EXPORT if number % 2 else PHONE)

        def work(_: int) -> int:
            try:
                return group_new()
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(work, range(4))) <= 20
        group_new()
        assert sorted(gap.question_count for gap in Gap.objects.all()) == [10, 10]
        assert Event.objects.filter(event_type="question_unanswered").count() == 20

    def test_a_worker_that_dies_leaves_nothing_half_done(self, embedder: type[FragileEmbedder]) -> None:
        def die(**kwargs: Any) -> None:
            raise WorkerDied

        for text in (EXPORT, PHONE):
            ask_unanswered(text)
        recorded.connect(die)  # at the end of the transaction
        try:
            with pytest.raises(WorkerDied):
                group_new()
        finally:
            recorded.disconnect(die)
        assert not Gap.objects.exists() and not Event.objects.filter(event_type="question_unanswered").exists()
        embedder.questions.clear()
        assert group_new() == 2
        assert embedder.questions == []  # what was done before is not done again

    def test_deleting_while_grouping_leaves_no_wrong_count(self, embedder: Any) -> None:
        questions = [ask_unanswered(EXPORT) for _ in range(12)]
        group_new()
        more = [ask_unanswered(EXPORT) for _ in range(12)]

        def delete(message: Message) -> None:
            try:
                message.conversation.delete()
            finally:
                connection.close()

        def group(_: Message) -> None:
            try:
                group_new()
            finally:
                connection.close()

        with ThreadPoolExecutor(6) as pool:
            jobs = [pool.submit(delete, message) for message in questions + more[:6]]
            jobs += [pool.submit(group, message) for message in more[:4]]
            for job in jobs:
                job.result()
        group_new()
        gap = Gap.objects.get()
        assert (gap.question_count, gap.questions.count()) == (6, 6)


@pytest.fixture
def article(bot: None) -> Document:
    index_document("knowledge_base", "export", f"# Export\n\n{EXPORT} Click **Export** under Invoices of a year.")
    return Document.objects.select_related("index").get(entity_id="export")


class TestAskingAgain:
    def test_a_linked_article_answers_the_gap_and_shows_how(self, article: Document) -> None:
        gap = gap_of(count=2)
        link_article(gap, article, by="ed")
        assert due_gaps(10) == [gap.pk]
        tend_gaps()
        gap.refresh_from_db()
        assert (gap.state, gap.asked_version, gap.decided_by) == ("answered", article.version_id, "ed")
        question = gap.questions.first()
        assert question.is_answered and "Click **Export**" in question.after["answer"]
        assert question.after["citations"][0]["document_id"] == "export"
        assert due_gaps(10) == []
        assert Message.objects.count() == 4  # nothing was said to anybody

    def test_an_article_that_is_not_found_answers_nothing(self, article: Document) -> None:
        gap = gap_of(PHONE)
        link_article(gap, article, by="ed")
        tend_gaps()
        gap.refresh_from_db()
        assert (gap.state, gap.questions.get().is_answered) == ("linked", False)

    def test_a_changed_article_is_asked_again(self, article: Document, settings: Any) -> None:
        gap = gap_of(PHONE)
        link_article(gap, article, by="ed")
        tend_gaps()
        index_document("knowledge_base", "export", f"# Telephone\n\n{PHONE} It is 030 123.")
        assert due_gaps(10) == []  # it was asked a moment ago
        Gap.objects.update(asked_at=timezone.now() - timezone.timedelta(minutes=6))
        tend_gaps()
        gap.refresh_from_db()
        assert gap.state == "answered"
        index_document("knowledge_base", "export", "# Something else\n\nNothing of the kind.")
        Gap.objects.update(asked_at=timezone.now() - timezone.timedelta(minutes=6))
        tend_gaps()
        gap.refresh_from_db()
        assert gap.state == "open"

    def test_a_deleted_article_opens_the_gap_again(self, article: Document) -> None:
        gap = gap_of()
        link_article(gap, article, by="ed")
        tend_gaps()
        delete_document("knowledge_base", "export")
        tend_gaps()
        gap.refresh_from_db()
        assert (gap.state, gap.document) == ("open", None)

    def test_an_article_that_is_not_indexed_yet_is_waited_for(self, article: Document) -> None:
        gap = gap_of()
        Document.objects.filter(pk=article.pk).update(version=None)
        link_article(gap, article, by="ed")
        assert due_gaps(10) == [] and not ask_gap(gap.pk)

    def test_what_one_task_has_no_time_for_another_one_asks(
        self, article: Document, model: ModelServer, settings: Any
    ) -> None:
        settings.FABRA_TASK_SLICE_S = -1.0
        gap = gap_of(count=3)
        model.text = "I cannot tell."
        work: tuple[Any, ...] = (gap.pk, True)
        for asked in (1, 2, 3):
            tasks.ask_gap(*work)
            assert gap.questions.exclude(is_answered=None).count() == asked
            left = [message for message in messages("models") if message.task == "chat.tasks.ask_gap"]
            plain_redis().delete(redis_key("celery", "models"))
            if asked < 3:
                [task] = left
                assert task.args[:2] == [gap.pk, True] and len(task.args[2]) == asked
                work = tuple(task.args)
        assert not left and len(model.requests) == 3

    def test_only_some_questions_are_asked(self, article: Document, settings: Any) -> None:
        settings.FABRA_GAP_QUESTIONS = 3
        gap = gap_of(count=5)
        link_article(gap, article, by="ed")
        tend_gaps()
        assert gap.questions.exclude(is_answered=None).count() == 3

    def test_with_a_model_its_answer_must_rest_on_the_article(self, article: Document, model: ModelServer) -> None:
        gap = gap_of()
        link_article(gap, article, by="ed")
        model.text = "I cannot tell."
        tend_gaps()
        gap.refresh_from_db()
        assert gap.state == "linked"
        model.text = "Click Export under Invoices [1]."
        Gap.objects.update(asked_version=None)
        gap.questions.update(after=None)
        ask_gap(gap.pk)
        gap.refresh_from_db()
        assert gap.state == "answered"

    def test_a_model_that_is_down_loses_nothing(self, article: Document, model: ModelServer, settings: Any) -> None:
        gap = gap_of(count=2)
        link_article(gap, article, by="ed")
        settings.OPENAI_BASE_URL = "http://127.0.0.1:1/v1"
        tend_gaps()
        gap.refresh_from_db()
        assert (gap.state, gap.asked_at) == ("linked", None)
        assert due_gaps(10) == [gap.pk]

    def test_a_follow_up_is_asked_with_what_was_said_before(
        self, article: Document, ask: Callable[..., Any], model: ModelServer
    ) -> None:
        model.text = "I cannot tell."
        first = ask(EXPORT).json()
        second = ask("And for it?", conversation_id=first["conversation_id"]).json()
        ask("Something later", conversation_id=first["conversation_id"])
        mark(Message.objects.get(trace=second["context_id"], role="user").pk, "escalated")
        group_new()
        gap = Gap.objects.get()
        link_article(gap, article, by="ed")
        ask_gap(gap.pk)
        sent = [message["content"] for message in model.requests[-1]["messages"]]
        assert any(EXPORT in text for text in sent) and "And for it?" in sent[-1]
        assert not any("Something later" in text for text in sent)

    def test_what_a_person_left_to_the_bot_is_asked_together_again(
        self, article: Document, ask: Callable[..., Any], model: ModelServer, django_user_model: Any
    ) -> None:
        kim = django_user_model.objects.create_superuser("kim")
        conversation_id = ask("Hello?").json()["conversation_id"]
        actions.assign(conversation_id, kim)
        for text in (EXPORT, "It is for last year."):
            ask(text, conversation_id=conversation_id)
        actions.hand_back(conversation_id, kim)
        model.text = "I cannot tell."
        assert async_to_sync(answer_last)(conversation_id)
        question = Message.objects.filter(role="user").latest("pk")
        mark(question.pk, "escalated")
        group_new()
        link_article(Gap.objects.get(questions__message=question), article, by="ed")
        model.requests.clear()
        ask_gap(Gap.objects.get(questions__message=question).pk)
        [request] = model.requests
        assert f"{EXPORT}\n\nIt is for last year." in request["messages"][-1]["content"]

    def test_it_is_asked_by_the_context_and_within_the_bounds_that_it_had(
        self, article: Document, ask: Callable[..., Any], model: ModelServer, another_context: str
    ) -> None:
        key, _ = ApiKey.make("site", ["chat"], contexts=[another_context])
        free, _ = ApiKey.make("server", ["chat"])
        for number, (api_key, name) in enumerate([(key, ""), (free, another_context)]):
            question = ask_unanswered(f"{EXPORT} {number}")
            Message.objects.filter(pk=question.pk).update(api_key=api_key, context=name)
            group_new()
        ask_gap(Gap.objects.get().pk)
        assert [request["messages"][0]["content"] for request in model.requests] == ["Only this."] * 2
        # A context that is gone was replaced by the bot's; a key's bounds hold all the same.
        model.requests.clear()
        Message.objects.filter(api_key=free).update(context="gone")
        ApiKey.objects.filter(pk=key.pk).update(contexts=["gone"])
        ask_gap(Gap.objects.get().pk)
        assert ["Only this." in str(request["messages"]) for request in model.requests] == [False]
        after = GapQuestion.objects.get(message__api_key=key).after
        assert after is not None and (after["is_answered"], "error" in after) == (False, True)

    def test_an_index_that_the_key_may_not_use_answers_nothing(self, article: Document) -> None:
        gap = gap_of()
        key, _ = ApiKey.make("site", ["chat"], indexes=["elsewhere"])
        Message.objects.update(api_key=key)
        link_article(gap, article, by="ed")
        ask_gap(gap.pk)
        gap.refresh_from_db()
        assert (gap.state, gap.questions.get().after["error"]) == ("linked", "index_forbidden")

    def test_a_sites_user_is_not_the_account_of_the_same_name(
        self, bot: None, use_context: Callable[[Any], None]
    ) -> None:
        @context(name="searching", max_tokens=1000)
        async def searching(user_id: str, query: str) -> list[ContextItem]:
            return passages(await store.search("knowledge_base", query))

        use_context(searching)
        index_document("knowledge_base", "export", f"# Export\n\n{EXPORT} Click **Export**.", audience=["staff"])
        account = User.objects.create(username="user_123")
        account.groups.add(Group.objects.create(name="staff"))
        question = ask_unanswered()
        group_new()
        gap = Gap.objects.get()
        link_article(gap, Document.objects.select_related("index").get(entity_id="export"), by="ed")
        ask_gap(gap.pk)
        assert gap.questions.get().is_answered  # by the account itself
        key, _ = ApiKey.make("shop", ["chat"], kind=ApiKey.Kind.PUBLIC, origins=["https://shop.example.com"])
        Message.objects.filter(pk=question.pk).update(api_key=key)
        ask_gap(gap.pk, is_forced=True)
        assert "Click **Export**" not in gap.questions.get().after["answer"]
        assert not gap.questions.get().is_answered

    def test_what_a_context_leaves_to_a_person_is_not_answered_and_no_model_is_asked(
        self, article: Document, model: ModelServer, use_context: Callable[[Any], None]
    ) -> None:
        @context(name="careful", max_tokens=1000)
        async def careful(user_id: str, query: str) -> Escalation:
            return escalate("A cancellation is a person's to handle.")

        use_context(careful)
        gap = gap_of()
        ask_gap(gap.pk)
        question = gap.questions.get()
        assert (question.is_answered, question.after["reasons"], model.requests) == (False, ["escalated"], [])

    def test_a_decision_is_taken_back_with_what_was_asked(self, article: Document) -> None:
        gap = gap_of()
        link_article(gap, article, by="ed")
        tend_gaps()
        reopen(gap, by="ed")
        assert (gap.state, gap.document, gap.questions.get().after) == ("open", None, None)
        rule_out(gap, by="ed")
        Gap.objects.update(document=article)
        assert due_gaps(10) == []


class TestAdmin:
    @pytest.fixture
    def editor(self, client: Client, article: Document) -> Client:
        user = User.objects.create_user("ed", is_staff=True)
        user.groups.add(Group.objects.get(name="Editor"))
        client.force_login(user)
        return client

    def test_the_most_frequent_gap_comes_first_and_what_is_done_is_left_out(self, editor: Client) -> None:
        gap_of(PHONE)
        most = gap_of(EXPORT, 3)
        url = reverse("admin:chat_gap_changelist")
        page = editor.get(url)
        assert [gap.title for gap in page.context["cl"].result_list] == [EXPORT, PHONE]
        assert "<svg" in page.content.decode()
        rule_out(most, by="ed")
        for query, count in (
            ({}, 1),
            ({"state": "all"}, 2),
            ({"state": "out_of_scope"}, 1),
            ({"reason": "escalated"}, 0),
        ):
            assert editor.get(url, query).context["cl"].result_count == count
        assert editor.get(url, {"q": "telephone"}).context["cl"].result_count == 1

    def test_an_article_is_written_from_the_question_and_answers_it(self, editor: Client) -> None:
        gap = gap_of(PHONE, 2)
        url = reverse("admin:chat_gap_article", args=[gap.pk])
        form = editor.get(url).context["form"]
        sent = {name: form[name].value() or "" for name in form.fields}
        assert sent["title"] == PHONE and sent["text"] == f"# {PHONE}\n\n"
        assert sent["entity_id"] == "which-telephone-number-reaches-the-support-team"
        assert editor.post(url, sent | {"entity_id": ""}).status_code == 200
        assert editor.post(url, sent | {"text": sent["text"] + "It is 030 123."}).status_code == 302
        document = Document.objects.get(title=PHONE)
        gap.refresh_from_db()
        assert (gap.state, gap.document, gap.decided_by) == ("article_written", document, "ed")
        page = editor.get(reverse("admin:chat_gap_change", args=[gap.pk])).content.decode()
        assert 'http-equiv="refresh"' in page  # it looks by itself until the questions were asked
        run_events("doc_updated")
        tend_gaps()
        page = editor.get(reverse("admin:chat_gap_change", args=[gap.pk])).content.decode()
        assert "now answered" in page and "It is 030 123." in page and 'http-equiv="refresh"' not in page
        assert document.versions.get().author == "ed"

    def test_an_article_is_searched_for_and_linked(self, editor: Client, article: Document) -> None:
        gap = gap_of()
        url = reverse("admin:chat_gap_link", args=[gap.pk])
        assert next(document for document, _, _ in editor.get(url).context["found"]) == article
        assert editor.get(url, {"q": " "}).context["found"] == []
        assert editor.get(url, {"q": "password", "index": "nowhere"}).context["found"] == []
        for wrong in ("", "x", "0", "9" * 30, "9" * 5000):
            assert editor.post(url, {"document": wrong}).status_code == 404
        editor.post(url, {"document": article.pk})
        gap.refresh_from_db()
        assert (gap.state, gap.document) == ("linked", article)

    def test_it_is_ruled_out_opened_again_and_merged(self, editor: Client) -> None:
        gap, other = gap_of(EXPORT, 2), gap_of(PHONE)
        for name, state in (("out_of_scope", "out_of_scope"), ("reopen", "open")):
            assert editor.get(reverse(f"admin:chat_gap_{name}", args=[gap.pk])).status_code == 405
            editor.post(reverse(f"admin:chat_gap_{name}", args=[gap.pk]))
            gap.refresh_from_db()
            assert gap.state == state
        chosen = {"action": "merge_all", "_selected_action": [gap.pk, other.pk]}
        editor.post(reverse("admin:chat_gap_changelist"), chosen)
        assert Gap.objects.get().question_count == 3

    def test_an_agent_sees_gaps_and_changes_nothing(self, client: Client, article: Document) -> None:
        user = User.objects.create_user("agent", is_staff=True)
        user.groups.add(Group.objects.get(name="Support agent"))
        client.force_login(user)
        gap = gap_of()
        page = client.get(reverse("admin:chat_gap_change", args=[gap.pk]))
        assert page.status_code == 200 and "Write an article" not in page.content.decode()
        for name in ("article", "link", "out_of_scope", "reopen", "ask"):
            assert client.post(reverse(f"admin:chat_gap_{name}", args=[gap.pk])).status_code == 403, name
        assert Gap.objects.get().state == "open"
