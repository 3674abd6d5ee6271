"""The messages that a model gets: the author's text as the system's, what others wrote as the user's."""

from contexts.frame import without_role_tags
from contexts.items import SEPARATOR, Context


def messages_of(context: Context, question: str) -> list[dict[str, str]]:
    """Return the messages: the context's system part, then its reference with the question below it."""
    asked = without_role_tags(question)
    content = SEPARATOR.join([context.reference, asked]) if context.reference else asked
    return [{"role": "system", "content": context.system}, {"role": "user", "content": content}]
