"""The settings of this project; deployments differ by environment variables.

What the apps read under a name of their own stands in `fabra/settings.py`, which any project can import.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from kombu.entity import Queue

from chat.serving.page_policies import SECURE_CSP
from common.secret_files import env_secret
from fabra.settings import *  # noqa: F403
from fabra.settings import FABRA_API_SCHEMA, FABRA_MAX_REQUEST_BYTES, FABRA_REDIS_PREFIX, FABRA_UNFOLD, FABRA_WEB, env
from fabra_project import no_stack
from fabra_project.app_entries import check_team_apps
from fabra_project.stack.services import read_services, secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

FABRA_OWN_PROJECT = True
FABRA_DATA_DIR = Path(env.str("FABRA_DATA_DIR", "") or BASE_DIR / ".data").resolve()

# ---------------------------------------------------------------- services

_services = read_services(FABRA_DATA_DIR)
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
if FABRA_WEB:
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
_timeout = f" -c statement_timeout={env.int('FABRA_STATEMENT_TIMEOUT', 30)}s" if FABRA_WEB else ""
DATABASES["default"]["OPTIONS"].setdefault("options", f"-c hnsw.iterative_scan=strict_order -c jit=off{_timeout}")

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": f"{FABRA_REDIS_PREFIX}:cache",
        # What is cached can be computed: a Redis that is down or hangs delays nothing by more than this.
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.1, "SOCKET_TIMEOUT": 0.1, "IGNORE_EXCEPTIONS": True},
    }
}

# ---------------------------------------------------------------- security

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env_secret("SECRET_KEY") or secret_key(FABRA_DATA_DIR)
# Previous values of SECRET_KEY: webhook secrets derived from them stay valid.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", cast=str.strip, default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", cast=str.strip, default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", cast=str.strip, default=[])
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
AXES_CLIENT_IP_CALLABLE = "chat.access.sign_in.address_of"
AXES_LOCKOUT_CALLABLE = "chat.access.sign_in.locked_out"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
DATA_UPLOAD_MAX_MEMORY_SIZE = FABRA_MAX_REQUEST_BYTES

# ---------------------------------------------------------------- Django

# Your own apps, such as `shop,helpdesk`: folders beside manage.py, or installed packages.
FABRA_APPS = env.list("FABRA_APPS", cast=str.strip, default=[])
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
    "common.middleware.too_many_fields",
    "django.middleware.security.SecurityMiddleware",
    "chat.serving.middleware.PagePolicies",
    "common.middleware.no_store",
    "chat.embed.cross_origin.cross_origin",
    "chat.serving.middleware.customers_language",
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
UNFOLD = FABRA_UNFOLD
ROOT_URLCONF = "fabra_project.urls"
ASGI_APPLICATION = "fabra_project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
LOGIN_URL = "chat:login"  # the chat page's, for any user; the admin has its own login page, for staff
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
        # One line for each task that is sent, received or done, idle too, would be most of the log.
        **{name: {"level": "WARNING"} for name in ("celery.worker.strategy", "celery.app.trace", "celery.beat")},
        "axes": {"level": "WARNING"},  # failures and lockouts
        # A traceback each second while Redis is down, which `chat.live` reports.
        "channels_redis": {"level": "CRITICAL"},
    },
}

# ---------------------------------------------------------------- REST

REST_FRAMEWORK = {
    "DEFAULT_PARSER_CLASSES": ["chat.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["chat.api.auth.ApiKeyAuthentication", "chat.api.auth.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["chat.api.auth.IsSignedIn"],  # for views of FABRA_APPS; the bot's own say theirs
    "DEFAULT_THROTTLE_CLASSES": ["chat.api.auth.KeyThrottle"],
    "DEFAULT_PAGINATION_CLASS": "chat.api.pagination.KeysetPagination",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "chat.api.errors.handle_exception",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {**FABRA_API_SCHEMA, "SERVE_INCLUDE_SCHEMA": False}

# ---------------------------------------------------------------- Celery

FABRA_QUEUES = True
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
CELERY_DB_REUSE_MAX = sys.maxsize  # fabra_project.celery closes connections
CELERY_TASK_SOFT_TIME_LIMIT = 15 * 60
CELERY_TASK_TIME_LIMIT = 16 * 60
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 20 * 60,  # above the task time limit, so that a running task is never delivered twice
    "socket_connect_timeout": 2,
    # Publishing during a request gives up at once; the outbox's sweep enqueues the event later.
    "max_retries": 1,
    "interval_start": 0,
    "socket_timeout": 2 if FABRA_WEB else 10,
    "global_keyprefix": f"{FABRA_REDIS_PREFIX}:celery:",
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# `make up` starts one worker for `state`, changed documents, one for `materialize` and `ingest`, where long work goes
# in slices of some 15 seconds, one for `models`, tasks that wait for a language model, and one for the rest: no
# document and no small task waits behind long work.
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_QUEUES = [Queue(name) for name in ("state", "default", "materialize", "ingest", "webhooks", "models")]
CELERY_TASK_ROUTES = {
    "features.tasks.materialize_*": {"queue": "materialize"},
    **{
        f"retrieval.tasks.{name}": {"queue": "ingest"}
        for name in (
            "ingest",
            "sync_model_source",
            "build_hnsw",
            "build_generation",
            "follow_documents",
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

if FABRA_APPS:  # at the end: an app's own module may read the settings when it is imported
    check_team_apps(FABRA_APPS, INSTALLED_APPS)
