"""What a bot has that says nothing of its own: the setting FABRA_BOT."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError

from chat.bots.demo_users import check_demo_user
from chat.models import Bot
from common.errors import InvalidInput

_TEXTS = ("name", "logo", "accent", "accent_dark", "language", "greeting", "introduction")
_LINES = "demo_users"


def default_text(name: str) -> str:
    """Return a text of FABRA_BOT, such as its `greeting`; "" without one."""
    return str(settings.FABRA_BOT.get(name, ""))


def wrong_bot(found: Any) -> str:
    """Return what is wrong with a value of FABRA_BOT; "" if nothing is."""
    if not isinstance(found, dict):
        return "is no object of names and values"
    if unknown := sorted(set(found) - {*_TEXTS, _LINES}):
        return f"has {', '.join(unknown)}, but may have {', '.join((*_TEXTS, _LINES))}"
    if wrong := [name for name in _TEXTS if not isinstance(found.get(name, ""), str)]:
        return f"has {wrong[0]}, which is no text"
    lines = found.get(_LINES, [])
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        return f"has {_LINES}, which is no list of lines"
    columns = {name: found.get(name, "") for name in ("name", "accent", "accent_dark", "language")}
    try:
        Bot(slug="default", **columns).clean_fields(exclude=["logo", "texts"])
        for line in lines:
            check_demo_user(line)
    except ValidationError as error:
        name, said = next(iter(error.message_dict.items()))
        return f"has {name}, which cannot be used: {' '.join(said)}"
    except InvalidInput as error:
        return f"has {_LINES}, which cannot be used: {error}"
    return ""
