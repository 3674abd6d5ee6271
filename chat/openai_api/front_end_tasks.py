"""What front ends ask a model for beside the questions of people: a title, tags, suggestions.

Open WebUI and LibreChat send such a task as a user's message, in words of their own, to the model of the conversation.
It is no question to the bot: answered as one it would become a conversation, count as a message, and cost a search and
a call of a model, for an answer from the documents that the front end cannot use. So it is answered here: the title is
the beginning of the first question, as everywhere in this product, and there is nothing else to suggest.
"""

import json
import re
from typing import Any

from chat.models.conversations import title_of
from chat.openai_api.errors import InvalidParameter
from chat.openai_api.messages import Talk

# The prompts of Open WebUI (0.3 to 0.12) for a task have these three parts, and name the key of the JSON to answer.
_TASK, _HISTORY, _HISTORY_END = "### Task:\n", "<chat_history>\n", "</chat_history>"
_KEY = re.compile(r'"(title|tags|follow_ups|queries|prompt|text)"')
_EMPTY: dict[str, Any] = {"tags": [], "follow_ups": [], "queries": [], "prompt": "", "text": ""}
_FIRST_ASKED = re.compile(r"^USER: (.*?)(?=\nASSISTANT:|\Z)", re.DOTALL)
# The prompt of LibreChat's `titleMethod: completion`, its default; it wants the title alone.
_LIBRECHAT = re.compile(
    r"Provide a concise, 5-word-or-less title for the conversation,.*?\n\nConversation:\n"
    r"User: (?P<asked>.*?)(?=\nAI:|\Z)",
    re.DOTALL,
)


# Three of its prompts are made otherwise: which of its tools fits, a face for a voice, and one answer out of several.
_CHOOSE_TOOL = "Query: History:\n"
_EMOJI = "Your task is to reflect the speaker's likely facial expression through a fitting emoji."
_MERGE = "You have been provided with a set of responses from various models to the latest user query:"


def answer_to_task(talk: Talk) -> str | None:
    """Return the answer to a front end's task; None for the question of a person.

    Raise InvalidParameter for one that has no answer here.
    """
    asked = talk.question
    if talk.turns:
        return None
    if asked.startswith(_MERGE):
        message = "The answers of several models are not merged here; have Open WebUI use another model for its tasks."
        raise InvalidParameter(message, "messages", "unsupported_value")
    if asked.startswith(_CHOOSE_TOOL):
        return json.dumps({"tool_calls": []})
    if asked.startswith(_EMOJI):
        return ""
    if found := _LIBRECHAT.match(asked):
        return title_of(found["asked"])
    return _answer_in_json(asked)


def _answer_in_json(asked: str) -> str | None:
    task, begun, rest = asked.partition(_HISTORY)
    history, ended, _ = rest.rpartition(_HISTORY_END)
    key = _KEY.search(task)
    if not (asked.startswith(_TASK) and begun and ended and key):
        return None
    return json.dumps({key[1]: _title_in(history) if key[1] == "title" else _EMPTY[key[1]]})


def _title_in(history: str) -> str:
    asked = _FIRST_ASKED.match(history)
    return title_of(asked[1]) if asked else ""
