"""The store's API for definitions and scripts: one object for features, retrieval and traces."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Unpack, overload

from asgiref.sync import sync_to_async
from django.conf import settings

from common.durations import Duration
from common.errors import InvalidInput
from common.validation import check_identity
from contexts.traces import online_store
from events.handlers import current_handling
from features import history, registry, serving
from features.feature_sets import FeatureSet, feature_name, feature_sets
from features.materialization import requests
from features.models import FeatureValue, MaterializationRun
from features.value_writer import write_values
from retrieval.event_handlers import resolve_audience
from retrieval.indexing import documents
from retrieval.indexing.document_input import IndexResult
from retrieval.indexing.purge import purge_document
from retrieval.kept_fields import apply_late_fields
from retrieval.search import execute as searching
from retrieval.search.audience import with_default_names
from retrieval.search.hits import Hits
from retrieval.search.query import SearchOptions

Feature = str | Callable[..., Any]
Features = Sequence[Feature] | FeatureSet


class FeatureStore:
    """The operations that a definition may use; every method is awaitable.

    All stores of a process share one set of definitions and one pair of servers.
    """

    online_store = online_store

    async def get_feature(self, feature: Feature, entity_key: str, request: Mapping[str, Any] | None = None) -> Any:
        """Return one feature's value for one entity, in its declared type; `request` is for an on-demand one.

        Raise as `get_online_features` does.
        """
        spec = registry.features.require(feature_name(feature))
        return (await serving.read_features(spec.entity.name, entity_key, [spec.name], request))[0].value

    async def get_features(
        self, features: FeatureSet | str, entity_key: str, request: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the values of a feature set by feature name, as `get_online_features` does.

        Raise as that, and NotFound for a name of no declared set.
        """
        declared = features if isinstance(features, FeatureSet) else feature_sets.require(features)
        reads = await serving.read_features(declared.entity.name, entity_key, declared.features, request)
        return {read.feature: read.value for read in reads}

    @overload
    async def get_online_features(
        self, entity: type | str, entity_key: str, features: Features, request: Mapping[str, Any] | None = None
    ) -> dict[str, Any]: ...

    @overload
    async def get_online_features(
        self,
        entity: type | str,
        entity_key: list[str] | tuple[str, ...],
        features: Features,
        request: Mapping[str, Any] | None = None,
    ) -> dict[str, dict[str, Any]]: ...

    async def get_online_features(
        self,
        entity: type | str,
        entity_key: str | list[str] | tuple[str, ...],
        features: Features,
        request: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | dict[str, dict[str, Any]]:
        """Return values by feature name, in one Redis round trip for any number of features.

        For a list of entity keys, return such a dict by entity key, still in one round trip. A value that is missing
        or too old is computed first; a batch function computes all of them in one call. On-demand features are
        computed from the others and from `request`. Raise NotFound for an undeclared name, and FeatureComputeError
        when a function fails and there is neither an older value nor a default_value.
        """
        names = _names(features)
        if isinstance(entity_key, list | tuple):
            by_key = await serving.read_features_of(entity, entity_key, names, request)
            return {key: {read.feature: read.value for read in reads} for key, reads in by_key.items()}
        reads = await serving.read_features(entity, entity_key, names, request)
        return {read.feature: read.value for read in reads}

    async def get_historical_features(
        self,
        entity_rows: Sequence[Mapping[str, Any]],
        features: Features,
        known_at: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Return each row with the features as they were at its `event_timestamp`, in the order of the rows.

        A row is a mapping with the entity key under the entity's field and an aware `event_timestamp`; other columns
        stay. `known_at` leaves out what was learned later. Raise NotFound for an undeclared feature, InvalidInput for
        a row without key or time, and InvalidFeatureValue; see features.history.
        """
        return await history.get_historical_features(entity_rows, _names(features), known_at)

    async def set_feature(
        self, feature: Feature, entity_key: str, value: Any, event_timestamp: datetime | None = None
    ) -> None:
        """Store a value that was true at `event_timestamp` (default: now); it never replaces a newer one online.

        Raise NotFound for an undeclared feature, InvalidFeatureValue for a value that is not of its declared type, and
        InvalidInput for an on-demand feature, an invalid key, or a time that is naive or lies ahead.
        """
        spec = registry.features.require(feature_name(feature))
        if spec.on_demand:
            raise InvalidInput(f"The feature {spec.name!r} is computed at each read: no value of it is stored.")
        entity_key = check_identity(entity_key, spec.entity.key)
        encoded = spec.value_type.encode(value)
        moment = event_timestamp or datetime.now(UTC)
        if moment.tzinfo is None:
            raise InvalidInput("event_timestamp must have a timezone.")
        if moment > datetime.now(UTC) + settings.FABRA_EVENT_MAX_AHEAD:
            raise InvalidInput("event_timestamp is in the future; nothing is true yet.")
        await write_values(spec, {entity_key: encoded}, event_timestamp=moment, source=FeatureValue.Source.SET)

    async def materialize(
        self,
        feature: Feature,
        entity_ids: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        every: Duration | None = None,
    ) -> MaterializationRun:
        """Compute and store a feature for the given or all known entities; return the finished run, with its counts.

        With `every` (such as "1d") it is a backfill: computed as of each such moment from `start` to `end` (default:
        now). With `start` or `end` alone nothing is computed: the newest stored value of each entity in that range is
        loaded into the online store. Raise NotFound for an undeclared feature, and InvalidInput for what cannot be
        computed.
        """
        return await requests.materialize(feature_name(feature), entity_ids, start, end, every)

    async def index(
        self,
        index_name: str,
        entity_id: str,
        text: str,
        metadata: dict[str, Any] | None = None,
        *,
        title: str = "",
        audience: Sequence[str] | None = None,
    ) -> IndexResult:
        """Set a document's text, which every search that begins afterwards finds; the index is created if need be.

        While a state event (`doc_*`) is handled, the text has the event's time and replaces nothing newer. Without
        `audience`, the event's audience is used, otherwise the document's current one; an empty list means everyone.
        Raise InvalidInput, DocumentTooLarge, TextRefused or EmbedderUnavailable; then nothing has changed.
        """
        given = await sync_to_async(resolve_audience)(index_name, entity_id, audience)
        result = await sync_to_async(documents.index_document)(
            index_name, entity_id, text, metadata, title=title, audience=given.value, occurred_at=_as_of(),
            set_at={"audience": given.at},
        )  # fmt: skip
        if result.is_superseded:
            await sync_to_async(apply_late_fields)(index_name, entity_id, {"audience": given}, source="code")
        return result

    async def search(
        self,
        index_name: str,
        query: str,
        top_k: int = 5,
        filters: dict[str, Any] | None = None,
        **options: Unpack[SearchOptions],
    ) -> Hits:
        """Return the `top_k` best chunks of an index, best first, with the flags of what was degraded.

        `filters` are conditions on the documents' metadata, see retrieval.search.filters; `options` see SearchOptions.
        Raise IndexNotFound, or InvalidInput for an empty query, a `top_k` outside 1 to 200, or an unknown option.
        """
        return await searching.search(index_name, query, top_k, filters, **options)

    async def audience(self, *names: str) -> tuple[str, ...]:
        """Return these names, then those of a search that names no audience: of the user whom a context is for.

        At most as many as a search takes (retrieval.search.filters.MAX_AUDIENCE), without duplicates.
        """
        return await sync_to_async(with_default_names)(names)

    async def delete_document(self, index_name: str, entity_id: str, *, purge: bool = False) -> None:
        """Remove a document from every search; `purge` erases also what it said.

        While a state event is handled, a later state of the document stays. Raise IndexNotFound or DocumentNotFound.
        """
        if purge:
            await sync_to_async(purge_document)(index_name, entity_id, occurred_at=_as_of())
            return
        await sync_to_async(documents.delete_document)(index_name, entity_id, occurred_at=_as_of())


def _names(features: Features) -> list[str]:
    if isinstance(features, FeatureSet):
        return list(features.features)
    return [feature_name(feature) for feature in features]


def _as_of() -> datetime | None:
    """Return the time of the state event that is being handled, which is the time of what its handler stores."""
    handling = current_handling()
    return handling.as_of if handling else None
