"""Who asks, where a client may or may not say so."""

from dataclasses import dataclass
from typing import Any

from rest_framework.request import Request

from chat.access.callers import Caller
from chat.models.user_ids import SHARED_PREFIX, USER_HEADERS
from chat.openai_api.errors import InvalidParameter
from common.errors import InvalidInput

ANONYMOUS = "anonymous"


@dataclass(frozen=True, kw_only=True)
class Asker:
    user_id: str
    is_shared: bool = False
    """Whether several people may ask under this id, since nobody said who asks."""


def asker_of(request: Request, named: str | None, caller: Caller) -> Asker:
    """Return who asks: as the body says, else a header, else the only user of the key or the session's, else nobody.

    Whoever is not named shares the id of their key, with its limit. Raise InvalidParameter, or UserForbidden.
    """
    named = named or next((value for header in USER_HEADERS if (value := request.headers.get(header))), None)
    key = caller.key
    if named is None and key is not None and key.users:
        if len(key.users) > 1:
            raise InvalidParameter("This API key is bound to several users: say which one in user.", "user")
        named = key.users[0]
    if named is None and key is None and request.user and request.user.is_authenticated:
        named = request.user.get_username()
    if named is None:
        return Asker(user_id=f"{SHARED_PREFIX}{key.pk}" if key else ANONYMOUS, is_shared=True)
    return Asker(user_id=_checked(named, caller))


def _checked(user_id: Any, caller: Caller) -> str:
    try:
        return caller.check_user(user_id)
    except InvalidInput as error:
        raise InvalidParameter(str(error).replace("user_id", "user"), "user") from None
