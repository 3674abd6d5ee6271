"""Questions to ask: the sample's, and as many different ones as a run needs."""

import json
from functools import cache
from itertools import product
from pathlib import Path

import chat

_FOLDER = Path(chat.__file__).parent / "sample"
_OPENINGS = (
    "How do I", "Where can I", "Why can I not", "Is there a way to", "Who is allowed to", "What happens when I",
    "Please tell me how to", "How long does it take to", "What do I need to", "Am I able to",
)  # fmt: skip
_DEEDS = (
    "reset my password", "change my plan", "download an invoice", "invite a teammate", "create an API key",
    "export a project", "turn on two-factor sign-in", "delete my account", "change the billing address",
    "connect a calendar", "restore an archived board", "see the audit log", "raise the rate limit",
    "move a project to another team", "merge two accounts",
)  # fmt: skip
_ENDINGS = (
    "", "on my phone", "as an administrator", "without a credit card", "before the trial ends", "for the whole team",
    "after I left a workspace", "from the settings page", "when the mail never came", "with single sign-on",
    "at the end of the month", "in another language",
)  # fmt: skip


@cache
def sample_questions() -> list[str]:
    """Return the questions that the sample's articles answer."""
    return [row["question"] for row in json.loads((_FOLDER / "questions.json").read_text())]


@cache
def different_questions() -> list[str]:
    """Return 1,800 questions, no two alike: an answer from the cache would cost less than the floor's."""
    return [f"{' '.join(words)}?".replace(" ?", "?") for words in product(_OPENINGS, _DEEDS, _ENDINGS)]


@cache
def sample_words() -> list[str]:
    """Return the words of the sample's articles in their order."""
    return " ".join(path.read_text() for path in sorted((_FOLDER / "articles").glob("*.md"))).split()
