"""How a bot's page looks to a reader: its name, picture, colours and first words, in one language."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from chat.bots.defaults import default_text
from chat.bots.suggestions import MOST_SUGGESTIONS, suggested_questions
from chat.errors import BotNotFound
from chat.models import DEFAULT_BOT, Bot


@dataclass(frozen=True, kw_only=True)
class Look:
    slug: str
    name: str
    """"" for a bot without a name, whose page says what it is."""
    short_name: str
    """What stands beside the picture."""
    logo: str
    """The address of the picture."""
    has_logo: bool
    """Whether the picture is the bot's own."""
    accent: str
    accent_dark: str
    greeting: str
    introduction: str
    starters: list[str]

    @property
    def title(self) -> str:
        return self.name or _("Support chat")


def read_bot(slug: str = DEFAULT_BOT) -> Bot:
    """Return a bot as it is now, without its picture's bytes; raise BotNotFound for one that has no page."""
    found = Bot.objects.without_logo().filter(slug=slug).first()
    if found is None and slug == DEFAULT_BOT:
        return Bot(slug=DEFAULT_BOT)
    if found is None or not (found.is_enabled or found.is_default):
        raise BotNotFound(f"There is no bot {slug[:50]!r}, or it is switched off.")
    return found


def language_of_page(bot: Bot, asked: str = "") -> str:
    """Return the language of the bot's page: its own, or else what is asked for, or the reader's."""
    known = dict(settings.LANGUAGES)
    own = bot.language or default_text("language")
    return own if own in known else asked or get_language() or settings.LANGUAGE_CODE


def look_of(bot: Bot, index: str = "") -> Look:
    """Return the look in the language that is active.

    Questions that the bot suggests are its own, or else those of its index, or of `index`.
    """
    texts = bot.texts.get(get_language() or "", {})
    name = bot.name or default_text("name")
    return Look(
        slug=bot.slug,
        name=name,
        short_name=name or _("Support"),
        logo=logo_url(bot),
        has_logo=bool(bot.logo_digest or default_text("logo")),
        accent=bot.accent or default_text("accent"),
        accent_dark=bot.accent_dark or default_text("accent_dark"),
        greeting=texts.get("greeting") or default_text("greeting") or _("How can we help?"),
        introduction=texts.get("introduction")
        or default_text("introduction")
        or _("Ask in your own words. Every answer shows the passages of the help articles that it rests on."),
        starters=_starters(bot, texts) or suggested_questions(bot.index or index),
    )


def logo_url(bot: Bot) -> str:
    """Return the address of the bot's picture, which changes with it, or of the settings' or the project's."""
    if not bot.logo_digest:
        return static(default_text("logo") or "shared/mark.svg")
    return f"{reverse('chat:bot-logo', args=[bot.slug])}?v={bot.logo_digest}"


def _starters(bot: Bot, texts: dict[str, Any]) -> list[str]:
    """Return the first questions of the language, or else of the first language that has any."""
    for own in (texts, *(bot.texts.get(code, {}) for code, _name in settings.LANGUAGES)):
        if own.get("starters"):
            return list(own["starters"])[:MOST_SUGGESTIONS]
    return []
