"""Events about documents: their types, which index they mean, and what is no such event."""

import unicodedata
from difflib import SequenceMatcher
from typing import Any

from django.conf import settings

from common.errors import InvalidInput
from events.acceptance import is_taken
from events.event import AxiomEvent
from events.models import Event
from retrieval.indexing.document_input import check_document, check_index_name
from retrieval.models import Document
from retrieval.readers.documents import says_nothing

FAMILY, EVENT_TYPE, DELETED = "doc_", "doc_updated", "doc_deleted"
MODEL_SOURCE, OBJECT = "model_source", "object"
"""What the payload of an event about an object of a team's own model has beside what other events have."""
_AUDIENCE = "audience"
_ALIKE, _KEY_CHARS = 0.8, 40
"""How much of a key is that word: `audiance` and `audiences` are 0.88 and 0.94, `ambience` is 0.75, `science` 0.67."""
_EMPTY = "A document without text cannot be found. To withdraw the document send doc_deleted."


def index_name_of(payload: dict[str, Any]) -> str:
    """Return the name of the index of an event's document; raise InvalidInput for an invalid name."""
    return check_index_name(payload.get("index") or settings.FABRA_DEFAULT_INDEX, 'payload["index"]')


def is_about_object(event: Event) -> bool:
    """Return whether the event is about an object of a model source, from which its document is read anew."""
    return event.source == Event.Source.SIGNAL and MODEL_SOURCE in event.payload


def check_meaning(event: AxiomEvent) -> None:
    """Refuse an update that could not be indexed, by what indexing itself checks, or misspells who may find it.

    One without text is most likely meant to withdraw the document. Where a feature takes the place of the built-in
    handler, it need not have a content at all, and the other fields but the audience are its own.
    """
    payload = event.payload if isinstance(event.payload, dict) else {}
    if event.event_type == EVENT_TYPE and ("content" in payload or not is_taken(EVENT_TYPE)):
        content = payload.get("content")
        if content is not None and not isinstance(content, str):
            raise InvalidInput('payload["content"] must be the text of the document.')
        if content is None or says_nothing(content):
            raise InvalidInput(f'payload["content"] is {"empty" if "content" in payload else "missing"}. {_EMPTY}')
        fields = ("audience",) if is_taken(EVENT_TYPE) else ("metadata", "title", "audience")
        check_document(index_name_of(payload), event.entity_id, content, **{name: payload.get(name) for name in fields})
        _check_spelling(payload, names_index=not is_taken(EVENT_TYPE))
    if event.event_type == DELETED and not isinstance(payload.get("purge", False), bool):
        raise InvalidInput('payload["purge"] must be true or false.')


def _check_spelling(payload: dict[str, Any], *, names_index: bool) -> None:
    """Raise InvalidInput where a key seems to be a missing one that decides who finds the text.

    Other keys are free, since features read them. `names_index` says that the payload decides about the index.
    """
    for key in payload:
        plain = unicodedata.normalize("NFKC", key[:_KEY_CHARS]).strip().casefold()
        if _AUDIENCE not in payload and _is_almost_audience(plain):
            raise InvalidInput(
                f'payload[{key[:_KEY_CHARS]!r}] is not read. If it is who may find the document, call it "audience"; '
                'if it is something else, say "audience" beside it, with [] for everyone.'
            )
        if names_index and "index" not in payload and plain in ("index", "index_name"):
            raise InvalidInput(f'payload[{key[:_KEY_CHARS]!r}] is not read. Call the index of the document "index".')


def _is_almost_audience(key: str) -> bool:
    is_as_long = abs(len(key) - len(_AUDIENCE)) <= 2
    return is_as_long and SequenceMatcher(None, key, _AUDIENCE).ratio() >= _ALIKE


def check_saved(instance: Document, raw: bool = False, **kwargs: Any) -> None:
    """Refuse to save a Document without text, before the row is written; raise InvalidInput."""
    if not raw and instance.deleted_at is None and says_nothing(instance.text):
        raise InvalidInput(_EMPTY)
