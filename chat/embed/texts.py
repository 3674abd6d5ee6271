"""The texts of the widget's script, in every language of the chat: the script is one file for all pages."""

from functools import cache

from django.utils.translation import gettext as _
from django.utils.translation import override

from chat.bots.languages import offered_languages


@cache
def widget_texts() -> dict[str, dict[str, str]]:
    """Return the texts by language and name; `{count}` stands for a number."""
    found = {}
    for language, _name in offered_languages({}):
        with override(language):
            found[language] = _texts()
    return found


def _texts() -> dict[str, str]:
    return {
        "open": _("Open the support chat"),
        "close": _("Close the support chat"),
        "title": _("Support chat"),
        "unread_one": _("one new message"),
        "unread_other": _("{count} new messages"),
        "unavailable": _("The chat is not available at the moment."),
    }
