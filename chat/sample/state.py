"""Whether `make up` loads the sample: into an empty database, once."""

from django.conf import settings

from chat.models import Customer, SampleState
from retrieval.models import Document, GoldenQuestion, IngestionRun, ModelSource


def reason_not_to_load() -> str:
    """Return why the sample is not to be loaded by itself; "" if it is, also to go on where a load was interrupted."""
    if not settings.FABRA_SAMPLE:
        return "FABRA_SAMPLE is off"
    known = SampleState.objects.first()
    if known is not None:
        return "" if known.state == SampleState.State.LOADING else f"it was {known.state} before"
    filled = (model for model in (Document, Customer, GoldenQuestion, IngestionRun) if model.objects.exists())
    for model in filled:
        return f"the database has {model._meta.verbose_name_plural} already"
    if ModelSource.objects.active().exists():
        return "the documents are those of your models"
    return ""


def mark(state: SampleState.State) -> None:
    SampleState.objects.update_or_create(pk=1, defaults={"state": state})
