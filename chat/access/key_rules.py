"""What the bounds of an API key may be; the admin's form and the command check them alike."""

from django.conf import settings

from chat.models import DEFAULT_BOT, ApiKey, Bot
from chat.models.keys import problems_of_kind
from common.errors import InvalidInput
from contexts.registry import contexts


def check_context_name(name: str) -> str:
    """Return the name of a context that a chat may call; raise InvalidInput."""
    if name not in contexts and name != settings.FABRA_CHAT_CONTEXT:
        known = ", ".join(sorted(contexts)) or "none"
        raise InvalidInput(f"No context {name[:100]!r} is declared; there are: {known}.")
    return name


def check_bot_name(slug: str) -> str:
    """Return the slug of a bot, or ""; raise InvalidInput."""
    if slug and not Bot.objects.filter(slug=slug).exists():
        raise InvalidInput(f"There is no bot {slug[:50]!r}.")
    return slug


def problems_of(
    kind: str, scopes: list[str], origins: list[str], *, has_limit: bool, contexts: list[str], bot: str
) -> dict[str, str]:
    """Return what is wrong with a key, by the name of the field; `has_limit`: of requests a minute or a day."""
    problems = problems_of_kind(kind, scopes)
    if kind == ApiKey.Kind.PUBLIC and not origins:
        problems["origins"] = "A public key needs the origins of the pages that may use it."
    if kind == ApiKey.Kind.PUBLIC and not has_limit:
        problems["per_day"] = "A public key needs a limit of requests a minute or a day: everybody can read it."
    if kind == ApiKey.Kind.SECRET and origins:
        problems["origins"] = "Only a public key is used by pages; a secret one must never be in a page."
    if kind == ApiKey.Kind.PUBLIC and contexts:
        own = Bot.objects.filter(slug=bot or DEFAULT_BOT).values_list("context", flat=True).first()
        if own and own not in contexts:
            problems["contexts"] = f"Its pages ask by the context of its bot, {own!r}: name that one, too, or none."
    return problems
