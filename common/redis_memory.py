"""How full Redis is, and what it does then: queues and the event stream must never be evicted."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core import checks
from django.template.defaultfilters import filesizeformat

from common.redis import REDIS_ERRORS, plain_redis

_NEARLY_FULL = 0.9
_SOME_KEYS = 1000


@dataclass(frozen=True, kw_only=True)
class RedisMemory:
    """Redis's memory, in bytes; a limit of 0 is none."""

    used: int
    limit: int
    policy: str
    evictable: int
    """Keys with a time to live."""

    @classmethod
    def of(cls, info: dict[str, Any]) -> "RedisMemory":
        """Read Redis's INFO; a server that tells less has no limit and evicts nothing."""
        return cls(
            used=int(info.get("used_memory", 0)),
            limit=int(info.get("maxmemory", 0)),
            policy=str(info.get("maxmemory_policy", "noeviction")),
            evictable=sum(
                keys["expires"] for name, keys in info.items() if name.startswith("db") and "expires" in keys
            ),
        )

    @property
    def evicts_queues(self) -> bool:
        return self.limit > 0 and self.policy.startswith("allkeys-")

    @property
    def is_nearly_full(self) -> bool:
        """Return whether hardly anything is left that may go: caches fill Redis up to its limit in any case."""
        evicts_caches = self.policy.startswith("volatile-") and self.evictable >= _SOME_KEYS
        return self.limit > 0 and self.used >= _NEARLY_FULL * self.limit and not evicts_caches

    @property
    def state(self) -> str:
        """Return `ok`, or in two words what an operator should see to; `/readyz` shows it."""
        if self.evicts_queues:
            return "evicts queues"
        return "nearly full" if self.is_nearly_full else "ok"

    @property
    def shown(self) -> str:
        return (
            f"{filesizeformat(self.used)} of {filesizeformat(self.limit)}" if self.limit else filesizeformat(self.used)
        )

    @property
    def problem(self) -> str:
        """Return what is wrong in a sentence, "" if nothing is."""
        if self.evicts_queues:
            return f"Redis's maxmemory-policy is {self.policy}: at its limit it would drop queued tasks and events."
        if self.is_nearly_full:
            return f"Redis is nearly full: {self.shown}, with little that may be evicted. Then nothing can be queued."
        return ""


def read_memory() -> RedisMemory | None:
    """Return Redis's memory; None if it does not answer."""
    try:
        return RedisMemory.of(plain_redis(settings.FABRA_REDIS_TIMEOUT_S).info())
    except REDIS_ERRORS:
        return None


def check_redis(databases: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check the limit and the policy where a check may ask servers: in `migrate`, and with `--database default`."""
    memory = read_memory() if databases else None
    if memory is None:
        return []
    found: list[checks.CheckMessage] = []
    if memory.problem:
        hint = (
            "Set maxmemory-policy to volatile-lru: what has no time to live then stays."
            if memory.evicts_queues
            else "Raise maxmemory, or see in the admin under Storage and in the queues what grows."
        )
        found.append(checks.Warning(memory.problem, hint=hint, id="common.W001"))
    if not memory.limit:
        found.append(
            checks.Warning(
                "Redis has no memory limit, so that the system ends it when memory runs out.",
                hint="Set maxmemory, with maxmemory-policy volatile-lru.",
                id="common.W002",
            )
        )
    return found
