"""`POST /embed/session`: who has an embedded page, as its script asks when the page opens and when a token expires."""

from typing import Any

from asgiref.sync import async_to_sync
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from chat.access import site_sessions, tokens
from chat.access.callers import USER_KEY, Caller
from chat.access.origins import is_one_of
from chat.access.site_sessions import SiteSession
from chat.access.tokens import SiteUser
from chat.access.visitors import new_visitor
from chat.api.base import APIView, extend_schema
from chat.api.fields import StrictCharField
from chat.conversations.joining import join
from chat.errors import OriginForbidden, SessionEnded
from chat.models import ApiKey
from chat.models.user_ids import VISITOR_PREFIX
from features.traits import keep_traits


class SessionRequestSerializer(serializers.Serializer[Any]):
    key = StrictCharField(help_text="The public key.")
    origin = StrictCharField(help_text="Of the site's page.")
    session = StrictCharField(default="", help_text="What the page had before, of a visitor.")
    user_token = StrictCharField(default="", help_text="By which the site names its user.")


class SessionView(APIView):
    """Begin or renew the session of an embedded page: the site's user, or a visitor with an id of its own.

    A visitor whose site names them brings along what they said before. No cookie is read, so no other page can ask in
    the name of this one.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        data = SessionRequestSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        key = _key_of(**{name: data.validated_data[name] for name in ("key", "origin")})
        before, token = data.validated_data["session"], data.validated_data["user_token"]
        user = tokens.verify(token, key) if token else _visitor(before, key)
        session = SiteSession(key=key, origin=data.validated_data["origin"], user=user)
        Caller.embedded(request.META, session).check_user(user.user_id)  # the key may be for some users or networks
        joined = 0
        if user.is_signed:
            async_to_sync(keep_traits)(USER_KEY, user.user_id, user.traits, user.as_of or timezone.now())
            visitor = site_sessions.visitor_in(before, key)
            joined = join(visitor, user.user_id) if visitor else 0
        left = user.expires_at - timezone.now() if user.expires_at else None
        return Response(
            {
                "session": site_sessions.issue(key, session.origin, user),
                "user_id": user.user_id,
                "is_signed": user.is_signed,
                "expires_at": user.expires_at,
                # For the page's timer: its browser's clock may be wrong.
                "expires_in_s": max(0, round(left.total_seconds())) if left else None,
                "joined": joined,
            }
        )


def _key_of(key: str, origin: str) -> ApiKey:
    """Return the public key; raise AuthenticationFailed, or OriginForbidden for a page that it is not for."""
    row = ApiKey.authenticate(key)
    if row is None or not site_sessions.is_for_pages(row):
        raise AuthenticationFailed("The API key is unknown, revoked or expired.", code="invalid_api_key")
    if not is_one_of(origin, row.origins):
        raise OriginForbidden(f"This public key may not be used by pages of {origin!r}.")
    return row


def _visitor(session: str, key: ApiKey) -> SiteUser:
    """Return the visitor of a session of the key that is still one, else a new one."""
    if session:
        try:
            known = site_sessions.read(session)
        except (SessionEnded, OriginForbidden):
            known = None
        if known is not None and known.key.pk == key.pk and not known.user.is_signed:
            return known.user
    return SiteUser(user_id=f"{VISITOR_PREFIX}{new_visitor()}")
