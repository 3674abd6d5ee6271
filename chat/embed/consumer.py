"""The WebSocket of an embedded page: the chat page's, with a session in its first message in place of cookies."""

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError
from django.utils.translation import get_supported_language_variant

from chat.access import site_sessions
from chat.access.callers import Caller
from chat.access.site_sessions import SiteSession
from chat.errors import KeyForbidden, SessionEnded
from chat.models import DEFAULT_BOT
from chat.page.consumer import ChatConsumer, parsed
from chat.page.standing import SIGNED_OUT, Standing
from common.background import with_own_thread

TRY_AGAIN = 1013


class EmbeddedConsumer(ChatConsumer):
    """First receive `{"type": "begin", "session", "language"}`, then what the chat page's socket receives.

    The session is read again at each message: one that has ended, whose key was revoked, or whose visitor has signed in
    meanwhile closes the socket with the code of a sign-out. The page then begins a new session.
    """

    session: SiteSession | None = None
    text = ""

    async def _greet(self) -> None:
        """Wait for the session."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.session is None:
            await self._begin(parsed(text_data) or {})
        else:
            await super().receive(text_data, bytes_data)

    async def _begin(self, content: dict[str, Any]) -> None:
        text, language = content.get("session"), content.get("language")
        self.text = text if content.get("type") == "begin" and isinstance(text, str) else ""
        if isinstance(language, str):
            try:
                self.language = get_supported_language_variant(language)
            except LookupError:
                self.language = settings.LANGUAGE_CODE
        try:
            self.standing = await self._read_standing()
        except DatabaseError:
            await self.close(code=TRY_AGAIN)
            return
        if not self.standing.may_chat:
            await self.close(code=SIGNED_OUT, reason="The session of this chat has ended.")
        else:
            await self._send("begun", {})

    async def _read_standing(self) -> Standing:
        """Return the rights of the session; before it came, those of nobody, who may do nothing but begin."""
        self.scope["user"] = AnonymousUser()
        self.session = await with_own_thread(sync_to_async(self._read_session)()) if self.text else None
        self.bot = self.session.key.bot or DEFAULT_BOT if self.session else DEFAULT_BOT
        user = self.session.user.user_id if self.session else None
        return Standing(user_pk=user, may_chat=self.session is not None, may_choose=False, may_trace=False)

    def _read_session(self) -> SiteSession | None:
        try:
            session = site_sessions.read(self.text)
            Caller.embedded(self.meta, session)
        except (SessionEnded, KeyForbidden):
            return None
        return session

    def _user_id(self, content: dict[str, Any]) -> Any:
        return self.session.user.user_id if self.session else None

    def _caller(self) -> Caller:
        return Caller.embedded(self.meta, self.session) if self.session else Caller.of(self.meta)
