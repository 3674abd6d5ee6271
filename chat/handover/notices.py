"""The lines of a conversation that tell its customer what has changed, in the conversation's language."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from chat.handover.hours import next_opening
from chat.live.bodies import name_of
from chat.live.changes import publish_message
from chat.models import Conversation, HandoverSettings, Message

ESCALATED, ASSIGNED, HANDED_BACK, CLOSED = "escalated", "assigned", "handed_back", "closed"
WAITING, CONTACT, PERSON_LEFT, REOPENED = "still_waiting", "contact_kept", "person_left", "conversation_was_closed"
NOBODY_CAME, NO_PERSON = "nobody_came", "no_person"
NO_ADDRESS = "contact_mistyped"
NOT_ANSWERED = "not_answered"
"""The flag of a notice says of what it tells."""


def language_of(conversation: Conversation) -> str:
    return conversation.language or settings.LANGUAGE_CODE


def add_notice(conversation: Conversation, kind: str, text: str) -> Message:
    """Store a line in the caller's transaction, and tell open pages after it."""
    notice = Message.objects.create(
        conversation=conversation, user_id=conversation.user_id, role=Message.Role.NOTICE, text=text, flags=[kind]
    )
    publish_message(notice)
    return notice


def notify_escalated(conversation: Conversation) -> Message:
    """Say that a person was asked, or out of hours when one is there and how to be written to."""
    with translation.override(language_of(conversation)):
        text = _("A person was asked to join this conversation. Until then you can go on asking me.")
        if until := opening():
            text = out_of_hours(until, has_contact=bool(conversation.contact))
        return add_notice(conversation, ESCALATED, text)


def notify_still_waiting(conversation: Conversation) -> Message:
    """Say the same to somebody who asks for a person again."""
    with translation.override(language_of(conversation)):
        text = _("A person was asked already, and will answer here as soon as one is free.")
        if until := opening():
            text = out_of_hours(until, has_contact=bool(conversation.contact))
        return add_notice(conversation, WAITING, text)


def notify_returned(conversation: Conversation) -> Message:
    """Say that the person who held the conversation does not go on, and that another is asked."""
    with translation.override(language_of(conversation)):
        text = _("The person who answered you had to leave. Another one was asked to join.")
        if until := opening():
            text = _("The person who answered you had to leave.")
            text += " " + out_of_hours(until, has_contact=bool(conversation.contact))
        return add_notice(conversation, PERSON_LEFT, text)


def notify_nobody_came(conversation: Conversation) -> Message:
    """Say that a customer waits longer than they should, and how they can be written to."""
    with translation.override(language_of(conversation)):
        text = _("Nobody could join you yet. You can go on waiting, or ask me.")
        if until := opening():
            text = out_of_hours(until, has_contact=bool(conversation.contact))
        elif not conversation.contact:
            text += " " + _("Send your e-mail address, and we will write to you.")
        return add_notice(conversation, NOBODY_CAME, text)


def notify_no_person(conversation: Conversation) -> Message:
    """Say that nobody can be asked for, and how support is reached."""
    with translation.override(language_of(conversation)):
        return add_notice(conversation, NO_PERSON, HandoverSettings.load().nobody_joins)


def notify_assigned(conversation: Conversation, agent: Any, before: Any = None) -> Message:
    """Say who answers now, and who has passed the conversation on to them."""
    with translation.override(language_of(conversation)):
        names = {"name": name_of(agent), "before": name_of(before)}
        text = _("%(name)s has joined the conversation.")
        if before and names["name"] != names["before"]:
            text = _("%(before)s has passed this conversation on to %(name)s.")
        return add_notice(conversation, ASSIGNED, text % names)


def notify_handed_back(conversation: Conversation, *, is_timeout: bool) -> Message:
    with translation.override(language_of(conversation)):
        text = _("The assistant answers again.")
        if is_timeout:
            text = _("Nobody could answer you in time, so the assistant answers again.")
        return add_notice(conversation, HANDED_BACK, text)


def notify_not_answered(conversation: Conversation) -> Message:
    """Say that the bot could not answer what a person had left to it."""
    with translation.override(language_of(conversation)):
        return add_notice(conversation, NOT_ANSWERED, _("The assistant could not answer what you wrote last."))


def notify_closed(conversation: Conversation) -> Message:
    with translation.override(language_of(conversation)):
        return add_notice(conversation, CLOSED, _("This conversation was closed. Write again to begin a new one."))


def notify_contact(conversation: Conversation) -> Message:
    with translation.override(language_of(conversation)):
        text = _("Thank you. We will write to %(address)s.") % {"address": conversation.contact}
        return add_notice(conversation, CONTACT, text)


def notify_no_address(conversation: Conversation) -> Message:
    """Say that what was sent as an address is none, to somebody who may be waiting for a mail."""
    with translation.override(language_of(conversation)):
        return add_notice(conversation, NO_ADDRESS, _("That is no e-mail address. Please check it, and send it again."))


def reopened_notice(conversation: Conversation) -> Message:
    """Return the unsaved line of a conversation that goes on where a closed one ended."""
    with translation.override(language_of(conversation)):
        text = _("Your last conversation was closed, so this is a new one.")
    return Message(
        conversation=conversation, user_id=conversation.user_id, role=Message.Role.NOTICE, text=text, flags=[REOPENED]
    )


def opening() -> datetime | None:
    """Return when somebody is there next; None if somebody is now."""
    row = HandoverSettings.load()
    closed = {closed_day.day for closed_day in row.closed_days.all()}
    return next_opening(row.hours.all(), row.zone, timezone.now(), closed)


def out_of_hours(until: datetime, *, has_contact: bool) -> str:
    text = _("Nobody is here just now. A person answers from %(moment)s on.") % {"moment": _told(until)}
    if has_contact:
        return text
    return text + " " + _("Send your e-mail address, and we will write to you.")


def _told(moment: datetime) -> str:
    """Return a moment as the active language writes it: its weekday, and the date where that may be one of two."""
    days = (moment.date() - timezone.now().astimezone(moment.tzinfo).date()).days
    parts = ["l", "DATE_FORMAT", "H:i (T)"] if days > 6 else ["l", "H:i (T)"]
    return ", ".join(formats.date_format(moment, part) for part in parts)
