"""Take away what the sample brought, and nothing that somebody has made of it since."""

import json
from collections.abc import Iterator
from contextlib import suppress

from django.conf import settings
from django.db.models import Q

from chat.models import Customer, SampleState
from chat.sample import SAMPLE, SOURCE, STARTED_BY
from features.forgetting import forget_entities
from retrieval.errors import DocumentNotFound
from retrieval.evaluation.golden import FIELDS, read_golden
from retrieval.indexing.documents import delete_document
from retrieval.models import CalibrationRun, GoldenQuestion, Index, IngestionRun, SourceDocument, SourceFile
from retrieval.models.golden import question_digest


def remove_sample() -> Iterator[str]:
    """Remove the sample; yield what was removed, and what stays because it was changed."""
    for index in _indexes():
        yield from _remove_articles(index)
        yield from _remove_questions(index)
    yield from _remove_customers()


def _indexes() -> list[Index]:
    """Return where the sample was loaded: into the default index of that day, which may be another one by now."""
    brought = IngestionRun.objects.filter(source=SOURCE).values("index")
    read = SourceFile.objects.filter(source=SOURCE).values("index")
    named = Q(name=settings.FABRA_DEFAULT_INDEX) | Q(threshold_set_by=STARTED_BY)
    return list(Index.objects.filter(Q(pk__in=brought) | Q(pk__in=read) | named))


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
    brought = {
        question_digest(golden.question, golden.filters, golden.audience, golden.history): golden
        for golden in read_golden((SAMPLE / "questions.json").read_bytes(), "questions.json")
    }
    rows = GoldenQuestion.objects.filter(index=index, digest__in=brought)
    own = [row.pk for row in rows if all(getattr(row, name) == getattr(brought[row.digest], name) for name in FIELDS)]
    changed = len(rows) - len(own)
    GoldenQuestion.objects.filter(pk__in=own).delete()
    yield f"{len(own)} golden questions" + (f"; {changed} that were changed stay" if changed else "")
    if index.threshold is not None and index.threshold_set_by == STARTED_BY:
        index.set_threshold(None, {}, by=STARTED_BY)
        yield "the threshold, which was measured on them"
    CalibrationRun.objects.filter(index=index, started_by=STARTED_BY).delete()


def _remove_customers() -> Iterator[str]:
    users = json.loads((SAMPLE / "users.json").read_text())
    # A removal that was interrupted may have deleted a customer, and not yet what is known of them.
    is_loaded = SampleState.objects.exclude(state=SampleState.State.REMOVED).exists()
    removed = changed = 0
    forgotten: list[str] = []
    for user in users:
        customer = Customer.objects.filter(user_id=user["user_id"]).first()
        if customer is not None:
            for ticket in user["tickets"]:
                as_brought = {name: ticket[name] for name in ("number", "subject", "status")} | {"note": ""}
                customer.tickets.filter(**as_brought).delete()
            if (customer.name, customer.tier) != (user["name"], user["tier"]) or customer.tickets.exists():
                changed += 1
                continue
            customer.delete()
            removed += 1
        if customer is not None or is_loaded:
            forgotten.append(user["user_id"])
    forget_entities("User", forgotten)
    yield f"{removed} customers" + (f"; {changed} that were changed stay" if changed else "")
