"""The retrievers' cache: an entry contains the version of every index that it was computed from.

When an entry is read, its versions are compared with those in PostgreSQL, which each update increases as it commits:
a stale entry is never served, so that none has to be deleted.
"""

import base64
import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from asgiref.sync import sync_to_async
from django.conf import settings

from common.background import spawn
from common.redis import REDIS_ERRORS, async_redis, plain_redis, redis_key
from retrieval.models import Index
from retrieval.search.hits import DEGRADED_FLAGS, Hit, Hits, SearchRecord
from retrieval.search.questions import EarlierQuestion, Embedding

logger = logging.getLogger(__name__)

_SCANNED = 1000


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """The cached result of a retriever, with the records of its searches."""

    value: Any
    records: list[SearchRecord]


def fingerprint(function: Callable[..., Any]) -> str:
    """Return a hash of the function's code; as part of the key it makes old entries unreachable after an edit."""
    code = function.__code__
    try:
        text = inspect.getsource(function)
    except OSError:
        text = repr((code.co_code, code.co_consts, code.co_names))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def cache_key(parts: Any) -> str | None:
    """Return the key for parts that JSON can represent, or that are earlier questions; None for others: not cached."""
    try:
        text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=_key_of_question)
    except TypeError:
        return None
    return redis_key("retriever", hashlib.sha256(text.encode()).hexdigest())


def _key_of_question(value: Any) -> dict[str, Any]:
    """Return what a result depends on of an earlier question: its embedding follows from its text."""
    if not isinstance(value, EarlierQuestion):
        raise TypeError(f"A {type(value).__name__} has no key.")
    return {"earlier_question": value.text, "is_rewritten": value.is_rewritten}


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts of a value: of a list or an object, each one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from texts_in(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from texts_in(item)


async def read_entry(key: str) -> CacheEntry | None:
    """Return the entry if every index that it was computed from still has the same version.

    This takes one GET in Redis and one read by primary key in PostgreSQL.
    """
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
    records = [_load_record(record) for record in raw["records"]]
    return CacheEntry(value=_load_value(raw["kind"], raw["value"], records), records=records)


async def write_entry(key: str, value: Any, records: list[SearchRecord], ttl: timedelta) -> None:
    """Store a copy of what a retriever returned; in the web process the request does not wait for Redis."""
    kind, plain = _dump_value(value, records)
    dumped = [_dump_record(record) for record in records]
    if any(DEGRADED_FLAGS & set(record.flags) for record in records):
        return  # the result of an outage must not be cached
    versions: dict[int, int] = {}
    for record in records:
        # If one index was searched at two versions, the older version counts.
        versions[record.index_id] = min(record.index_version, versions.get(record.index_id, record.index_version))
    try:
        text = json.dumps({"versions": versions, "kind": kind, "value": plain, "records": dumped})
    except TypeError:
        logger.warning("A retriever returned what JSON cannot say; it is not cached.")
        return
    kept = _keep(key, text, ttl, versions)
    if settings.FABRA_WEB:
        spawn(kept, uses_database=False)
    else:  # the event loop may end when the retriever returns
        await kept


async def _keep(key: str, text: str, ttl: timedelta, versions: dict[int, int]) -> None:
    """Store an entry, unless a purge erased something of what it was computed from; see `erase_entries`."""
    try:
        client = await async_redis()
        async with client.pipeline(transaction=True) as pipe:
            pipe.set(key, text, px=max(1, int(ttl.total_seconds() * 1000)))
            for index_id in versions:
                pipe.get(_purged_key(index_id))
            _, *purged = await pipe.execute()
        if any(int(version or 0) > versions[index_id] for index_id, version in zip(versions, purged, strict=True)):
            await client.delete(key)
    except REDIS_ERRORS:
        logger.warning("Redis does not answer: the retriever's answer is not cached.")


def erase_entries(index_id: int, version: int) -> None:
    """Delete the entries that were computed from the index before `version`; raise one of REDIS_ERRORS.

    An entry that is written meanwhile is deleted by its writer, which sees the version that is stored here first.
    """
    client = plain_redis(settings.FABRA_REDIS_TIMEOUT_S)
    client.set(_purged_key(index_id), version)
    for key in entries_of_purged(index_id):
        client.delete(key)


def entries_of_purged(index_id: int, version: int = 0) -> Iterator[str]:
    """Yield the keys of entries computed from the index before something of it was purged; raise one of REDIS_ERRORS.

    `version` is the index's version after a purge that Redis may not know of.
    """
    client = plain_redis(settings.FABRA_REDIS_TIMEOUT_S)
    version = max(version, int(client.get(_purged_key(index_id)) or 0))
    for key in client.scan_iter(match=f"{redis_key('retriever')}:*", count=_SCANNED):
        text = client.get(key)
        if text and json.loads(text)["versions"].get(str(index_id), version) < version:
            yield key


def _purged_key(index_id: int) -> str:
    return redis_key("purged", str(index_id))


@sync_to_async
def _current(index_ids: list[int]) -> dict[int, int]:
    return dict(Index.objects.filter(id__in=index_ids).values_list("id", "version"))


def _dump_value(value: Any, records: list[SearchRecord]) -> tuple[str, Any]:
    if records and isinstance(value, Hits) and list(value) == records[-1].hits:
        return "last_search", None  # the hits are in its record already
    if isinstance(value, list) and value and all(isinstance(hit, Hit) for hit in value):
        return "hits", [hit.to_dict() for hit in value]
    return "json", value


def _load_value(kind: str, value: Any, records: list[SearchRecord]) -> Any:
    if kind == "last_search":
        return Hits(records[-1].hits, flags=records[-1].flags)
    return Hits([_load_hit(hit) for hit in value]) if kind == "hits" else value


def _dump_record(record: SearchRecord) -> dict[str, Any]:
    vector = record.embedding and base64.b64encode(record.embedding.vector.astype("<f4").tobytes()).decode()
    return record.to_dict() | {"embedding": record.embedding and [record.embedding.model, vector]}


def _load_record(raw: dict[str, Any]) -> SearchRecord:
    hits = [_load_hit(hit) for hit in raw.pop("hits")]
    raw.pop("is_confident", None)  # follows from the score and the threshold
    embedding = None
    if made := raw.pop("embedding", None):
        model, vector = made
        embedding = Embedding(model=model, vector=np.frombuffer(base64.b64decode(vector), "<f4"))
    record = SearchRecord(**{**raw, "hits": hits, "flags": tuple(raw["flags"]), "embedding": embedding})
    return replace(record, is_cached=True, embed_ms=0.0, sql_ms=0.0, rerank_ms=0.0)


def _load_hit(raw: dict[str, Any]) -> Hit:
    return Hit(**{**raw, "duplicates": tuple(raw["duplicates"])})
