"""Whose conversations a request is about: one's own, or those of the user that a key or a permitted session names.

The page that a site embeds has a session of its own, and its cookies count for nothing: they may be another's.
"""

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from chat.access.permissions import may_chat, may_choose_user
from chat.access.site_sessions import SiteSession
from chat.access.visitors import user_id_of, visitor_of
from chat.api.auth import HasPermission, SessionAuthentication, caller_of
from chat.errors import UserForbidden
from chat.models import DEFAULT_BOT, ApiKey
from common.errors import InvalidInput
from common.validation import check_identity


class MayConverse(HasPermission):
    """Allow an API key as `HasPermission` does; a session, a visitor and an embedded page as the chat page does."""

    def has_permission(self, request: Request, view: object) -> bool:
        if isinstance(request.auth, ApiKey):
            return super().has_permission(request, view)
        if isinstance(request.auth, SiteSession):
            caller_of(request)  # refuses the address
            return True
        self.message, self.code = "Sign in to chat.", "not_authenticated"
        if request.method not in SAFE_METHODS and visitor_of(request.COOKIES):
            # A visitor's cookie is an identity, as a session is, whose requests DRF has checked already.
            SessionAuthentication().enforce_csrf(request)
        return may_chat(request.user, request.META)


def bot_of(request: Request) -> str:
    """Return the slug of the bot whose conversations the request is about; "" for those of all.

    Raise BotForbidden where a key is bound to another one than the parameter `bot` names.
    """
    if isinstance(request.auth, SiteSession):
        return request.auth.key.bot or DEFAULT_BOT
    given = request.query_params.get("bot", "")
    return caller_of(request).check_bot(given) if isinstance(request.auth, ApiKey) else given


def user_of(request: Request) -> str:
    """Return the id of the user whose conversations the request is about.

    It is the parameter `user_id` for a key or a session that may choose; for everyone else it is their own. Raise
    UserForbidden for another user, InvalidInput where nobody is named.
    """
    given = request.query_params.get("user_id")
    if isinstance(request.auth, SiteSession):
        return caller_of(request).check_user(given or request.auth.user.user_id)
    if isinstance(request.auth, ApiKey):
        if not given:
            raise InvalidInput("user_id must name the user whose conversations these are.")
        return caller_of(request).check_user(given)
    visitor = visitor_of(request.COOKIES)
    own = user_id_of(request.user, visitor or "") if visitor or request.user.is_authenticated else None
    if given and given != own:
        if not may_choose_user(request.user, request.META):
            raise UserForbidden("These are another user's conversations.")
        return check_identity(given, "user_id")
    if own is None:
        raise InvalidInput("user_id must name the user, since this browser has no visitor's id yet.")
    return own
