"""Whom somebody who may choose can be on a bot's page: lines of the bot, or the settings, or the first customers."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from chat.models import Bot, Customer
from common.errors import InvalidInput
from common.validation import check_identity

MOST_USERS = 30
_CUSTOMERS = 12
_MAX_CHARS = 100


@dataclass(frozen=True, kw_only=True)
class DemoUser:
    user_id: str
    name: str = ""
    tier: str = ""
    """What the page shows beside the name; what the user may do is said by their features."""

    def __str__(self) -> str:
        return self.name or self.user_id


def parse_demo_user(line: str) -> DemoUser:
    """Return the user of a line `user_id | name | tier`, of which the last two are optional; raise InvalidInput."""
    user_id, *more = [part.strip() for part in line.split("|")]
    if len(more) > 2 or any(len(part) > _MAX_CHARS for part in more):
        raise InvalidInput(f"{line[:100]!r}: write user_id | name | tier, with at most {_MAX_CHARS} characters each.")
    name, tier = [*more, "", ""][:2]
    return DemoUser(user_id=check_identity(user_id, "A user"), name=name, tier=tier)


def check_demo_user(line: str) -> str:
    """Return the line in its normal form; raise InvalidInput."""
    user = parse_demo_user(line)
    parts = [user.user_id, user.name, user.tier]
    while not parts[-1]:
        parts.pop()
    return " | ".join(parts)


def demo_users_of(bot: Bot) -> Sequence[DemoUser | Customer]:
    if lines := bot.demo_users or settings.FABRA_BOT.get("demo_users"):
        return [parse_demo_user(line) for line in lines]
    return list(Customer.objects.all()[:_CUSTOMERS])
