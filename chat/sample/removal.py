"""Take away what the sample brought, and nothing that somebody has made of it since."""

import json
from collections.abc import Iterator
from contextlib import suppress

from django.conf import settings

from chat.models import Customer, Ticket
from chat.sample import SAMPLE, SOURCE, STARTED_BY
from features.forgetting import forget_entities
from retrieval.errors import DocumentNotFound
from retrieval.evaluation.golden import read_golden
from retrieval.indexing.documents import delete_document
from retrieval.models import CalibrationRun, GoldenQuestion, Index, IngestionRun, SourceDocument, SourceFile
from retrieval.models.golden import question_digest


def remove_sample() -> Iterator[str]:
    """Remove the sample; yield what was removed, and what stays because it was changed."""
    index = Index.objects.filter(name=settings.FABRA_DEFAULT_INDEX).first()
    if index is not None:
        yield from _remove_articles(index)
        yield from _remove_questions(index)
    yield from _remove_customers()


def _remove_articles(index: Index) -> Iterator[str]:
    files = SourceFile.objects.filter(index=index, source=SOURCE)
    own = SourceDocument.objects.filter(file__in=files)
    served = list(own.as_served().values_list("document__entity_id", flat=True))
    changed = own.exclude(document__entity_id__in=served).filter(document__deleted_at=None).count()
    for entity_id in served:
        with suppress(DocumentNotFound):  # it was deleted meanwhile
            delete_document(index.name, entity_id)
    files.delete()
    IngestionRun.objects.filter(index=index, source=SOURCE).delete()
    yield f"{len(served)} articles" + (f"; {changed} that were changed stay" if changed else "")


def _remove_questions(index: Index) -> Iterator[str]:
    golden = read_golden((SAMPLE / "questions.json").read_bytes(), "questions.json")
    digests = [
        question_digest(
            golden_question.question, golden_question.filters, golden_question.audience, golden_question.history
        )
        for golden_question in golden
    ]
    rows = GoldenQuestion.objects.filter(index=index, digest__in=digests)
    count = rows.count()
    rows.delete()
    yield f"{count} golden questions"
    if index.threshold is not None and index.threshold_set_by == STARTED_BY:
        index.set_threshold(None, {}, by=STARTED_BY)
        yield "the threshold, which was measured on them"
    CalibrationRun.objects.filter(index=index, started_by=STARTED_BY).delete()


def _remove_customers() -> Iterator[str]:
    users = json.loads((SAMPLE / "users.json").read_text())
    removed: list[str] = []
    changed = 0
    for user in users:
        customer = Customer.objects.filter(user_id=user["user_id"]).first()
        if customer is not None:
            numbers = [ticket["number"] for ticket in user["tickets"]]
            Ticket.objects.filter(customer=customer, number__in=numbers).delete()
            if (customer.name, customer.tier) != (user["name"], user["tier"]) or customer.tickets.exists():
                changed += 1
                continue
            customer.delete()
        removed.append(user["user_id"])
    forget_entities("User", removed)
    yield f"{len(removed)} customers" + (f"; {changed} that were changed stay" if changed else "")
