"""Why a conversation changes hands, as its events say it; a context function gives a sentence of its own."""

CUSTOMER_ASKED, NOT_KNOWN_TWICE, THUMBS_DOWN = "customer_asked", "not_known_twice", "thumbs_down"
BY_AGENT, AGENT_GONE, PASSED_BACK = "by_agent", "agent_gone", "passed_back"
NOT_ANSWERED = "not_answered"
"""The bot could not answer what a person had left to it."""
UNANSWERED, WITHDRAWN, IDLE = "unanswered", "withdrawn", "idle"

OF_AGENTS = frozenset({BY_AGENT, AGENT_GONE, PASSED_BACK})
"""Reasons of an escalation that come from the people who answer, whatever customers may ask for."""

_WORDS = {
    CUSTOMER_ASKED: "the customer asked",
    NOT_KNOWN_TWICE: "the bot did not know twice running",
    THUMBS_DOWN: "an answer got a thumbs-down",
    BY_AGENT: "an agent asked",
    AGENT_GONE: "its agent may no longer answer",
    PASSED_BACK: "its agent put it back into the queue",
    NOT_ANSWERED: "the bot could not answer what a person had left",
}


def words_of(reason: str) -> str:
    """Return a reason of an escalation as agents read it; the sentence of a context function is its own."""
    return _WORDS.get(reason, reason)
