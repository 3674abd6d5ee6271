"""Check the servers that DATABASE_URL and REDIS_URL name; no message contains a password."""

from urllib.parse import unquote, urlsplit

from fabra_project.stack.errors import StackError

_TIMEOUT_SECONDS = 5
_PGVECTOR = (0, 8)
_REDIS = (6, 2)


def check_postgres(url: str) -> None:
    """Raise StackError unless a PostgreSQL with pgvector 0.8 or later answers at this URL."""
    import psycopg

    if _scheme(url) not in ("postgres", "postgresql", "psql", "pgsql"):
        raise StackError("DATABASE_URL must look like postgresql://user:password@host:5432/database.")
    query = (
        "SELECT coalesce(e.extversion, a.default_version) FROM pg_available_extensions a "
        "LEFT JOIN pg_extension e ON e.extname = a.name WHERE a.name = 'vector'"
    )
    try:
        conninfo = urlsplit(url)._replace(scheme="postgresql").geturl()
        with psycopg.connect(conninfo, connect_timeout=_TIMEOUT_SECONDS) as connection:
            row = connection.execute(query).fetchone()
    except (psycopg.Error, ValueError) as error:
        raise StackError(
            f"DATABASE_URL: PostgreSQL at {_address(url)} does not let us in: {_reason(error, url)}"
        ) from None
    if row is None:
        raise StackError(
            f"DATABASE_URL: PostgreSQL at {_address(url)} has no pgvector: install the extension `vector` there."
        )
    if _version(row[0]) < _PGVECTOR:
        raise StackError(f"DATABASE_URL: pgvector at {_address(url)} is {row[0]}; 0.8 or later is needed.")


def check_redis(url: str) -> None:
    """Raise StackError unless a Redis 6.2 or later, or a Valkey, answers at this URL."""
    import redis

    if _scheme(url) not in ("redis", "rediss", "unix"):
        raise StackError("REDIS_URL must look like redis://:password@host:6379/0.")
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=_TIMEOUT_SECONDS, socket_timeout=_TIMEOUT_SECONDS
        ) as client:
            version = str(client.info("server")["redis_version"])
    except (redis.RedisError, ValueError, OSError) as error:
        raise StackError(f"REDIS_URL: Redis at {_address(url)} does not let us in: {_reason(error, url)}") from None
    if _version(version) < _REDIS:
        raise StackError(f"REDIS_URL: Redis at {_address(url)} is {version}; 6.2 or later is needed.")


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # unbalanced brackets
        return ""


def _address(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rsplit("@", 1)[-1] or parts.path


def _reason(error: Exception, url: str) -> str:
    reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
    password = urlsplit(url).password
    for secret in {password, unquote(password)} if password else ():
        reason = reason.replace(secret, "***")
    return reason.rstrip(".") + "."


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
