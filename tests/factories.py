"""Rows whose columns are no subject of a test: it names those that are."""

from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from chat.models import Customer, Ticket
from events.models import Event
from features.models import FeatureValue, KnownEntity, MaterializationRun
from retrieval.models import (
    CalibrationRun,
    Chunk,
    Document,
    DocumentVersion,
    EvaluationOutcome,
    EvaluationRun,
    Generation,
    GoldenQuestion,
    Index,
    IngestionRun,
)


class EventFactory(DjangoModelFactory[Event]):
    class Meta:
        model = Event

    event_id = factory.Sequence("event-{}".format)
    event_type = "poked"
    entity_id = "b1"
    digest = "0" * 64
    source = Event.Source.API
    occurred_at = factory.LazyFunction(timezone.now)


class FeatureValueFactory(DjangoModelFactory[FeatureValue]):
    class Meta:
        model = FeatureValue

    entity = "Robot"
    entity_key = factory.Sequence("r{}".format)
    feature = "speed"
    value = 1
    source = FeatureValue.Source.SET
    event_timestamp = factory.LazyFunction(timezone.now)


class KnownEntityFactory(DjangoModelFactory[KnownEntity]):
    class Meta:
        model = KnownEntity

    entity = "Robot"
    entity_key = factory.Sequence("r{}".format)


class MaterializationRunFactory(DjangoModelFactory[MaterializationRun]):
    class Meta:
        model = MaterializationRun

    feature = "speed"


class CustomerFactory(DjangoModelFactory[Customer]):
    class Meta:
        model = Customer

    user_id = factory.Sequence("user_{}".format)
    name = "Ana"
    tier = "premium"


class TicketFactory(DjangoModelFactory[Ticket]):
    class Meta:
        model = Ticket

    customer = factory.SubFactory(CustomerFactory)
    number = factory.Sequence(int)
    subject = factory.LazyAttribute(lambda ticket: f"Subject {ticket.number}")


class IndexFactory(DjangoModelFactory[Index]):
    """An index with the generation that serves it; its vectors have three dimensions."""

    class Meta:
        model = Index
        skip_postgeneration_save = True

    name = factory.Sequence("index_{}".format)

    @factory.post_generation
    def generation(index: Index, create: bool, extracted: Generation | None, **options: object) -> None:  # noqa: N805
        index.generation = extracted or Generation.objects.create(index=index, embedding_model="model", dimension=3)
        Index.objects.filter(pk=index.pk).update(generation=index.generation)


class DocumentFactory(DjangoModelFactory[Document]):
    """A document with its first version, written as the engine does: without a signal, and so without an event."""

    class Meta:
        model = Document

    index = factory.SubFactory(IndexFactory)
    entity_id = factory.Sequence("document-{}".format)
    title = "Title"
    text = "# Title\n\nSome text."
    state = Document.State.INDEXED

    @classmethod
    def _create(cls, model_class: type[Document], *args: Any, **columns: Any) -> Document:
        (document,) = model_class.objects.bulk_create([model_class(**columns)])
        document.version = DocumentVersion.objects.create(
            document=document, number=1, title=document.title, text=document.text, source="code"
        )
        model_class.objects.filter(pk=document.pk).update(version=document.version)
        return document


class ChunkFactory(DjangoModelFactory[Chunk]):
    class Meta:
        model = Chunk

    document = factory.SubFactory(DocumentFactory)
    generation = factory.LazyAttribute(lambda chunk: chunk.document.index.generation)
    version = factory.LazyAttribute(lambda chunk: chunk.document.version)
    text = factory.LazyAttribute(lambda chunk: chunk.document.text)
    position = 0
    token_count = 7
    heading_path = "Title"
    content_hash = "0" * 64
    embedding = factory.LazyFunction(lambda: [0.123456, 0.654321, 0.5])
    lexemes = ""


class GoldenQuestionFactory(DjangoModelFactory[GoldenQuestion]):
    class Meta:
        model = GoldenQuestion

    index = factory.SubFactory(IndexFactory)
    question = "How?"
    expected_text = "So."


class EvaluationRunFactory(DjangoModelFactory[EvaluationRun]):
    class Meta:
        model = EvaluationRun

    index = factory.SubFactory(IndexFactory)
    mode = "hybrid"


class EvaluationOutcomeFactory(DjangoModelFactory[EvaluationOutcome]):
    class Meta:
        model = EvaluationOutcome

    run = factory.SubFactory(EvaluationRunFactory)
    golden_question = factory.SubFactory(GoldenQuestionFactory)
    digest = factory.LazyAttribute(lambda outcome: outcome.golden_question.digest)
    question = factory.LazyAttribute(lambda outcome: outcome.golden_question.question)


class CalibrationRunFactory(DjangoModelFactory[CalibrationRun]):
    """A calibration of two questions of each kind, one of each on the wrong side."""

    class Meta:
        model = CalibrationRun

    index = factory.SubFactory(IndexFactory)
    rule = CalibrationRun.Rule.YOUDEN
    auc = 0.875
    threshold = 0.5
    refused_answerable = refused_unanswerable = 0.5
    answerable_count = unanswerable_count = 2
    answerable = factory.LazyFunction(lambda: [_scored("One?", 0.75), _scored("Two?", 0.25)])
    unanswerable = factory.LazyFunction(lambda: [_scored("Three?", 0.125), _scored("Four?", 0.625)])
    basis = factory.LazyAttribute(lambda run: run.index.score_basis())


def _scored(question: str, score: float) -> dict[str, Any]:
    return {"question": question, "score": score, "document_id": "d", "title": "T"}


class IngestionRunFactory(DjangoModelFactory[IngestionRun]):
    class Meta:
        model = IngestionRun

    index = factory.SubFactory(IndexFactory)
    source = "pages"
    location = "/pages"
