"""Read `messages`: the question, the turns before it, and what is neither."""

from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.conf import settings

from chat.openai_api.attached_sources import BEGINNING, LABEL, attached_in
from chat.openai_api.errors import InvalidParameter
from common.errors import InvalidInput
from common.validation import check_text, is_blank
from contexts.conversation import Remark
from contexts.items import SEPARATOR

USER, ASSISTANT = "user", "assistant"
REMARKS = {
    "system": Remark.label,
    "developer": Remark.label,
    "tool": "A tool of the application that the user writes in says:",
    "function": "A tool of the application that the user writes in says:",
}
"""Roles whose texts are neither questions nor answers, and the line above such a text in the prompt."""
_GREETING = "The application that the user writes in began with:"
TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Types of a content's parts, and the field that has the text."""
_READ = ("role", "content", "refusal", "annotations")  # annotations are our own, come back
MOST_MESSAGES = 2048


@dataclass(frozen=True, kw_only=True)
class ToldTurn:
    """A question and its answer, as the client tells them."""

    question: str
    answer: str
    path: str
    """The path of the question's first message, such as `messages[1]`."""


@dataclass(kw_only=True)
class Talk:
    """A client's messages, read."""

    question: str = ""
    turns: list[ToldTurn] = field(default_factory=list)
    """The oldest first."""
    remarks: list[Remark] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """What has no use here, such as `messages[1].tool_calls`."""


def read_messages(value: Any) -> Talk:
    """Return the messages, read; raise InvalidParameter.

    Messages of one role in a row are one: what was asked since the last answer is asked together. The texts of other
    roles are remarks wherever they stand, and so is an answer before the first question. An answer behind the last
    question has no use. A last question without a text is refused: the one before it has been answered. So is one with
    a picture; a client sends earlier ones with each question, and those are ignored by name.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MOST_MESSAGES:
        raise InvalidParameter(f"messages must be a list of 1 to {MOST_MESSAGES} messages.", "messages")
    talk = Talk()
    said: list[tuple[str, str, str]] = []
    blank, unread, is_answered = "", list[str](), False
    for position, message in enumerate(value):
        path = f"messages[{position}]"
        role, text, pictures = _read(message, path, talk)
        text = _without_sources(role, text, path, talk)
        if role == USER:
            blank = f"{path}.content" if is_blank(text) else ""
            unread = [*([] if is_answered else unread), *pictures]
        is_answered = role == ASSISTANT or (is_answered and role != USER)
        if is_blank(text):
            continue
        if role in REMARKS:
            _remark(text, REMARKS[role], path, talk)
        else:
            said.append((role, text, path))
    if unread:
        path = f"{unread[0]}.type"
        raise InvalidParameter(f"{path}: only text is read, no pictures, sound or files.", path)
    if blank:
        raise InvalidParameter(f"{blank} must not be empty: it is the question.", blank)
    runs = [(role, list(group)) for role, group in groupby(said, itemgetter(0))]
    if runs and runs[-1][0] == ASSISTANT:
        talk.ignored += [f"{path}: after the last question" for _, _, path in runs.pop()[1]]
    if not runs:
        raise InvalidParameter("One of the messages must be the user's, with a text.", "messages")
    texts = [SEPARATOR.join(text for _, text, _ in group) for _, group in runs]
    talk.question = texts.pop()
    if runs[0][0] == ASSISTANT:
        _remark(texts.pop(0), _GREETING, runs.pop(0)[1][0][2], talk)
    talk.turns = [
        ToldTurn(question=texts[index], answer=texts[index + 1], path=runs[index][1][0][2])
        for index in range(0, len(texts), 2)
    ]
    return talk


def _read(message: Any, path: str, talk: Talk) -> tuple[str, str, list[str]]:
    """Return the role, the text and the paths of what is no text of a message, and note what else it has."""
    if not isinstance(message, dict):
        raise InvalidParameter(f"{path} must be an object.", path, "invalid_type")
    role = message.get("role")
    if role not in (USER, ASSISTANT, *REMARKS):
        raise InvalidParameter(f"{path}.role must be user, assistant, {', '.join(REMARKS)}.", f"{path}.role")
    talk.ignored += [f"{path}.{name}" for name, value in message.items() if name not in _READ and value]
    content = message.get("content")
    if content is None and role == ASSISTANT:  # it called a tool, or refused
        refusal = message.get("refusal")
        content = refusal if isinstance(refusal, str) else ""
    found = _parts_of(content, f"{path}.content")
    pictures = [part.path for part in found if part.text is None]
    talk.ignored += [*pictures, *(name for part in found for name in part.ignored)]
    return role, "\n".join(part.text for part in found if part.text is not None), pictures


def _without_sources(role: str, text: str, path: str, talk: Talk) -> str:
    """Return the text without what a front end has put around it; that becomes remarks, which no instruction is."""
    if role not in (USER, "system") or (role == USER and not text.startswith(BEGINNING)):
        return text
    found = attached_in(text)
    if found is None:
        return text
    for number, source in enumerate(found.sources):
        _remark(source, LABEL, f"{path}.sources[{number}]", talk)
    return found.text


def _remark(text: str, label: str, path: str, talk: Talk) -> None:
    if len(text) > settings.FABRA_MESSAGE_MAX_CHARS:
        talk.ignored.append(too_long(path))
    else:
        talk.remarks.append(Remark(text=text, label=label))


def too_long(path: str) -> str:
    return f"{path}: more than {settings.FABRA_MESSAGE_MAX_CHARS} characters"


@dataclass(frozen=True, kw_only=True)
class _Part:
    path: str
    text: str | None
    """None for what is no text, such as a picture."""
    ignored: tuple[str, ...] = ()


def _parts_of(content: Any, path: str) -> list[_Part]:
    """Return the parts of a content, which is a text or a list of parts."""
    if isinstance(content, str):
        return [_Part(path=path, text=_checked(content, path))]
    if not isinstance(content, list):
        raise InvalidParameter(f"{path} must be a text, or a list of parts.", path, "invalid_type")
    return [_part_of(part, f"{path}[{position}]") for position, part in enumerate(content)]


def _part_of(part: Any, path: str) -> _Part:
    if not isinstance(part, dict):
        raise InvalidParameter(f"{path} must be an object.", path, "invalid_type")
    kind = part.get("type")
    name = TEXTS.get(kind) if isinstance(kind, str) else None
    if name is None:
        return _Part(path=path, text=None)
    others = (other for other, value in part.items() if other not in ("type", name, "annotations") and value)
    ignored = tuple(f"{path}.{other}" for other in others)
    return _Part(path=path, text=_checked(part.get(name), f"{path}.{name}"), ignored=ignored)


def _checked(text: Any, path: str) -> str:
    try:
        return check_text(text, path)
    except InvalidInput as error:
        raise InvalidParameter(str(error), path) from None
