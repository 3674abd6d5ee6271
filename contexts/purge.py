"""The copies of traces in Redis, for purges: a trace itself is evidence, and stays."""

from collections.abc import Iterator, Sequence

from django.conf import settings

from common.redis import plain_redis
from contexts.models import Trace
from features.online import plain_key

_AT_ONCE = 1000


def erase_copies(version_ids: Sequence[int]) -> None:
    """Delete the copies of the traces that found these versions; raise one of REDIS_ERRORS."""
    client = plain_redis(settings.FABRA_REDIS_TIMEOUT_S)
    for keys in _keys(version_ids):
        client.delete(*keys)


def count_copies(version_ids: Sequence[int]) -> int:
    client = plain_redis(settings.FABRA_REDIS_TIMEOUT_S)
    return sum(int(client.exists(*keys)) for keys in _keys(version_ids))


def _keys(version_ids: Sequence[int]) -> Iterator[list[str]]:
    traces = Trace.objects.filter(version_ids__overlap=list(version_ids)) if version_ids else Trace.objects.none()
    ids = [str(pk) for pk in traces.values_list("pk", flat=True)]
    for start in range(0, len(ids), _AT_ONCE):
        yield [plain_key(f"trace:{pk}") for pk in ids[start : start + _AT_ONCE]]
