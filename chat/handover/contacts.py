"""The e-mail address that a customer leaves, to be written to: given by a program, or found in a message."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from chat.errors import InvalidMessage
from chat.handover import notices
from chat.handover.steps import CONTACT_LEFT, locked, record
from chat.live.changes import publish_inbox
from chat.models import Conversation
from common.validation import check_text

_MAX_CHARS = 254
_WORDS_AROUND = 8
"""A message with more words beside the address, or with a question mark, is a question about it."""
_AROUND = "<>()[]{}\"'`“”‘’„«»,;:.!"


def keep_contact(conversation_id: int, address: str) -> Conversation:
    """Keep the address in the place of an earlier one, and announce it; raise InvalidMessage for what is none."""
    address = check_text(address, "email").strip()
    if not is_address(address):
        raise InvalidMessage("email must be an e-mail address.")
    with locked(conversation_id) as conversation:
        if conversation.contact != address:
            previous, conversation.contact = conversation.contact, address
            conversation.save(update_fields=["contact"])
            notices.notify_contact(conversation)
            record(conversation, CONTACT_LEFT, previous=previous or None)
            publish_inbox(conversation)
    return conversation


def address_in(message: str) -> str:
    """Return the one address that a short message gives, as "my mail is ana@example.com."; "" if it gives none."""
    words = re.sub(r"mailto:", "", message, flags=re.IGNORECASE).split()
    found = {word.strip(_AROUND) for word in words if "@" in word}
    if len(found) != 1 or len(words) > _WORDS_AROUND + 1 or "?" in message:
        return ""
    address = found.pop()
    return address if is_address(address) else ""


def is_mistyped_address(message: str) -> bool:
    """Return whether a message is one word that can only be meant as an address, as "ana@example", and is none."""
    word = message.strip().strip(_AROUND)
    return bool(re.fullmatch(r"[^\s@?/]+@[^\s?/]*", word)) and not address_in(word)


def is_address(text: str) -> bool:
    """Return whether a whole text is an e-mail address."""
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= _MAX_CHARS
