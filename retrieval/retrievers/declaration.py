"""Declare retrievers: functions that search on behalf of a context, with a cache that never serves stale results."""

import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Unpack

from asgiref.sync import sync_to_async

from common.calling import call
from common.definitions import Location, Registry
from common.durations import Duration, parse_duration
from common.errors import DefinitionError, InvalidInput
from common.operator_settings import Snapshot
from retrieval.models import RetrieverDefinition
from retrieval.retrievers import cache
from retrieval.search.audience import default_names, has_default_audience
from retrieval.search.execute import collector, report_search, search
from retrieval.search.filters import conditions
from retrieval.search.hits import Collector, Hits, SearchRecord
from retrieval.search.query import MAX_TOP_K, SearchOptions
from retrieval.signals import retrieved

operator_settings: Snapshot[bool] = Snapshot(
    lambda: dict(RetrieverDefinition.objects.values_list("name", "is_enabled"))
)


@dataclass(frozen=True, kw_only=True)
class RetrieverSpec:
    """A declared retriever."""

    name: str
    function: Callable[..., Any]
    index: str | None
    """What is searched where the function returns None; None: nothing is."""
    top_k: int
    cache_ttl: timedelta | None
    """How long a result is cached; None: it is not."""
    filters: dict[str, Any]
    options: SearchOptions
    """Those of each search, which override the index's."""
    description: str
    location: Location


@dataclass(frozen=True, kw_only=True)
class RetrieverCall:
    """One call of a retriever, as traces record it."""

    retriever: str
    arguments: dict[str, Any]
    is_cached: bool
    result_count: int
    duration_ms: float


_FORWARDED = ("audience", "history")
"""Arguments of a retriever with an empty body that are options of its search."""

retrievers: Registry[RetrieverSpec] = Registry("retriever")


def retriever(
    *,
    name: str | None = None,
    index: str | None = None,
    top_k: int = 5,
    cache_ttl: Duration | None = None,
    filters: dict[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]]:
    """Declare a function as a retriever; with `index` and an empty body it searches that index, and returns Hits.

    The function may be async or plain; the call is awaited, and returns what the function does. Its first argument is
    the query; arguments named `audience` and `history` are those of the search. `top_k` is from 1 to 200, and `options`
    are those of a search, which override the index's own. The result is cached for `cache_ttl` (a timedelta, or a text
    such as "5m"), and never served once an index that it was computed from has changed. A retriever that an operator
    has switched off returns no hits, and the flag `retriever_disabled`. Raise DefinitionError for arguments that cannot
    work together.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        label = name or function.__name__
        signature = inspect.signature(function)
        _check(label, signature, top_k, filters, options)
        spec = RetrieverSpec(
            name=label,
            function=function,
            index=index,
            top_k=top_k,
            cache_ttl=parse_duration(cache_ttl, f"cache_ttl of {label!r}"),
            filters=filters or {},
            options=options,
            description=inspect.getdoc(function) or "",
            location=Location.of(function),
        )
        retrievers.add(label, spec)
        code = cache.fingerprint(function)

        @functools.wraps(function)
        async def retrieve(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return await _retrieve(spec, code, dict(bound.arguments), args, kwargs)

        return retrieve

    return declare


def _check(
    label: str, signature: inspect.Signature, top_k: int, filters: dict[str, Any] | None, options: SearchOptions
) -> None:
    """Raise DefinitionError for what no search could be made with."""
    if not 1 <= top_k <= MAX_TOP_K:
        raise DefinitionError(f"top_k of the retriever {label!r} must be from 1 to {MAX_TOP_K}, not {top_k!r}.")
    if unknown := set(options) - set(SearchOptions.__annotations__):
        raise DefinitionError(f"The retriever {label!r} has unknown options: {', '.join(sorted(unknown))}.")
    try:
        conditions(filters, options.get("audience"))
    except InvalidInput as error:
        raise DefinitionError(f"The retriever {label!r}: {error}") from error
    if not signature.parameters:
        raise DefinitionError(f"The retriever {label!r} takes no argument; its first one is the question.")


async def _retrieve(
    spec: RetrieverSpec, code: str, arguments: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    started = time.perf_counter()
    if not (await operator_settings.rows()).get(spec.name, True):
        _report_call(spec, arguments, [], False, started)
        return Hits([], flags=("retriever_disabled",))
    key, audience = None, list[str]()
    if spec.cache_ttl is not None:
        audience = await _default_audience(spec, arguments)
        key = cache.cache_key(
            [spec.name, spec.index, spec.top_k, spec.filters, spec.options, code, arguments, audience]
        )
        entry = await cache.read_entry(key) if key else None
        if entry is not None:
            for record in entry.records:
                report_search(record)
            _report_call(spec, arguments, entry.value, True, started)
            return entry.value
    outer, inner = collector.get(), Collector()
    token = collector.set(inner)
    try:
        value = await call(spec.function, *args, **kwargs)
        if value is None and spec.index is not None:
            options = spec.options
            given: Any = {name: arguments[name] for name in _FORWARDED if name in arguments}
            options = {**options, **given}
            value = await search(
                spec.index, next(iter(arguments.values())), spec.top_k, spec.filters or None, **options
            )
    finally:
        collector.reset(token)
    if outer is not None:  # a retriever that calls another one depends on the indexes which that one searched
        outer.records += inner.records
    if key is not None and spec.cache_ttl and _names_audiences([arguments, spec.options, audience], inner.records):
        await cache.write_entry(key, value, inner.records, spec.cache_ttl)
    _report_call(spec, arguments, value, False, started)
    return value


async def _default_audience(spec: RetrieverSpec, arguments: dict[str, Any]) -> list[str]:
    """Return the audience of the retriever's searches, if it is not named by an argument or an option."""
    is_named = arguments.get("audience") is not None or spec.options.get("audience") is not None
    if is_named or not has_default_audience():
        return []
    return await sync_to_async(default_names)()


def _names_audiences(key_parts: Any, records: list[SearchRecord]) -> bool:
    """Return whether the cache's key contains every audience that was searched for.

    A function may get the audience by other means, such as a context variable; what it found for one user must then
    not be cached for the next.
    """
    names = set(cache.texts_in(key_parts))
    return all(names.issuperset(record.options.get("audience", ())) for record in records)


def _report_call(spec: RetrieverSpec, arguments: dict[str, Any], value: Any, is_cached: bool, started: float) -> None:
    record = RetrieverCall(
        retriever=spec.name,
        arguments=arguments,
        is_cached=is_cached,
        result_count=len(value) if isinstance(value, list | tuple) else int(value is not None),
        duration_ms=round((time.perf_counter() - started) * 1000, 3),
    )
    retrieved.send(sender=None, record=record, value=value)
