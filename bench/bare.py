"""The floor of a chat: bare views that embed, rank, insert and call the model, and do nothing else."""

import json
import os
from collections.abc import AsyncIterator
from functools import cache

import openai
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse

from bench.assembly import insert_row
from bench.search import bare_search
from common.per_loop import PerLoop
from retrieval.models import Index

_client = PerLoop(
    lambda: openai.AsyncOpenAI(api_key=settings.OPENAI_API_KEY, base_url=settings.OPENAI_BASE_URL),
    lambda client: client.close(),
)


async def chat(request: HttpRequest) -> JsonResponse:
    message = json.loads(request.body)["message"]
    content = await sync_to_async(_evidence)(message)
    client = await _client.get()
    answer = await client.chat.completions.create(
        model=settings.FABRA_CHAT_MODEL,
        messages=[{"role": "system", "content": content}, {"role": "user", "content": message}],
        max_tokens=settings.FABRA_MODEL_MAX_TOKENS,
    )
    return JsonResponse({"response": answer.choices[0].message.content, "context_used": content})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Hand on each piece of the model's answer as it comes, as an event of the stream that `/chat` sends."""
    message = json.loads(request.body)["message"]
    content = await sync_to_async(_evidence)(message)
    return StreamingHttpResponse(_pieces(message, content), content_type="text/event-stream")


async def _pieces(message: str, content: str) -> AsyncIterator[str]:
    client = await _client.get()
    answer = await client.chat.completions.create(
        model=settings.FABRA_CHAT_MODEL,
        messages=[{"role": "system", "content": content}, {"role": "user", "content": message}],
        max_tokens=settings.FABRA_MODEL_MAX_TOKENS,
        stream=True,
    )
    async for piece in answer:
        for choice in piece.choices:
            if choice.delta.content:
                yield f"event: delta\ndata: {json.dumps({'text': choice.delta.content})}\n\n"
    yield "event: done\ndata: {}\n\n"


def _evidence(message: str) -> str:
    """Return what the model will see, after a row as long as our trace is committed."""
    content = "\n\n".join(row[6] for row in bare_search(_index(), message))
    size = int(os.environ["BENCH_ROW_CHARS"])
    insert_row((content * (size // len(content) + 1))[:size])
    connection.close()  # back to the pool while the model thinks
    return content


@cache
def _index() -> Index:
    return Index.objects.select_related("generation").get(name=settings.FABRA_DEFAULT_INDEX)
