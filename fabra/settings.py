"""The bot's own settings, for a project of any name: `from fabra.settings import *`.

Each has a default, and most an environment variable. What a project sets after the import comes before them. No name
of another's settings is here.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from common.client_address import parse_networks
from common.environment import Environment
from common.secret_files import env_secret
from fabra.admin_menu import UNFOLD
from fabra.hosting import BOT_MIDDLEWARE as BOT_MIDDLEWARE
from fabra.hosting import bot_apps as bot_apps

env = Environment()

FABRA_UNFOLD = UNFOLD  # the look and the menu of the admin

# ---------------------------------------------------------------- services

REDIS_URL = env_secret("REDIS_URL") or "redis://127.0.0.1:6379/0"
# The prefix of every key of the project, so that several stacks can share a server.
FABRA_REDIS_PREFIX = env.str("FABRA_REDIS_PREFIX", "fabra")
# Models, token encodings, and what else can be made again.
FABRA_DATA_DIR = Path(env.str("FABRA_DATA_DIR", "") or Path.home() / ".cache" / "fabra").resolve()
FABRA_WEB = env.bool("FABRA_WEB", False)

# The project is the bot's own: its admin, users, sessions and logs are the bot's to show and to clear. In any other,
# the bot has an admin site of its own, and leaves those alone.
FABRA_OWN_PROJECT = False

# ---------------------------------------------------------------- security

# Addresses and networks of the proxies in front, with commas between: X-Forwarded-For is read from its right end, as
# far as they wrote it.
FABRA_TRUSTED_PROXIES = parse_networks(env.list("FABRA_TRUSTED_PROXIES", default=[]), "FABRA_TRUSTED_PROXIES")
# The largest body of a request, uploads in the admin apart.
FABRA_MAX_REQUEST_BYTES = env.int("FABRA_MAX_REQUEST_BYTES", 2_500_000)
# The largest body of a bulk request of documents, whose single lines have the limit above; it is read as it comes.
FABRA_BULK_MAX_BYTES = env.int("FABRA_BULK_MAX_BYTES", 2_000_000_000)
# Bulk requests that a web process works on at a time, since each keeps a core busy.
FABRA_BULK_STREAMS = env.int("FABRA_BULK_STREAMS", 1)
# In seconds: how long a request's head and body may take; a large body gets a second more for each 10 kB.
FABRA_HEADER_TIMEOUT_S = env.float("FABRA_HEADER_TIMEOUT", 10.0)
FABRA_BODY_TIMEOUT_S = env.float("FABRA_BODY_TIMEOUT", 30.0)
FABRA_HEADER_MAX_BYTES = env.int("FABRA_HEADER_MAX_BYTES", 64_000)

# ---------------------------------------------------------------- REST

# The OpenAPI schema and its page are for everyone; unset: in development mode. Otherwise for whoever may use the API,
# with a secret key or an account.
FABRA_API_DOCS: bool | None = env.bool("FABRA_API_DOCS", default=None)

# How the API is described, in the names of drf-spectacular's settings.
FABRA_API_SCHEMA = {
    "TITLE": "Fabra for Django",
    "DESCRIPTION": "A support chatbot with its feature store, retrieval, context assembly and evidence.",
    "VERSION": "0.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "OAS_VERSION": "3.1.0",
    # Operations are grouped and named by what comes after it.
    "SCHEMA_PATH_PREFIX": r"^/(api/)?",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "chat.mcp.openapi.describe_endpoint",
        "chat.api.openapi.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "EventState": "events.models.Event.State",
        "DocumentState": "retrieval.models.Document.State",
        "WhoAnswers": "chat.models.Conversation.State",
    },
}

# ---------------------------------------------------------------- Celery

# Events go to the queues `state`, `default` and `webhooks`, so that a changed document waits for nothing else, and what
# waits for a language model goes to `models`; workers must then read these. Off: all tasks go where the project's
# Celery application sends them.
FABRA_QUEUES = env.bool("FABRA_QUEUES", False)

# ---------------------------------------------------------------- definitions

# None: every installed app's `definitions.py`, discovered like `admin.py`. Otherwise only these modules.
FABRA_DEFINITIONS: list[str] | None = env.list("FABRA_DEFINITIONS", cast=str.strip, default=None)
# True in a script that sets Django up by importing `fabra`: it has its own definitions and mirrors none in rows.
FABRA_STANDALONE = env.bool("FABRA_STANDALONE", False)

# ---------------------------------------------------------------- features

FABRA_REDIS_TIMEOUT_S = env.float("FABRA_REDIS_TIMEOUT", 1.0)
FABRA_DEFAULT_REFRESH = timedelta(hours=1)
FABRA_ENTITY_MEMORY = timedelta(days=30)
FABRA_ONLINE_RETENTION = timedelta(days=30)

# ---------------------------------------------------------------- events

FABRA_EVENT_MAX_ATTEMPTS = env.int("FABRA_EVENT_MAX_ATTEMPTS", 6)
# More than twice FABRA_DOCUMENT_MAX_BYTES, because a document's event contains it as JSON.
FABRA_EVENT_MAX_BYTES = env.int("FABRA_EVENT_MAX_BYTES", 2_500_000)
FABRA_EVENT_MAX_AHEAD = timedelta(minutes=5)
FABRA_EVENT_BATCH = env.int("FABRA_EVENT_BATCH", 500)
FABRA_WEBHOOK_WINDOW = timedelta(seconds=env.int("FABRA_WEBHOOK_WINDOW", 300))
# Days that a secret of a webhook, or one that signs users, stays valid after its rotation.
FABRA_WEBHOOK_OVERLAP = timedelta(days=env.int("FABRA_WEBHOOK_OVERLAP_DAYS", 7))
# Seconds that a webhook endpoint may take to answer.
FABRA_WEBHOOK_TIMEOUT_S = env.float("FABRA_WEBHOOK_TIMEOUT", 10.0)
# Hours after which an event that could not be delivered to a webhook endpoint is given up.
FABRA_WEBHOOK_GIVE_UP = timedelta(hours=env.float("FABRA_WEBHOOK_GIVE_UP_HOURS", 24.0))
# Webhook endpoints may be at private addresses, such as those of this machine and its network, and these may use http.
# Unset: in development mode.
FABRA_WEBHOOK_ALLOW_PRIVATE: bool | None = env.bool("FABRA_WEBHOOK_ALLOW_PRIVATE", default=None)

# ---------------------------------------------------------------- retention

# How long rows are kept, in days. The admin's page "Storage" shows what goes next.

# Days that processed events and their ids are kept, with their webhook deliveries. 0: for ever.
FABRA_EVENT_RETENTION = timedelta(days=env.int("FABRA_EVENT_RETENTION_DAYS", 30))
# Days that dead events are kept; until then each can be sent again. 0: for ever.
FABRA_DEAD_EVENT_RETENTION = timedelta(days=env.int("FABRA_DEAD_EVENT_RETENTION_DAYS", 180))
# Days that traces of contexts are kept; messages stay without them. 0: for ever.
FABRA_TRACE_RETENTION = timedelta(days=env.int("FABRA_TRACE_RETENTION_DAYS", 90))
# Days that conversations are kept after their last message; their traces and tickets go with them. Those that wait for
# a person, or have one, stay until they are closed: by themselves after the days that the admin sets under Handover.
# So long it is also known which visitor became which user. 0: for ever.
FABRA_CONVERSATION_RETENTION = timedelta(days=env.int("FABRA_CONVERSATION_RETENTION_DAYS", 365))
# Days that a feature value is kept after a later one followed, that confirmations of unchanged ones are kept, and that
# an entity is kept with all its values after it was last seen, unless its declaration lists it or an operator set a
# value. 0: for ever.
FABRA_VALUE_RETENTION = timedelta(days=env.int("FABRA_VALUE_RETENTION_DAYS", 365))
# Days that a version of a document is kept after a later one followed or the document was deleted, if no kept trace
# used it, and that a deleted document is listed as such. 0: for ever.
FABRA_VERSION_RETENTION = timedelta(days=env.int("FABRA_VERSION_RETENTION_DAYS", 365))
# Days that materialisation runs without values, and ingestion runs with their files, are kept. 0: for ever.
FABRA_RUN_RETENTION = timedelta(days=env.int("FABRA_RUN_RETENTION_DAYS", 90))
# Days that evaluations and calibrations are kept; the newest of each index stays. 0: for ever.
FABRA_EVALUATION_RETENTION = timedelta(days=env.int("FABRA_EVALUATION_RETENTION_DAYS", 365))
# Days that calls of models are kept, with their cost; the sums of each day stay. 0: for ever.
FABRA_MODEL_CALL_RETENTION = timedelta(days=env.int("FABRA_MODEL_CALL_RETENTION_DAYS", 400))
# Days that it is kept how often each API key was used on a day. 0: for ever.
FABRA_KEY_USE_RETENTION = timedelta(days=env.int("FABRA_KEY_USE_RETENTION_DAYS", 400))
# Days that the answers to requests with an Idempotency-Key are kept, in which a repetition gets them. 0: for ever.
FABRA_IDEMPOTENCY_RETENTION = timedelta(days=env.float("FABRA_IDEMPOTENCY_RETENTION_DAYS", 1.0))
# Days that entries of the audit log are kept. 0: for ever.
FABRA_AUDIT_RETENTION = timedelta(days=env.int("FABRA_AUDIT_RETENTION_DAYS", 365))
# Days that the admin's log of changes is kept. 0: for ever.
FABRA_ADMIN_LOG_RETENTION = timedelta(days=env.int("FABRA_ADMIN_LOG_RETENTION_DAYS", 730))
# Days that a session is kept after it expired. 0: for ever.
FABRA_SESSION_RETENTION = timedelta(days=env.float("FABRA_SESSION_RETENTION_DAYS", 1.0))
# Days that records of sign-ins are kept, failed ones too. 0: for ever.
FABRA_SIGN_IN_RETENTION = timedelta(days=env.int("FABRA_SIGN_IN_RETENTION_DAYS", 90))

# ---------------------------------------------------------------- retrieval

FABRA_DEFAULT_INDEX = env.str("FABRA_DEFAULT_INDEX", "knowledge_base")
FABRA_EMBEDDING_MODEL = env.str("FABRA_EMBEDDING_MODEL", "sentence-transformers/all-MiniLM-L6-v2")
# `local` runs the model in this process; `openai` calls OPENAI_BASE_URL.
FABRA_EMBEDDER = env.str("FABRA_EMBEDDER", "retrieval.embedders.local.LocalEmbedder")
# One thread in the web process, because for a short question a second would spin more than help. Indexing has long
# batches.
FABRA_EMBEDDING_THREADS = env.int("FABRA_EMBEDDING_THREADS", 1 if FABRA_WEB else 2)
# A cross-encoder that reranks the best hits if the search or its index requests it; empty: none.
FABRA_RERANK_MODEL = env.str("FABRA_RERANK_MODEL", "")
FABRA_RERANK_PATH = env.str("FABRA_RERANK_PATH", "")
FABRA_RERANKER = env.str("FABRA_RERANKER", "retrieval.rerankers.local.CrossEncoder")
FABRA_RERANK_TIMEOUT = env.float("FABRA_RERANK_TIMEOUT", 2.0)
FABRA_DOCUMENT_MAX_BYTES = env.int("FABRA_DOCUMENT_MAX_BYTES", 1_000_000)
# The most tokens of the chat model in one chunk, whatever the embedder counts: some chunks must fit a context's budget.
FABRA_CHUNK_MAX_TOKENS = env.int("FABRA_CHUNK_MAX_TOKENS", 512)
# Metadata is kept with each chunk.
FABRA_METADATA_MAX_BYTES = env.int("FABRA_METADATA_MAX_BYTES", 20_000)
# A file may contain more than its text, or many documents; a larger one is refused without reading it.
FABRA_FILE_MAX_BYTES = env.int("FABRA_FILE_MAX_BYTES", 20_000_000)
FABRA_UPLOAD_MAX_BYTES = env.int("FABRA_UPLOAD_MAX_BYTES", 100_000_000)  # on the admin's page
FABRA_ARCHIVE_MAX_BYTES = env.int("FABRA_ARCHIVE_MAX_BYTES", 1_000_000_000)
# About 250 chunks: enough for the embedder to sort by length, and few enough to lose in a crash.
FABRA_INGESTION_BATCH_CHARS = env.int("FABRA_INGESTION_BATCH_CHARS", 150_000)
FABRA_INGESTION_WORKERS = env.int("FABRA_INGESTION_WORKERS", 4)  # tasks that share a run
# The address of the site that has your models' pages, such as https://shop.example.com: it stands before the paths that
# `get_absolute_url` returns. Empty: they are pages of this site.
FABRA_SITE_URL = env.str("FABRA_SITE_URL", "")
# Minutes between two comparisons of your models with their documents, for changes that sent no signal.
FABRA_MODEL_SYNC_EVERY = timedelta(minutes=env.float("FABRA_MODEL_SYNC_EVERY", 10))
FABRA_ARCHIVE_MAX_FILES = env.int("FABRA_ARCHIVE_MAX_FILES", 20_000)

# ---------------------------------------------------------------- contexts

FABRA_ENCODING = env.str("FABRA_ENCODING", "o200k_base")
# Minutes for which Redis has a copy of each trace, some 9 KB; it is read in PostgreSQL before and after.
FABRA_TRACE_CACHE_TTL = timedelta(minutes=env.int("FABRA_TRACE_CACHE_MINUTES", 10))

# ---------------------------------------------------------------- chat

OPENAI_API_KEY = env_secret("OPENAI_API_KEY")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", "") or "https://api.openai.com/v1"
FABRA_CHAT_MODEL = env.str("FABRA_CHAT_MODEL", "gpt-4o-mini")
# Off: OPENAI_API_KEY is for embeddings only, and the chat asks the models of the admin.
FABRA_CHAT_USES_OPENAI_KEY = env.bool("FABRA_CHAT_USES_OPENAI_KEY", True)
# `extractive`: where no model answers, or a budget is used up, passages are quoted as without a model. Empty: an error.
FABRA_MODEL_FALLBACK = env.str("FABRA_MODEL_FALLBACK", "")
# Seconds that a model is left alone after it failed, if there is another one; doubled each time, up to 16 times
# as long.
FABRA_MODEL_PAUSE_S = env.float("FABRA_MODEL_PAUSE", 15.0)
FABRA_CHAT_CONTEXT = env.str("FABRA_CHAT_CONTEXT", "chat_context")
# The dotted path of a function that takes a signed-in user and returns names of audiences, such as
# `shop.access.audiences_of`: searches of contexts that name no audience find documents for these, beside those for the
# user's groups.
FABRA_AUDIENCES = env.str("FABRA_AUDIENCES", "")
# `make up` loads the sample into an empty database, once; off: never.
FABRA_SAMPLE = env.bool("FABRA_SAMPLE", True)
# How bots look that say nothing of their own in the admin, as JSON: {"name": "Harbour help", "accent": "#0b6e69",
# "accent_dark": "#5cc7c1", "language": "en", "greeting": "Ahoy!", "introduction": "Ask away.", "demo_users":
# ["user_123 | Mara | premium"], "logo": "shop/logo.svg"}. The logo is the path of a static file.
FABRA_BOT: dict[str, Any] = env.json("FABRA_BOT", default={})
# First questions on the chat page of a bot without an index of its own, at most 4, with | between; empty: the golden
# questions of the default index that have the tag `suggested`.
FABRA_SUGGESTED_QUESTIONS: list[str] = [
    question.strip() for question in env.str("FABRA_SUGGESTED_QUESTIONS", "").split("|") if question.strip()
]
FABRA_CHAT_PUBLIC = env.bool("FABRA_CHAT_PUBLIC", False)
# Seconds that a token may be valid by which a site names its user to the chat that it embeds.
FABRA_USER_TOKEN_MAX_AGE_S = env.int("FABRA_USER_TOKEN_MAX_AGE", 3600)
FABRA_CHAT_DEADLINE_S = env.float("FABRA_CHAT_DEADLINE", 60.0)
FABRA_MODEL_TIMEOUT_S = env.float("FABRA_MODEL_TIMEOUT", 30.0)
FABRA_MODEL_RETRIES = env.int("FABRA_MODEL_RETRIES", 2)
FABRA_MODEL_MAX_TOKENS = env.int("FABRA_MODEL_MAX_TOKENS", 1000)
# More models, in their order, as JSON: [{"name": "claude", "base_url": "https://api.anthropic.com/v1", "model":
# "claude-sonnet-4-5", "key_variable": "ANTHROPIC_API_KEY"}]. Each may have the columns of a model in the admin:
# `position` (0), `timeout_s`, `retries`, `window`, `max_tokens`, `parameters` and the others of it.
FABRA_MODELS: list[dict[str, Any]] = env.json("FABRA_MODELS", default=[])
# US dollars for a million tokens of input and of output, as JSON: {"my-model": [0.5, 1.5]}. They come before the list
# prices that the package genai-prices has; a price of a model in the admin comes before both.
FABRA_MODEL_PRICES: dict[str, tuple[float, float]] = env.json("FABRA_MODEL_PRICES", default={})
# US dollars that models may cost, as JSON: {"installation": {"day": 20, "month": 300}, "tiers": {"free": {"day": 5,
# "month": 90, "user_day": 0.1, "user_month": 1}, "*": {"user_day": 1}}}. A tier's `day` and `month` are of all its
# users together, `user_day` and `user_month` of each; `*` stands for the tiers that are not named.
FABRA_BUDGETS: dict[str, Any] = env.json("FABRA_BUDGETS", default={})
# The tokens that the model takes and gives in one call. A context's budget is cut to what the question and
# FABRA_MODEL_MAX_TOKENS leave of it; 0: unknown, so that nothing is cut.
FABRA_MODEL_WINDOW = env.int("FABRA_MODEL_WINDOW", 0)
# The answers of the model of OPENAI_API_KEY begin with its thoughts, up to `</think>`, without a mark before them.
FABRA_MODEL_BEGINS_WITH_THINKING = env.bool("FABRA_MODEL_BEGINS_WITH_THINKING", False)
FABRA_HISTORY_TURNS = env.int("FABRA_HISTORY_TURNS", 20)  # earlier questions and answers that a context is offered
# Where a language model is configured, it summarises the turns that are no longer offered, once, in the background.
FABRA_SUMMARIES = env.bool("FABRA_SUMMARIES", True)
# `model`: the language model rewrites a follow-up as a question that stands alone, and both are searched for. Empty:
# the search uses the earlier questions alone.
FABRA_REWRITE = env.str("FABRA_REWRITE", "")
# Seconds after which a chat goes on without a rewriting.
FABRA_REWRITE_TIMEOUT_S = env.float("FABRA_REWRITE_TIMEOUT", 2.0)
# Seconds that a second request with the same Idempotency-Key waits for the answer of the first.
FABRA_IDEMPOTENCY_WAIT_S = env.float("FABRA_IDEMPOTENCY_WAIT", 30.0)
FABRA_MESSAGE_MAX_CHARS = env.int("FABRA_MESSAGE_MAX_CHARS", 8000)
FABRA_RATE_LIMITS: dict[str, int] = {"premium": env.int("FABRA_LIMIT_PREMIUM", 100)}
FABRA_RATE_LIMIT_DEFAULT = env.int("FABRA_LIMIT_DEFAULT", 20)
# Messages from one address in the same time, whoever sends them without an API key; 0: as many as they like.
FABRA_RATE_LIMIT_ADDRESS = env.int("FABRA_LIMIT_ADDRESS", 100)
# Feedback of one user in the same time: each change is an event, and may be sent on by webhooks.
FABRA_RATE_LIMIT_FEEDBACK = env.int("FABRA_LIMIT_FEEDBACK", 100)
# Addresses that one user leaves, and wishes for a person that they take back: each is a line, an event and a ticket.
FABRA_RATE_LIMIT_HANDOVER = env.int("FABRA_LIMIT_HANDOVER", 20)
# Messages of one user to a person, and wishes for one, beyond the limit of what the bot answers.
FABRA_RATE_LIMIT_PERSON = env.int("FABRA_LIMIT_PERSON", 100)
FABRA_RATE_LIMIT_WINDOW = timedelta(hours=1)
FABRA_TIER_FEATURE = "user_tier"

# Questions that were not answered are one gap if their mean cosine is at least this.
FABRA_GAP_SIMILARITY = env.float("FABRA_GAP_SIMILARITY", 0.6)
# An answer of whose sentences a smaller share is supported by its passages leaves its question open.
FABRA_GAP_LEAST_SUPPORT = env.float("FABRA_GAP_LEAST_SUPPORT", 0.5)
# Questions of a gap that are asked again when its article has changed; with a model each is one call.
FABRA_GAP_QUESTIONS = env.int("FABRA_GAP_QUESTIONS", 5)

# ---------------------------------------------------------------- tuning

# Measured, not a matter of a deployment: no environment variable changes them.
# Entities written at once, for a function that takes a single key.
FABRA_MATERIALIZE_CHUNK = 200
# Events that one sweep of the outbox enqueues again, and rows that one DELETE removes.
FABRA_EVENT_SWEEP_LIMIT = 1000
# An entry of the stream that a consumer has not acknowledged for so long is another's to take.
FABRA_STREAM_IDLE_MS = 30_000
# Below this many chunks an exact scan is as fast as the HNSW, and has full recall.
FABRA_HNSW_WORTH_IT = 2000
# An exact scan is faster, and has full recall, up to this many times the square root of the number of all chunks: with
# a million chunks the HNSW is faster from 15,000 left, with 100,000 from 4,700.
FABRA_EXACT_SCAN_FACTOR = 15
# Chunks for each candidate that the lexical leg matches by rare lexemes, and again by common ones.
FABRA_LEXICAL_REACH = 5
# Unmerged lexeme counts from which a merge pays off; each unmerged row costs a look-up some nanoseconds.
FABRA_LEXEME_MERGE_AFTER = 20_000
# Limits of the process that reads files; it is killed when it exceeds them.
FABRA_READER_TIMEOUT_S = 60.0
FABRA_READER_MAX_BYTES = 1 << 30
# A message's lease of its conversation, renewed while it is answered: after a crash the next one waits so long.
FABRA_CONVERSATION_LEASE_S = 15.0
# Seconds that a task works on what takes long; the rest is another task, behind those that came meanwhile.
FABRA_TASK_SLICE_S = 15.0
# Seconds between a web process's looks for what Redis did not tell it of open conversations, and of who is there.
FABRA_LIVE_LOOK_S = 3.0
# Seconds after which nobody is there whom no process has renewed, which each does every third of that; a process that
# is killed cannot say that its pages are gone.
FABRA_PRESENCE_S = 45.0
# Seconds for which somebody who has left is still there: long enough to load the page again.
FABRA_PRESENCE_LEFT_S = 5.0
# Seconds after which an agent who has not touched the inbox is away, though it is open.
FABRA_INBOX_IDLE_S = 300.0

# What the star imports: the settings alone. Not as an assignment, which a type checker could not evaluate.
globals()["__all__"] = [*(name for name in dir() if name.isupper() and name != "UNFOLD"), "bot_apps"]
