"""What a chat, a trace and a chunk take: KB in tables with their indexes, and KB of WAL.

The WAL is that right after a checkpoint, with the full-page images that PostgreSQL writes at the first change of each
page (`full_page_writes`); its floor is the same work once more, whose pages were written then. A server lies between
the two: nearer to the floor, the more it writes between two checkpoints. Nothing else may write to it meanwhile.
"""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, cycle, islice

from asgiref.sync import sync_to_async
from django.db import connection
from django.test import Client

from bench.figures import Bound, Row, say
from bench.questions import different_questions, sample_words
from bench.surroundings import user_ids
from chat.models import ApiKey
from contexts.models import Trace, TraceBody
from retrieval.evaluation import temporary_index
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.models import Chunk

COUNT, QUICK_COUNT = 200, 50
_INDEX = "bench-footprint"
_WORDS = 1500
_PER_DOCUMENT = 10
"""Chunks, or so."""
_CHAT = ("chat_conversation", "chat_message", "chat_modelcall", "contexts_trace", "contexts_tracebody", "events_event")
_TRACE = ("contexts_trace", "contexts_tracebody")
_CHUNK = ("retrieval_chunk", "retrieval_lexemecount")
_MOST = Bound(value=64)
"""Far above what is measured: what is over it writes something that nobody meant."""

Work = Callable[[int], int]
"""Does so much, and returns how much it was: of chunks a document does not have the same number each time."""


async def measure(*, is_quick: bool) -> list[Row]:
    return await sync_to_async(_measure)(QUICK_COUNT if is_quick else COUNT)


def _measure(rounds: int) -> list[Row]:
    temporary_index.remove(_INDEX)
    _, key = ApiKey.make("bench", [ApiKey.Scope.CHAT])
    client = Client(headers={"Authorization": f"Bearer {key}", "Host": "localhost"})
    say("Chatting in this process, without a language model, then storing traces and indexing articles ...")
    rows = [
        *_rows("chat", _CHAT, partial(_chat, client, cycle(different_questions())), rounds),
        *_rows("trace", _TRACE, _store_traces, rounds),
        *_rows("chunk", _CHUNK, partial(_index, count()), rounds),
    ]
    temporary_index.remove(_INDEX)
    return rows


def _rows(what: str, tables: tuple[str, ...], work: Work, rounds: int) -> list[Row]:
    work(rounds)  # what is written once, such as a new index's first page
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
    with_images = _written(work, rounds)[0]
    before = _bytes_of(tables)
    records, done = _written(work, rounds)
    size = (_bytes_of(tables) - before) / done
    return [
        Row.of_value(f"footprint: a {what} in tables", size / 1024, _MOST, unit="KB"),
        Row.of_value(f"footprint: a {what} in WAL", with_images / 1024, _MOST, floor=records / 1024, unit="KB"),
    ]


def _written(work: Work, rounds: int) -> tuple[float, int]:
    """Return the bytes of WAL for one of what is done, and how much was done."""
    before = _number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    done = work(rounds)
    with connection.cursor() as cursor:  # what GIN indexes have put off
        cursor.execute(
            "SELECT gin_clean_pending_list(c.oid) FROM pg_class c JOIN pg_am a ON a.oid = c.relam "
            "WHERE a.amname = 'gin' AND c.relkind = 'i'"
        )
    return (_number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn") - before) / done, done


def _chat(client: Client, questions: Iterator[str], rounds: int) -> int:
    users = user_ids()
    for number, question in enumerate(islice(questions, rounds)):
        body = {"user_id": users[number % len(users)], "message": question}
        response = client.post("/chat", body, content_type="application/json")
        assert response.status_code == 200, response.content
    return rounds


def _store_traces(rounds: int) -> int:
    """Store traces of the chats again, as an assembly does."""
    for trace in list(Trace.objects.select_related("body").order_by("created_at")[:rounds]):
        text, trace.pk, trace._state.adding = trace.body.text, uuid.uuid4(), True
        trace.save(force_insert=True)
        TraceBody.objects.create(trace=trace, text=text)
    return rounds


def _index(numbers: Iterator[int], rounds: int) -> int:
    """Index articles; return the number of their chunks."""
    words, drafts = sample_words(), []
    before = Chunk.objects.filter(generation__index__name=_INDEX).count()
    for number in islice(numbers, rounds // _PER_DOCUMENT):
        start = number * 131 % (len(words) - _WORDS)
        text = f"# Article {number}\n\n{' '.join(words[start : start + _WORDS])}"
        drafts.append(Draft(entity_id=f"article-{number}", text=text))
    list(index_in_bulk(_INDEX, [drafts]))
    return Chunk.objects.filter(generation__index__name=_INDEX).count() - before


def _bytes_of(tables: tuple[str, ...]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) AS name", [list(tables)]
        )
        return int(cursor.fetchone()[0])


def _number(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])
