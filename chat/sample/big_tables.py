"""Rows for big tables, as a busy installation has them after some years: one SQL statement for each table."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from psycopg.sql import quote

from chat.sample.big_records import RECORDS, STATEMENTS, feature_names
from retrieval.embedders import get_embedder

FULL: dict[str, int] = {
    "customers": 100_000,
    "documents": 100_000,
    "versions": 200_000,
    "chunks": 200_000,
    "entities": 100_000,
    "values": 1_000_000,
    "events": 500_000,
    "traces": 500_000,
    "conversations": 500_000,
    "messages": 1_000_000,
    **RECORDS,
}
"""The number of rows of each kind at scale 1."""

HOT = "hot-document"
"""The document that has many versions and many chunks."""
HOT_VERSIONS, HOT_CHUNKS, HOT_MESSAGES = 200, 500, 400
"""How many that document and the newest conversation have."""
RARE_VERSION = 2001
"""The id of a document version that few traces used."""
_DAYS = {"events": 30, "entities": 30}
"""How long ago the oldest row of a kind is, where that is not a year: as events are kept, and entities counted."""

# `n` numbers a kind's rows. Times lie in the last year or month, in the order of the numbers. Texts have some variety,
# so that searches for words find few rows, or many; rows are as wide as those of real conversations. Vectors are of
# length 1 and say nothing, for embedding so much takes hours; they differ, without which there is no HNSW.
_STATEMENTS: dict[str, str] = {
    "customers": """
        INSERT INTO chat_customer (user_id, name, tier, created_at)
        SELECT 'user_' || n, 'Customer ' || n, CASE WHEN n % 10 = 0 THEN 'premium' ELSE 'free' END, {at}
        FROM generate_series(1, {count}) AS n ON CONFLICT DO NOTHING""",
    "documents": """
        WITH made AS (
            INSERT INTO retrieval_index (name, language, mode, fusion, lexical_weight, rerank, version, chunk_count,
                created_at, threshold_basis, threshold_set_by)
            VALUES ('big', 'english', 'hybrid', 'weighted', 0.75, FALSE, 1, 0, now(), '{{}}', '')
            RETURNING id
        ), generation AS (
            INSERT INTO retrieval_generation (index_id, embedder, embedding_model, dimension, state, total, done, error,
                comparison, has_hnsw, created_at, ready_at)
            SELECT id, {embedder}, {model}, {dimension}, 'ready', 0, 0, '', '{{}}', FALSE, now(), now() FROM made
        )
        INSERT INTO retrieval_document (index_id, entity_id, title, text, metadata, audience, state, error, failures,
            created_at, updated_at, indexed_at, purged_version)
        SELECT made.id, CASE n WHEN 1 THEN '{hot}' ELSE 'document-' || n END, 'Title ' || n || {word},
            repeat({word} || ' is explained here. ', 40), '{{}}', '{{}}', 'indexed', '', 0, {at}, {at}, {at}, 0
        FROM generate_series(1, {count}) AS n, made""",
    "versions": """
        INSERT INTO retrieval_documentversion (document_id, number, title, text, metadata, audience, content_hash,
            source, author, created_at)
        SELECT document.id, v, document.title, document.text, '{{}}', '{{}}',
            encode(sha256(convert_to('["' || document.title || '","' || document.text || '",{{}}]', 'UTF8')), 'hex'),
            'event event-' || document.id, 'somebody', document.created_at
        FROM retrieval_document AS document, generate_series(1,
            CASE document.entity_id WHEN '{hot}' THEN {hot_versions} ELSE {versions_each} END) AS v
        WHERE document.index_id = (SELECT id FROM retrieval_index WHERE name = 'big');
        UPDATE retrieval_document AS document SET version_id = newest.id FROM (
            SELECT DISTINCT ON (document_id) document_id, id FROM retrieval_documentversion
            ORDER BY document_id, number DESC) AS newest
        WHERE newest.document_id = document.id AND document.version_id IS NULL""",
    "chunks": """
        INSERT INTO retrieval_chunk (generation_id, document_id, version_id, position, heading_path, text, token_count,
            content_hash, metadata, audience, embedding, lexemes)
        SELECT generation.id, document.id, document.version_id, position, '', passage.text, 90,
            encode(sha256(convert_to(passage.embedded_text, 'UTF8')), 'hex'), '{{}}', '{{}}', vector.embedding,
            fabra_lexemes('english', passage.embedded_text)
        FROM retrieval_document AS document
        JOIN retrieval_index AS index ON index.id = document.index_id
        JOIN retrieval_generation AS generation ON generation.index_id = index.id,
            generate_series(0, CASE document.entity_id WHEN '{hot}' THEN {hot_chunks} ELSE {chunks_each} END - 1)
                AS position,
            LATERAL (SELECT left(document.text, 500) AS text,
                document.title || chr(10) || left(document.text, 500) AS embedded_text) AS passage,
            LATERAL (SELECT l2_normalize(
                array_agg(hashint8(document.id * 100000000 + position * 10000 + k)::real)::vector
            ) AS embedding FROM generate_series(1, {dimension}) AS k) AS vector
        WHERE index.name = 'big';
        UPDATE retrieval_index AS index SET generation_id = generation.id,
            chunk_count = (SELECT count(*) FROM retrieval_chunk WHERE generation_id = generation.id)
        FROM retrieval_generation AS generation WHERE generation.index_id = index.id AND index.name = 'big'""",
    "entities": """
        INSERT INTO features_knownentity (entity, entity_key, first_seen_at, last_seen_at)
        SELECT 'User', 'user_' || n, {at}, {at} FROM generate_series(1, {count}) AS n ON CONFLICT DO NOTHING""",
    "values": """
        INSERT INTO features_featurevalue (entity, entity_key, feature, value, event_timestamp, created_at, source)
        SELECT 'User', 'user_' || n % {customers} + 1, {feature}, to_jsonb(n), {at}, {at}, 'materialized'
        FROM generate_series(1, {count}) AS n""",
    "events": """
        INSERT INTO events_event (event_id, event_type, entity_id, payload, digest, source, sender, state_key,
            occurred_at, received_at, state, attempts, next_attempt_at, dispatched_at, started_at, applied_at,
            finished_at, error)
        SELECT 'event-' || n, CASE n % 4 WHEN 0 THEN 'doc_updated' ELSE 'message_sent' END,
            'user_' || n % {customers} + 1, '{{"text": "A message."}}', md5(n::text), 'api', '', '', {at}, {at},
            CASE WHEN n % 50000 = 0 THEN 'dead' ELSE 'done' END, 1, {at}, {at}, {at}, {at}, {at}, ''
        FROM generate_series(1, {count}) AS n""",
    "traces": """
        INSERT INTO contexts_trace (id, context, user_id, query, state, max_tokens, tokens, kept, dropped, duration_ms,
            flags, digest, version_ids, created_at, answer, model, outcome, error_code, answered_at)
        SELECT md5('trace ' || n)::uuid, CASE WHEN n % 100000 = 1 THEN 'rare_context' ELSE 'chat_context' END,
            'user_' || n % {customers} + 1, 'How does ' || {word} || ' number ' || n || ' work?',
            CASE WHEN n % 50000 = 1 THEN 'failed' ELSE 'answered' END, 4000, 900, 5, 2, 12.5,
            CASE WHEN n % 50000 = 2 THEN '["rare_flag"]' ELSE '[]' END::jsonb, md5(n::text) || md5(n::text),
            ARRAY(SELECT DISTINCT (n * k) % 2000 + 1 FROM generate_series(1, 5) AS k)
                || CASE WHEN n % 100000 = 3 THEN ARRAY[{rare_version}] ELSE ARRAY[]::int[] END, {at},
            repeat('It works like ' || {word} || ', as the article says [1]. ', 8), 'extractive',
            '{{"usage": {{"prompt_tokens": 900, "completion_tokens": 100}}, "latency_ms": 812.5, "attempts": []}}', '',
            {at}
        FROM generate_series(1, {count}) AS n;
        INSERT INTO contexts_tracebody (trace_id, text)
        SELECT trace.id, jsonb_build_object('format', 1, 'context', trace.context, 'flags', trace.flags, 'items',
            jsonb_agg(jsonb_build_object('position', k, 'content', k || repeat(' ' || trace.query, 12), 'priority', k,
                'required', FALSE, 'source_id', 'document-' || k, 'tokens', 180, 'kept', k < 6, 'reason', '', 'part',
                'user', 'suspicions', '[]'::jsonb)))::text
        FROM contexts_trace AS trace, generate_series(1, 7) AS k GROUP BY trace.id
        ON CONFLICT DO NOTHING;
        INSERT INTO contexts_contextdefinition (name, description, location, is_enabled, gone_at, created_at,
            declared_max_tokens, model, overflow, freshness_strict)
        VALUES ('rare_context', '', '', TRUE, now(), now(), 4000, '', 'drop', FALSE) ON CONFLICT DO NOTHING""",
    "conversations": """
        INSERT INTO chat_conversation (user_id, created_at, last_message_at, state, state_changed_at, title, contact,
            escalation_reason, language, takeovers, queue)
        SELECT 'user_' || n % {customers} + 1, {at}, {at}, CASE WHEN n % 50000 = 0 THEN 'waiting' ELSE 'bot' END, {at},
            'How does ' || {word} || ' work?', '', '', 'en', 0, '{{}}'
        FROM generate_series(1, {count}) AS n""",
    "messages": """
        INSERT INTO chat_message (conversation_id, user_id, role, text, citations, flags, created_at, embedding_model,
            thread_digest, context, trace_id)
        SELECT conversation.id, conversation.user_id, CASE m % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
            CASE m % 2 WHEN 1 THEN conversation.title ELSE repeat('It works as the article says [1]. ', 10) END, '[]',
            '{{}}',
            conversation.created_at, '', '', '',
            CASE m WHEN 2 THEN (SELECT id FROM contexts_trace
                WHERE id = md5('trace ' || (conversation.id - (SELECT min(id) FROM chat_conversation) + 1))::uuid) END
        FROM chat_conversation AS conversation, generate_series(1,
            CASE conversation.id WHEN (SELECT max(id) FROM chat_conversation) THEN {hot_messages} ELSE {messages_each}
            END) AS m""",
    **STATEMENTS,
}


@dataclass(frozen=True, kw_only=True)
class Filled:
    name: str
    rows: int


def fill_tables(scale: float) -> Iterator[Filled]:
    """Fill the tables, `scale` of FULL each, and yield each kind when its rows are committed."""
    embedder = get_embedder()
    counts = {name: math.ceil(count * scale) for name, count in FULL.items()}
    values = {
        **{name: str(count) for name, count in counts.items()},
        "hot": HOT,
        "hot_versions": str(HOT_VERSIONS),
        "hot_chunks": str(HOT_CHUNKS),
        "hot_messages": str(HOT_MESSAGES),
        "rare_version": str(RARE_VERSION),
        "versions_each": str(counts["versions"] // counts["documents"]),
        "chunks_each": str(counts["chunks"] // counts["documents"]),
        "messages_each": str(counts["messages"] // counts["conversations"]),
        "feature": feature_names(),
        "embedder": quote(settings.FABRA_EMBEDDER),
        "model": quote(embedder.model),
        "dimension": str(embedder.dimension),
        "word": "(ARRAY['billing','sign-in','export','quota','webhook','invoice','region','backup'])[n % 8 + 1]",
    }
    with connection.cursor() as cursor:
        for name, statement in _STATEMENTS.items():
            at = f"(now() - interval '{_DAYS.get(name, 365)} days' * ({counts[name]} - n) / {counts[name]})"
            cursor.execute(statement.format(**values, count=counts[name], at=at).replace("%", "%%"), [])
            yield Filled(name=name, rows=counts[name])
        cursor.execute("ANALYZE")
