"""Record the reads and searches that run while a context function runs; they arrive as signals."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from contexts.conversation import ConversationHistory
from contexts.foreign import ForeignText
from contexts.traces import PendingTrace
from contexts.window import WindowOf
from features.values import FeatureRead
from retrieval.retrievers.declaration import RetrieverCall
from retrieval.search.hits import DEGRADED_FLAGS, SearchRecord
from retrieval.search.questions import EarlierQuestion, Embedding


@dataclass
class Recorder:
    """What was read, searched and assembled while a context function runs; its trace is made of it."""

    features: list[FeatureRead] = field(default_factory=list)
    searches: list[SearchRecord] = field(default_factory=list)
    retrievers: list[RetrieverCall] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    """The ids of contexts that were assembled inside this one."""
    foreign: ForeignText = field(default_factory=ForeignText)
    """The texts of what was read."""
    conversation: ConversationHistory | None = None
    """What was said before; set by a chat for the contexts that it calls, not for those that they call."""
    window_of: WindowOf | None = None
    """The window of the model that will be asked, if one will; contexts inside another one have it too."""
    pending: list[PendingTrace] = field(default_factory=list)
    """Traces that are not written yet; the list is shared with the recorders of inner contexts."""
    embeddings: dict[str, Embedding] = field(default_factory=dict)
    """The embedding of each text that was searched for; shared too."""

    def to_dict(self) -> dict[str, Any]:
        """Return the trace's lists of features, searches, retrievers and inner contexts, as JSON."""
        return {
            "features": [_plain(read) for read in self.features],
            "searches": [record.to_dict() for record in self.searches],
            "retrievers": [{**vars(record), "arguments": _shown(record.arguments)} for record in self.retrievers],
            "contexts": self.contexts,
        }

    def flags(self) -> list[str]:
        """Return the flags of what was degraded or failed, without duplicates."""
        found = [f"feature_degraded:{read.feature}" for read in self.features if read.is_degraded]
        found += [f"feature_failed:{read.feature}" for read in self.features if read.error]
        found += [flag for record in self.searches for flag in record.flags if flag in DEGRADED_FLAGS]
        return list(dict.fromkeys(found))

    def searched_indexes(self) -> set[str]:
        """Return the indexes that the contexts assembled in the block searched, and those that were read from a cache.

        They are in the traces that are not written yet.
        """
        return {search["index"] for trace in self.pending for search in trace.body.get("searches", ())}

    def is_below_thresholds(self) -> bool:
        """Return whether something was searched for, and every search found only what is below its index's threshold.

        False where one of them can't tell: its index has no threshold, or an outage made its scores others.
        """
        searches = [search for trace in self.pending for search in trace.body.get("searches", ())]
        return bool(searches) and all(search["is_confident"] is False for search in searches)

    def version_ids(self) -> list[int]:
        """Return the ids of the document versions that were found, sorted and without duplicates."""
        return sorted({hit.version_id for record in self.searches for hit in record.hits})


# A context variable, because a user's function does not pass the recorder on to what it calls.
_current: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


def current_recorder() -> Recorder | None:
    """Return the recorder of the innermost `recording` block, or None outside of one."""
    return _current.get()


@contextmanager
def recording(outer: Recorder | None = None, **given: Any) -> Iterator[Recorder]:
    """Record what happens in the block; `given` are fields of the Recorder.

    The traces of contexts assembled in the block stay in `pending`; the caller writes them, together with rows of its
    own: see `contexts.traces.write`.
    """
    if outer:
        given |= {"pending": outer.pending, "embeddings": outer.embeddings, "window_of": outer.window_of}
    recorder = Recorder(**given)
    token = _current.set(recorder)
    try:
        yield recorder
    finally:
        _current.reset(token)


def on_features_read(values: list[FeatureRead], **kwargs: Any) -> None:
    if recorder := _current.get():
        recorder.features += values
        for read in values:
            recorder.foreign.add_values(read.value, is_passage=False)


def on_searched(record: SearchRecord, **kwargs: Any) -> None:
    if recorder := _current.get():
        recorder.searches.append(record)
        if record.embedding:
            recorder.embeddings[record.query.strip()] = record.embedding
        for hit in record.hits:
            recorder.foreign.chunks[f"chunk:{hit.chunk_id}"] = hit.content
            recorder.foreign.add(hit.content)
            recorder.foreign.add(hit.title, is_passage=False)
            recorder.foreign.titles.add(hit.title)


def on_retrieved(record: RetrieverCall, value: Any = None, **kwargs: Any) -> None:
    if recorder := _current.get():
        recorder.retrievers.append(record)
        recorder.foreign.add_values(value, is_passage=True)


def _plain(read: FeatureRead) -> dict[str, Any]:
    values = {attribute.name: getattr(read, attribute.name) for attribute in fields(read)}
    values["value"] = values.pop("stored")
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _shown(value: Any) -> Any:
    """Return an argument in JSON types: of an earlier question its text, of any other object the name of its type."""
    match value:
        case str() | int() | float() | None:
            return value
        case EarlierQuestion():
            return value.text
        case dict():
            return {str(key): _shown(item) for key, item in value.items()}
        case list() | tuple():
            return [_shown(item) for item in value]
    return f"<{type(value).__name__}>"
