"""The only settings file; deployments differ by environment variables."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from kombu.entity import Queue

from common.client_address import parse_networks
from common.secret_files import env_secret
from fabra_project import no_stack
from fabra_project.admin_menu import UNFOLD as UNFOLD
from fabra_project.page_policies import SECURE_CSP
from fabra_project.stack.services import read_services, secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DATA_DIR = Path(env.str("FABRA_DATA_DIR", "") or BASE_DIR / ".data").resolve()

# ---------------------------------------------------------------- services

_services = read_services(DATA_DIR)
DATABASE_URL = env_secret("DATABASE_URL") or _services.get("DATABASE_URL", "")
REDIS_URL = env_secret("REDIS_URL") or _services.get("REDIS_URL", "")
# manage.py sets FABRA_WITHOUT_STACK for commands that read and write no data.
if not (DATABASE_URL and REDIS_URL) and not env.bool("FABRA_WITHOUT_STACK", False):
    raise ImproperlyConfigured(no_stack.MESSAGE)
REDIS_URL = REDIS_URL or "redis://127.0.0.1:1/0"  # an address where nothing listens

DATABASES: dict[str, Any] = {"default": env.db_url_config(DATABASE_URL) if DATABASE_URL else {}}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql" if DATABASE_URL else "fabra_project.no_stack"
DATABASES["default"].setdefault("OPTIONS", {})
# Only the web process uses a pool, because a prefork worker would share the pool's sockets with its children.
IS_WEB = env.bool("FABRA_WEB", False)
if IS_WEB:
    DATABASES["default"]["ENGINE"] = "fabra_project.postgresql"
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 2,
        "max_size": env.int("FABRA_DATABASE_POOL", 24),
        "timeout": 10,
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# In seconds: a PostgreSQL that hangs must not block a request.
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)
# After this many uses on a connection, a planned_cursor's statement is prepared; other statements never are.
DATABASES["default"]["OPTIONS"].setdefault("prepare_threshold", 1)
# Set when connecting, so that no search needs a round trip for them: iterative scans keep recall under filters, and
# short queries do without JIT. In the web process, the timeout ends statements soon after their request.
_timeout = f" -c statement_timeout={env.int('FABRA_STATEMENT_TIMEOUT', 30)}s" if IS_WEB else ""
DATABASES["default"]["OPTIONS"].setdefault("options", f"-c hnsw.iterative_scan=strict_order -c jit=off{_timeout}")

# The prefix of every key of the project, so that several stacks can share a server.
FABRA_REDIS_PREFIX = env.str("FABRA_REDIS_PREFIX", "fabra")
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": f"{FABRA_REDIS_PREFIX}:cache",
        # What is cached can be computed: a Redis that is down or hangs delays nothing by more than this.
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.1, "SOCKET_TIMEOUT": 0.1, "IGNORE_EXCEPTIONS": True},
    }
}

# What open pages see at once; the layer takes its server and its prefix from the settings above.
CHANNEL_LAYERS = {"default": {"BACKEND": "chat.live.layer.RedisLayer"}}

# ---------------------------------------------------------------- security

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env_secret("SECRET_KEY") or secret_key(DATA_DIR)
# Previous values of SECRET_KEY: webhook secrets derived from them stay valid.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Turn it off only to try the bot without TLS; `check --deploy` then warns.
HTTPS_ONLY = env.bool("FABRA_HTTPS_ONLY", not DEBUG)
SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS_ONLY
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
if env.bool("FABRA_BEHIND_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Django 6 reads SECURE_CSP itself; until then django-csp does, under its own name.
CONTENT_SECURITY_POLICY = {"DIRECTIVES": SECURE_CSP}
X_FRAME_OPTIONS = "DENY"
# Addresses and networks of the proxies in front, with commas between: X-Forwarded-For is read from its right end, as
# far as they wrote it.
FABRA_TRUSTED_PROXIES = parse_networks(env.list("FABRA_TRUSTED_PROXIES", default=[]), "FABRA_TRUSTED_PROXIES")
AUTHENTICATION_BACKENDS = ["chat.access.sign_in.ThrottledBackend", "django.contrib.auth.backends.ModelBackend"]
# Sign-ins are throttled by django-axes: after so many failures a user name is locked out at an address for a while;
# an address with all names, and a name from all addresses, after ten times as many.
AXES_FAILURE_LIMIT = env.int("FABRA_SIGN_IN_FAILURES", 5)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("FABRA_SIGN_IN_COOLOFF_MIN", 15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], ["ip_address"], ["username"]]
AXES_HANDLER = "chat.access.sign_in.ThrottlingHandler"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ACCESS_FAILURE_LOG = True
AXES_ENABLE_ADMIN = False  # chat/admin/sign_ins.py has its pages
AXES_SENSITIVE_PARAMETERS = ["csrfmiddlewaretoken"]  # beside passwords: the log names user and address
FABRA_SIGN_IN_RETENTION_DAYS = env.int("FABRA_SIGN_IN_RETENTION_DAYS", 90)
AXES_CLIENT_IP_CALLABLE = "chat.access.sign_in.address_of"
AXES_LOCKOUT_CALLABLE = "chat.access.sign_in.locked_out"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("FABRA_MAX_REQUEST_BYTES", 2_500_000)
# The largest body of a bulk request of documents, whose single lines have the limit above; it is read as it comes.
FABRA_BULK_MAX_BYTES = env.int("FABRA_BULK_MAX_BYTES", 2_000_000_000)
# Bulk requests that a web process works on at a time, since each keeps a core busy.
FABRA_BULK_STREAMS = env.int("FABRA_BULK_STREAMS", 1)
# In seconds: how long a request's head and body may take; a large body gets a second more for each 10 kB.
FABRA_HEADER_TIMEOUT_S = env.float("FABRA_HEADER_TIMEOUT", 10.0)
FABRA_BODY_TIMEOUT_S = env.float("FABRA_BODY_TIMEOUT", 30.0)
FABRA_HEADER_MAX_BYTES = env.int("FABRA_HEADER_MAX_BYTES", 64_000)

# ---------------------------------------------------------------- Django

# Your own apps, such as `shop,helpdesk`: folders beside manage.py, or installed packages.
FABRA_APPS = env.list("FABRA_APPS", default=[])
if FABRA_APPS and str(BASE_DIR) not in sys.path:
    sys.path.append(str(BASE_DIR))  # a script elsewhere, which imports only `fabra`, finds them too
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "csp",
    "django_celery_beat",
    "axes",
    "common",
    "events",
    "features",
    "retrieval",
    "contexts",
    *FABRA_APPS,
    "chat",  # the last one: it gives permissions on the tables of all apps
]
# All support async: a single synchronous one would make Django run every view in a thread.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "fabra_project.middleware.PagePolicies",
    "common.middleware.no_store",
    "chat.embed.cross_origin.cross_origin",
    "fabra_project.middleware.customers_language",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "common.middleware.SlashMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "chat.audit.middleware.audited",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "common.middleware.DataErrorMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "fabra_project.urls"
ASGI_APPLICATION = "fabra_project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
# The chat page is in the reader's language, if it is one of these; the admin is in LANGUAGE_CODE.
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["fabra_project.formats"]
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
LOGIN_URL = "login"  # the chat page's, for any user; the admin has its own login page, for staff
LOGIN_REDIRECT_URL = "admin:index"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("FABRA_LOG_LEVEL", "INFO")},
    "loggers": {
        "django": {"handlers": []},  # Django's own handlers would log each line twice in development
        # Below WARNING, each line of the HTTP client would contain the model server's URL.
        **{name: {"level": "WARNING"} for name in ("httpx", "httpx2", "httpcore", "httpcore2")},
        "axes": {"level": "WARNING"},  # failures and lockouts
        "channels_redis": {"level": "CRITICAL"},  # a trace each second while Redis is down, which `chat.live` reports
    },
}

# ---------------------------------------------------------------- REST

# The OpenAPI schema and its page are for everyone; unset: in development mode. Otherwise for staff and API keys.
FABRA_API_DOCS: bool | None = env.bool("FABRA_API_DOCS", default=None)

REST_FRAMEWORK = {
    "DEFAULT_PARSER_CLASSES": ["chat.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["chat.api.auth.ApiKeyAuthentication", "chat.api.auth.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["chat.api.auth.HasPermission"],
    "DEFAULT_PAGINATION_CLASS": "chat.api.pagination.KeysetPagination",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "chat.api.errors.handle_exception",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Fabra for Django",
    "DESCRIPTION": "A support chatbot with its feature store, retrieval, context assembly and evidence.",
    "VERSION": "0.1.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "OAS_VERSION": "3.1.0",
    # Operations are grouped and named by what comes after it.
    "SCHEMA_PATH_PREFIX": r"^/(api/)?",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "chat.api.openapi.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "EventState": "events.models.Event.State",
        "DocumentState": "retrieval.models.Document.State",
        "WhoAnswers": "chat.models.Conversation.State",
    },
}

# ---------------------------------------------------------------- Celery

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# In seconds: a worker process loads the embedding model when it starts.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60
# A worker process above these limits is replaced between two tasks, in case a library leaks memory.
CELERY_WORKER_MAX_TASKS_PER_CHILD = env.int("FABRA_WORKER_MAX_TASKS", 20_000)
CELERY_WORKER_MAX_MEMORY_PER_CHILD = env.int("FABRA_WORKER_MAX_MEMORY_MB", 2_000) * 1024  # in KB
CELERY_TASK_SOFT_TIME_LIMIT = 15 * 60
CELERY_TASK_TIME_LIMIT = 16 * 60
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 20 * 60,  # above the task time limit, so that a running task is never delivered twice
    "socket_connect_timeout": 2,
    # Publishing during a request gives up at once; the outbox's sweep enqueues the event later.
    "max_retries": 1,
    "interval_start": 0,
    "socket_timeout": 2 if IS_WEB else 10,
    "global_keyprefix": f"{FABRA_REDIS_PREFIX}:celery:",
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# `make up` starts one worker for `state`, changed documents, one for `materialize` and `ingest`, where long work goes
# in slices of some 15 seconds, and one for the rest: no document and no small task waits behind long work.
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_QUEUES = [Queue("state"), Queue("default"), Queue("materialize"), Queue("ingest"), Queue("webhooks")]
CELERY_TASK_ROUTES = {
    "features.tasks.materialize_*": {"queue": "materialize"},
    **{
        f"retrieval.tasks.{name}": {"queue": "ingest"}
        for name in (
            "ingest",
            "sync_model_source",
            "build_hnsw",
            "build_generation",
            "drop_generation",
            "compare_generation",
            "evaluate_run",
        )
    },
}
CELERY_BEAT_SCHEDULER = "fabra_project.beat:SteadyScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# ---------------------------------------------------------------- definitions

# None: every installed app's `definitions.py`, discovered like `admin.py`. Otherwise only these modules.
FABRA_DEFINITIONS: list[str] | None = env.list("FABRA_DEFINITIONS", default=None)
# True in a script that sets Django up by importing `fabra`: it has its own definitions and mirrors none in rows.
FABRA_STANDALONE = env.bool("FABRA_STANDALONE", False)

# ---------------------------------------------------------------- features

FABRA_REDIS_TIMEOUT_S = env.float("FABRA_REDIS_TIMEOUT", 1.0)
FABRA_DEFAULT_REFRESH = timedelta(hours=1)
FABRA_ENTITY_MEMORY = timedelta(days=30)
FABRA_ONLINE_RETENTION = timedelta(days=30)
FABRA_EVENT_MAX_ATTEMPTS = env.int("FABRA_EVENT_MAX_ATTEMPTS", 6)
# More than twice FABRA_DOCUMENT_MAX_BYTES, because a document's event contains it as JSON.
FABRA_EVENT_MAX_BYTES = env.int("FABRA_EVENT_MAX_BYTES", 2_500_000)
FABRA_EVENT_MAX_AHEAD = timedelta(minutes=5)
FABRA_EVENT_BATCH = env.int("FABRA_EVENT_BATCH", 500)
# How long rows are kept, in days; 0 keeps them for ever. The admin's page "Storage" shows what goes next.
# Processed events, with their webhook deliveries.
FABRA_EVENT_RETENTION = timedelta(days=env.int("FABRA_EVENT_RETENTION_DAYS", 30))
# Traces of contexts; messages stay without them.
FABRA_TRACE_RETENTION = timedelta(days=env.int("FABRA_TRACE_RETENTION_DAYS", 90))
# Conversations since their last message; their traces go with them.
FABRA_CONVERSATION_RETENTION = timedelta(days=env.int("FABRA_CONVERSATION_RETENTION_DAYS", 365))
# Feature values that a later one followed, and entities without a value.
FABRA_VALUE_RETENTION = timedelta(days=env.int("FABRA_VALUE_RETENTION_DAYS", 365))
# Versions that a later one followed and that no kept trace used, and deleted documents.
FABRA_VERSION_RETENTION = timedelta(days=env.int("FABRA_VERSION_RETENTION_DAYS", 365))
# Materialisation runs without values, and ingestion runs.
FABRA_RUN_RETENTION = timedelta(days=env.int("FABRA_RUN_RETENTION_DAYS", 90))
# Entries of the audit log.
FABRA_AUDIT_RETENTION = timedelta(days=env.int("FABRA_AUDIT_RETENTION_DAYS", 365))
# The admin's log of changes.
FABRA_ADMIN_LOG_RETENTION = timedelta(days=env.int("FABRA_ADMIN_LOG_RETENTION_DAYS", 730))
FABRA_WEBHOOK_WINDOW = timedelta(seconds=env.int("FABRA_WEBHOOK_WINDOW", 300))
# How long a webhook secret stays valid after its rotation.
FABRA_WEBHOOK_OVERLAP = timedelta(days=env.int("FABRA_WEBHOOK_OVERLAP_DAYS", 7))
# Seconds that a webhook endpoint may take to answer.
FABRA_WEBHOOK_TIMEOUT_S = env.float("FABRA_WEBHOOK_TIMEOUT", 10.0)
# Hours after which an event that could not be delivered to a webhook endpoint is given up.
FABRA_WEBHOOK_GIVE_UP = timedelta(hours=env.float("FABRA_WEBHOOK_GIVE_UP_HOURS", 24.0))
# Webhook endpoints may be at private addresses, such as those of this machine and its network, and these may use http.
FABRA_WEBHOOK_ALLOW_PRIVATE = env.bool("FABRA_WEBHOOK_ALLOW_PRIVATE", DEBUG)

# ---------------------------------------------------------------- retrieval

FABRA_DEFAULT_INDEX = env.str("FABRA_DEFAULT_INDEX", "knowledge_base")
FABRA_EMBEDDING_MODEL = env.str("FABRA_EMBEDDING_MODEL", "sentence-transformers/all-MiniLM-L6-v2")
# `local` runs the model in this process; `openai` calls OPENAI_BASE_URL.
FABRA_EMBEDDER = env.str("FABRA_EMBEDDER", "retrieval.embedders.local.LocalEmbedder")
# One thread in the web process, because for a short question a second would spin more than help. Indexing has long
# batches.
FABRA_EMBEDDING_THREADS = env.int("FABRA_EMBEDDING_THREADS", 1 if IS_WEB else 2)
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
# `get_absolute_url` returns, so that citations link to them.
FABRA_SITE_URL = env.str("FABRA_SITE_URL", "")
# Minutes between two comparisons of your models with their documents, for changes that sent no signal.
FABRA_MODEL_SYNC_EVERY = timedelta(minutes=env.float("FABRA_MODEL_SYNC_EVERY", 10))
FABRA_ARCHIVE_MAX_FILES = env.int("FABRA_ARCHIVE_MAX_FILES", 20_000)

# ---------------------------------------------------------------- contexts

FABRA_ENCODING = env.str("FABRA_ENCODING", "o200k_base")
FABRA_TRACE_CACHE_TTL = timedelta(days=1)

# ---------------------------------------------------------------- chat

OPENAI_API_KEY = env_secret("OPENAI_API_KEY")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", "") or "https://api.openai.com/v1"
FABRA_CHAT_MODEL = env.str("FABRA_CHAT_MODEL", "gpt-4o-mini")
# Off: OPENAI_API_KEY is for embeddings only, and the chat asks the models of the admin.
FABRA_CHAT_USES_OPENAI_KEY = env.bool("FABRA_CHAT_USES_OPENAI_KEY", True)
# `extractive`: where no model answers, or a budget is used up, passages are quoted as without a model. Empty: an error.
FABRA_MODEL_FALLBACK = env.str("FABRA_MODEL_FALLBACK", "")
# Seconds that a model is left alone after it failed, if there is another one; doubled each time, up to 10 minutes.
FABRA_MODEL_PAUSE_S = env.float("FABRA_MODEL_PAUSE", 15.0)
FABRA_CHAT_CONTEXT = env.str("FABRA_CHAT_CONTEXT", "chat_context")
# The dotted path of a function that takes a signed-in user and returns names of audiences, such as
# `shop.access.audiences_of`: searches of contexts that name no audience find documents for these, beside those for the
# user's groups.
FABRA_AUDIENCES = env.str("FABRA_AUDIENCES", "")
# `make up` loads the sample into an empty database, once; off: never.
FABRA_SAMPLE = env.bool("FABRA_SAMPLE", True)
# First questions on the chat page, at most 4, with | between; empty: the golden questions of the default index that
# have the tag `suggested`.
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
# US dollars for a million tokens of input and of output, as JSON: {"my-model": [0.5, 1.5]}. They come before the list
# prices that the package genai-prices has; a price of a model in the admin comes before both.
FABRA_MODEL_PRICES: dict[str, tuple[float, float]] = env.json("FABRA_MODEL_PRICES", default={})
# US dollars that models may cost, as JSON: {"installation": {"day": 20, "month": 300}, "tiers": {"free": {"day": 5,
# "month": 90, "user_day": 0.1, "user_month": 1}, "*": {"user_day": 1}}}. A tier's `day` and `month` are of all its
# users together, `user_day` and `user_month` of each; `*` stands for the tiers that are not named.
FABRA_BUDGETS: dict[str, Any] = env.json("FABRA_BUDGETS", default={})
# Days that calls of models are kept, with their cost.
FABRA_MODEL_CALL_RETENTION = timedelta(days=env.int("FABRA_MODEL_CALL_RETENTION_DAYS", 400))
# The tokens that the model takes and gives in one call. A context's budget is cut to what the question and
# FABRA_MODEL_MAX_TOKENS leave of it; 0: unknown, so that nothing is cut.
FABRA_MODEL_WINDOW = env.int("FABRA_MODEL_WINDOW", 0)
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
# Days that the answers to requests with an Idempotency-Key are kept.
FABRA_IDEMPOTENCY_RETENTION = timedelta(days=env.float("FABRA_IDEMPOTENCY_RETENTION_DAYS", 1.0))
FABRA_MESSAGE_MAX_CHARS = env.int("FABRA_MESSAGE_MAX_CHARS", 8000)
FABRA_RATE_LIMITS: dict[str, int] = {"premium": env.int("FABRA_LIMIT_PREMIUM", 100)}
FABRA_RATE_LIMIT_DEFAULT = env.int("FABRA_LIMIT_DEFAULT", 20)
# Messages from one address in the same time, whoever sends them without an API key; 0: as many as they like.
FABRA_RATE_LIMIT_ADDRESS = env.int("FABRA_LIMIT_ADDRESS", 100)
# Feedback of one user in the same time: each change is an event, and may be sent on by webhooks.
FABRA_RATE_LIMIT_FEEDBACK = env.int("FABRA_LIMIT_FEEDBACK", 100)
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
# A message's turn in its conversation, renewed while it is answered: after a crash the next one waits so long.
FABRA_TURN_LEASE_S = 15.0
