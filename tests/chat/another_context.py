"""A definitions' module with one more context, of one line."""

from contexts.declaration import context
from contexts.items import ContextItem


@context(name="another", max_tokens=500)
async def another(user_id: str, query: str) -> list[ContextItem]:
    return [ContextItem("Only this.", required=True)]
