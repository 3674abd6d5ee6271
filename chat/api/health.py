"""Health checks: whether the process is alive, and whether it can answer chats."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from common.full_disk import was_full
from common.redis import REDIS_ERRORS, async_redis
from common.redis_memory import RedisMemory
from retrieval.embedders import get_embedder
from retrieval.errors import EmbedderUnavailable


async def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if chats can be answered, even degraded, without Redis; 503 without PostgreSQL or the embedder."""
    parts: dict[str, Any] = {
        "postgresql": await sync_to_async(_postgresql)(),
        "redis": await _redis(),
        "embedder": await sync_to_async(_embedder)(),
    }
    is_ready = parts["postgresql"] == "ok" and parts["embedder"] == "ok"
    return JsonResponse({"status": "ok" if is_ready else "unavailable", **parts}, status=200 if is_ready else 503)


def _postgresql() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only') = 'on' FROM django_migrations LIMIT 1")
            row = cursor.fetchone()
    except DatabaseError:
        return "unavailable"
    if row and row[0]:
        return "read-only"
    return "disk full" if was_full() else "ok"


async def _redis() -> str:
    try:
        info = await (await async_redis()).info()
    except REDIS_ERRORS:
        return "unavailable"
    return RedisMemory.of(info).state


def _embedder() -> str:
    try:
        get_embedder()
    except EmbedderUnavailable:
        return "unavailable"
    return "ok"
