"""The conversation of a client that keeps it itself, and tells all of it with each question.

Each state of such a conversation has a digest: of who asks which context, and of all that was said and heard. A message
of ours keeps the digest of the state that it led to, so that the next question is recognised by what the client says
came before it. Citation marks and white space do not count: marks may be taken out of an answer after it was streamed,
and clients trim.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from contexts.conversation import PastTurn, Remark

_NOT_SAID = re.compile(r"\[\d{1,3}\]|\s+")


@dataclass(frozen=True, kw_only=True)
class ConfirmedThread:
    """Messages of ours that confirm what the client tells."""

    conversation_id: int
    last_message_id: int
    """Later ones are of another question."""


@dataclass(frozen=True, kw_only=True)
class ClientThread:
    digest: str
    """The digest of everything up to the question, which is the last of it."""
    before: tuple[PastTurn, ...] = ()
    """Turns that only the client reports, from before the record began; the oldest first."""
    record: ConfirmedThread | None = None
    since: tuple[PastTurn, ...] = ()
    """Turns that only the client reports, from after the record."""
    last_answer: str = ""
    """As the client tells it."""
    remarks: tuple[Remark, ...] = ()

    def after(self, answer: str) -> str:
        """Return the digest of the conversation once the question has this answer."""
        return _next(self.digest, answer)


def digests_of(user_id: str, context: str, turns: Iterable[tuple[str, str]], question: str) -> list[str]:
    """Return the digest after each turn, a question and its answer, then the one after the last question."""
    digest = _next(_next("", user_id), context)
    digests = []
    for asked, answered in turns:
        digest = _next(_next(digest, asked), answered)
        digests.append(digest)
    return [*digests, _next(digest, question)]


def _next(digest: str, text: str) -> str:
    said = _NOT_SAID.sub("", text)
    return blake2b(f"{digest} {said}".encode(), digest_size=16).hexdigest()
