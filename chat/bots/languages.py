"""The languages that texts of a bot can be written in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import global_settings, settings
from django.utils.translation import to_locale

_SOURCE = "en"
_CATALOGS = Path(__file__).resolve().parents[1] / "locale"


def offered_languages(texts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the languages of the settings with their names, for a row that has `texts` by language.

    Where a project has chosen none, Django's list has about a hundred: then those are meant that the bot has a catalog
    for, with the project's own, and those that the row says something in.
    """
    if list(settings.LANGUAGES) != list(global_settings.LANGUAGES):
        return list(settings.LANGUAGES)
    return [
        (code, str(name))
        for code, name in settings.LANGUAGES
        if code in (_SOURCE, settings.LANGUAGE_CODE) or texts.get(code) or (_CATALOGS / to_locale(code)).is_dir()
    ]
