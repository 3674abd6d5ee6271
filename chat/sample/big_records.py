"""The statements that fill the tables of what is recorded beside conversations: see `chat.sample.big_tables`."""

from features.registry import features

RECORDS: dict[str, int] = {
    "confirmations": 50_000,
    "runs": 5_000,
    "outcomes": 500_000,
    "deliveries": 300_000,
    "calls": 500_000,
    "audit": 200_000,
    "feedback": 100_000,
    "gaps": 5_000,
    "gap_questions": 50_000,
}
"""The number of rows of each kind at scale 1."""

STATEMENTS: dict[str, str] = {
    "confirmations": """
        INSERT INTO features_featureconfirmation (feature, moment, created_at, first_key, last_key, value_ids)
        SELECT {feature}, {at}, {at}, 'user_1', 'user_99999', int8multirange(int8range(n, n + 500))
        FROM generate_series(1, {count}) AS n""",
    "runs": """
        INSERT INTO features_materializationrun (feature, kind, state, total, done, failed, defaulted,
            unchanged, step, cursor, claims, errors, created_at, started_at, heartbeat_at, finished_at)
        SELECT {feature}, 'compute', CASE WHEN n % 1000 = 0 THEN 'failed' ELSE 'done' END, 100, 100, 0, 0, 90, 1,
            '', 1, '[]', {at}, {at}, {at}, {at}
        FROM generate_series(1, {count}) AS n""",
    "outcomes": """
        INSERT INTO events_handleroutcome (event_id, handler, is_done, is_permanent, attempts, duration_ms, detail,
            error, updated_at)
        SELECT id, 'reindex', TRUE, FALSE, 1, 12.5, '{{"changed": []}}', '', received_at
        FROM events_event WHERE event_id LIKE 'event-%' ORDER BY events_event.id LIMIT {count}""",
    "deliveries": """
        INSERT INTO events_webhookendpoint (nonce, previous_nonce, rotated_at, name, url, event_types, given_secret,
            is_enabled, is_gone, failures_in_row, dispatched_at, created_at)
        SELECT 'nonce', '', now(), 'big', 'https://big.example', ARRAY['*'], '', FALSE, FALSE, 0, now(), now()
        WHERE NOT EXISTS (SELECT FROM events_webhookendpoint WHERE name = 'big');
        INSERT INTO events_webhookdelivery (endpoint_id, event_id, state, attempts, next_attempt_at, give_up_at, status,
            error, created_at, finished_at)
        SELECT (SELECT id FROM events_webhookendpoint WHERE name = 'big'), id,
            CASE WHEN id % 5000 = 0 THEN 'given_up' ELSE 'delivered' END, 1, received_at, received_at, 200, '',
            received_at, received_at
        FROM events_event WHERE event_id LIKE 'event-%' ORDER BY events_event.id LIMIT {count};
        INSERT INTO events_webhookattempt (delivery_id, attempted_at, duration_ms, status, error, response)
        SELECT id, created_at, 40, 200, '', 'ok' FROM events_webhookdelivery""",
    "calls": """
        INSERT INTO chat_modelcall (created_at, purpose, provider, model, context, user_id, tier, prompt_tokens,
            completion_tokens, cost_usd, kind)
        SELECT {at}, CASE WHEN n % 10000 = 0 THEN 'gap' WHEN n % 20 = 0 THEN 'rewrite' ELSE 'answer' END, 'openai',
            'a-model', 'chat_context', 'user_' || n % {customers} + 1, 'free', 900, 100, 0.0012,
            CASE WHEN n % 10000 = 0 THEN 'unknown' ELSE 'exact' END
        FROM generate_series(1, {count}) AS n""",
    "audit": """
        INSERT INTO chat_auditentry (at, by, who, action, target, endpoint, method, path, status, detail)
        SELECT {at}, 'user', 'agent_' || n % 40, CASE WHEN n % 20000 = 0 THEN 'purge' ELSE 'view' END, 'trace ' || n,
            'contexts_trace_change', 'GET', '/admin/', CASE WHEN n % 10000 = 0 THEN 403 ELSE 200 END, ''
        FROM generate_series(1, {count}) AS n""",
    "feedback": """
        INSERT INTO chat_feedback (message_id, user_id, value, comment, created_at, updated_at)
        SELECT id, user_id, CASE WHEN id % 40 = 0 THEN 'down' ELSE 'up' END,
            CASE WHEN id % 200 = 0 THEN 'The price is wrong ' || id ELSE '' END, created_at, created_at
        FROM chat_message WHERE role = 'assistant' ORDER BY chat_message.id LIMIT {count} ON CONFLICT DO NOTHING""",
    "gaps": """
        INSERT INTO chat_gap (title, embedding_model, state, state_changed_at, decided_by, question_count,
            first_seen_at, last_seen_at)
        SELECT 'How does ' || {word} || ' number ' || n || ' work?', '', 'open', {at}, '', 10, {at}, {at}
        FROM generate_series(1, {count}) AS n""",
    "gap_questions": """
        WITH numbered AS (
            SELECT id, created_at, row_number() OVER (ORDER BY id) AS n
            FROM chat_message WHERE role = 'user' ORDER BY id LIMIT {count}
        )
        INSERT INTO chat_gapquestion (message_id, reasons, gap_id, embedding_model, is_follow_up, asked_at)
        SELECT id, ARRAY['not_known'], (SELECT min(id) FROM chat_gap) + n % {gaps}, '', FALSE, created_at
        FROM numbered ON CONFLICT DO NOTHING""",
}
"""As those of `chat.sample.big_tables`."""


def feature_names() -> str:
    """Return the SQL of the name of a declared feature of users for row `n`; a page shows values of these only."""
    names = sorted(spec.name for spec in features.values() if spec.entity.name == "User" and not spec.on_demand)
    quoted = ",".join("'" + name.replace("'", "''") + "'" for name in names or ["feature"])
    return f"(ARRAY[{quoted}])[n % {max(1, len(names))} + 1]"
