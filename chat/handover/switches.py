"""Whether a person can be asked for, as an operator has set it, and what the customer is told where none can be."""

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from chat.handover import reasons
from chat.models import HandoverSettings


def allows(reason: str) -> bool:
    """Return whether a person is asked for with this reason; agents may always ask for one."""
    if reason in reasons.OF_AGENTS:
        return True
    row = HandoverSettings.load()
    is_on = {reasons.THUMBS_DOWN: row.on_thumbs_down, reasons.NOT_KNOWN_TWICE: row.on_not_known_twice}
    return row.is_enabled and is_on.get(reason, True)


def nobody_joins() -> str:
    """Return what somebody is told who asks for a person where nobody can be asked for, in the active language."""
    text = HandoverSettings.load().reach_text(get_language() or "")
    return f"{_('No person can join this conversation.')} {text}".strip()


def person_offer() -> str:
    """Return the sentence that offers a person, or how support is reached otherwise; "" if neither is to be had."""
    row = HandoverSettings.load()
    return _("You can ask for a person.") if row.is_enabled else row.reach_text(get_language() or "")
