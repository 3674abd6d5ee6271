"""The retrievers' cache: an entry names the versions of every index it was made from.

A hit is checked against the versions in PostgreSQL, which the commit of an update has moved: an entry is
never stale, and nothing is ever deleted.
"""

import hashlib
import inspect
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings

from common.background import spawn
from common.redis import REDIS_ERRORS, async_redis, redis_key
from retrieval.models import Index
from retrieval.search.hits import DEGRADED_FLAGS, Hit, Hits, SearchRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    value: Any
    records: list[SearchRecord]


def fingerprint(function: Callable[..., Any]) -> str:
    """Return a hash of the function's code: an edit makes old entries unreachable."""
    code = function.__code__
    try:
        text = inspect.getsource(function)
    except OSError:
        text = repr((code.co_code, code.co_consts, code.co_names))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def cache_key(parts: Any) -> str | None:
    """Return the key for JSON-able parts; None for others, which are not cached."""
    try:
        text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    except TypeError:
        return None
    return redis_key("retriever", hashlib.sha256(text.encode()).hexdigest())


async def read_entry(key: str) -> CacheEntry | None:
    """Return the entry if every index it was made from is still at its version: one GET, one primary-key read."""
    try:
        text = await (await async_redis()).get(key)
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: the retriever searches.")
        return None
    if text is None:
        return None
    raw = json.loads(text)
    versions = {int(index_id): version for index_id, version in raw["versions"].items()}
    if versions and await _current(list(versions)) != versions:
        return None
    records = [_load_record(each) for each in raw["records"]]
    return CacheEntry(value=_load_value(raw["kind"], raw["value"], records), records=records)


async def write_entry(key: str, value: Any, records: list[SearchRecord], ttl: timedelta) -> None:
    """Keep what a retriever returned, as it is now; in the web process the request does not wait for Redis."""
    kind, plain = _dump_value(value, records)
    if any(DEGRADED_FLAGS & set(record.flags) for record in records):
        return  # found in an outage: not worth keeping
    versions: dict[int, int] = {}
    for record in records:
        # Two searches of one index at different versions: the older one decides.
        versions[record.index_id] = min(record.index_version, versions.get(record.index_id, record.index_version))
    try:
        text = json.dumps(
            {"versions": versions, "kind": kind, "value": plain, "records": [each.to_dict() for each in records]}
        )
    except TypeError:
        logger.warning("A retriever returned what JSON cannot say; it is not cached.")
        return
    kept = _keep(key, text, ttl)
    if settings.IS_WEB:
        spawn(kept, uses_database=False)
    else:  # its event loop may end with the answer
        await kept


async def _keep(key: str, text: str, ttl: timedelta) -> None:
    try:
        await (await async_redis()).set(key, text, px=max(1, int(ttl.total_seconds() * 1000)))
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: the retriever's answer is not cached.")


@sync_to_async
def _current(index_ids: list[int]) -> dict[int, int]:
    return dict(Index.objects.filter(id__in=index_ids).values_list("id", "version"))


def _dump_value(value: Any, records: list[SearchRecord]) -> tuple[str, Any]:
    if records and isinstance(value, Hits) and list(value) == records[-1].hits:
        return "last_search", None  # the hits stand in its record already
    if isinstance(value, list) and value and all(isinstance(each, Hit) for each in value):
        return "hits", [each.to_dict() for each in value]
    return "json", value


def _load_value(kind: str, value: Any, records: list[SearchRecord]) -> Any:
    if kind == "last_search":
        return Hits(records[-1].hits, flags=records[-1].flags)
    return Hits([_load_hit(each) for each in value]) if kind == "hits" else value


def _load_record(raw: dict[str, Any]) -> SearchRecord:
    hits = [_load_hit(each) for each in raw.pop("hits")]
    record = SearchRecord(**{**raw, "hits": hits, "flags": tuple(raw["flags"])})
    return replace(record, is_cached=True, embed_ms=0.0, sql_ms=0.0, rerank_ms=0.0)


def _load_hit(raw: dict[str, Any]) -> Hit:
    return Hit(**{**raw, "duplicates": tuple(raw["duplicates"])})
