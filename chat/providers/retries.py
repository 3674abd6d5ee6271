"""When a failed call of a model is made again, and after which wait."""

import random

from chat.errors import ModelError, ModelTimeout

_FIRST_S, _MOST_S = 0.5, 8.0
_MOST_WAIT_S = 20.0
"""A server that wants a longer wait is not asked again: nobody waits so long for an answer."""
_MOST_WAIT_WITH_NEXT_S = 1.0
"""The same where another model could be asked meanwhile."""


def wait_before_retry(error: ModelError, retry: int, *, has_next: bool) -> float | None:
    """Return the seconds to wait before the retry number `retry`, from 0 on; None if it is not worth it.

    The wait doubles, and its second half is random, so that those who failed together do not come back together.
    """
    if not error.may_retry or (has_next and isinstance(error, ModelTimeout)):
        return None
    if error.retry_after_s is not None:
        most = _MOST_WAIT_WITH_NEXT_S if has_next else _MOST_WAIT_S
        return error.retry_after_s + 0.1 * random.random() if error.retry_after_s <= most else None  # noqa: S311
    whole = min(_MOST_S, _FIRST_S * 2**retry)
    return whole * (0.5 + 0.5 * random.random())  # noqa: S311
