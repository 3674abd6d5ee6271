"""A definitions' module whose context is what a test chooses; see the fixture `use_context`."""

from collections.abc import Awaitable, Callable

from contexts.items import Context

chosen: dict[str, Callable[[str, str], Awaitable[Context]]] = {}


def chosen_context(user_id: str, query: str) -> Awaitable[Context]:
    return chosen["context"](user_id, query)
