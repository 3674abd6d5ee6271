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
from chat.openai_api.messages import Talk

# The prompts of Open WebUI (0.3 to 0.12) have these three parts, and name the key of the JSON object that they want.
_OPEN_WEBUI = re.compile(r"### Task:\n(?P<task>.*?)<chat_history>\n(?P<history>.*)</chat_history>", re.DOTALL)
_KEY = re.compile(r'"(title|tags|follow_ups|queries|prompt|text)"')
_EMPTY: dict[str, Any] = {"tags": [], "follow_ups": [], "queries": [], "prompt": "", "text": ""}
_FIRST_ASKED = re.compile(r"^USER: (.*?)(?=\nASSISTANT:|\Z)", re.DOTALL)
# The prompt of LibreChat's `titleMethod: completion`, its default; it wants the title alone.
_LIBRECHAT = re.compile(
    r"Provide a concise, 5-word-or-less title for the conversation,.*?\n\nConversation:\n"
    r"User: (?P<asked>.*?)(?=\nAI:|\Z)",
    re.DOTALL,
)


def answer_to_task(talk: Talk) -> str | None:
    """Return the answer to a front end's task; None for the question of a person."""
    if talk.turns:
        return None
    if found := _LIBRECHAT.match(talk.question):
        return title_of(found["asked"])
    if (found := _OPEN_WEBUI.match(talk.question)) and (key := _KEY.search(found["task"])):
        return json.dumps({key[1]: _title_in(found["history"]) if key[1] == "title" else _EMPTY[key[1]]})
    return None


def _title_in(history: str) -> str:
    asked = _FIRST_ASKED.match(history)
    return title_of(asked[1]) if asked else ""
