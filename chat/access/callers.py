"""Whoever calls the chat's API: where from, with which key, for which user, and what the key is bound to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chat.access.origins import is_one_of
from chat.access.permissions import address_of, is_open
from chat.access.site_sessions import SiteSession
from chat.access.tokens import SiteUser
from chat.errors import (
    AddressForbidden,
    BotForbidden,
    ContextForbidden,
    IndexForbidden,
    OriginForbidden,
    UserForbidden,
    UserTokenMissing,
)
from chat.models import DEFAULT_BOT, ApiKey
from common.client_address import is_within, sender_of
from common.validation import check_identity
from events.ordering import state_family
from features import registry
from retrieval.document_events import FAMILY, index_name_of

USER_KEY = "user_id"
"""The key of the entities that are users."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls; without a key, and without an address in development mode, nothing but the user is limited."""

    key: ApiKey | None = None
    sender: str = ""
    """The address that messages are counted by; "" for a caller that has a limit of its own, or none."""
    user: SiteUser | None = None
    """The only user that a site's page acts for, with a public key."""

    @classmethod
    def of(cls, meta: dict[str, Any], key: ApiKey | None = None, user: SiteUser | None = None) -> "Caller":
        """Return the caller of a request by its META; `user` is whom the site of a public key has signed.

        Raise AddressForbidden or OriginForbidden if the key is not for the address, or for the page.
        """
        if key is None:
            return cls(sender="" if is_open(meta) else sender_of(address_of(meta)))
        _check_address(key, meta)
        origin = meta.get("HTTP_ORIGIN", "")
        if key.kind == ApiKey.Kind.PUBLIC and not is_one_of(origin, key.origins):
            where = f"pages of {origin}" if origin else "a request without an Origin, which browsers send"
            raise OriginForbidden(f"This public key may not be used by {where}.")
        return cls(key=key, user=user)

    @classmethod
    def embedded(cls, meta: dict[str, Any], session: SiteSession) -> "Caller":
        """Return the caller of an embedded page: its visitors count by their address too, a site's users do not."""
        _check_address(session.key, meta)
        is_counted = not session.user.is_signed and not is_open(meta)
        sender = sender_of(address_of(meta)) if is_counted else ""
        return cls(key=session.key, user=session.user, sender=sender)

    @classmethod
    def of_stored(cls, user_id: str, key: ApiKey | None) -> "Caller":
        """Return the caller of a message that is answered later; a site had named its user when it came."""
        is_public = key is not None and key.kind == ApiKey.Kind.PUBLIC
        return cls(key=key, user=SiteUser(user_id=user_id) if is_public else None)

    @property
    def is_site(self) -> bool:
        """Whether a site says who asks: its users are no accounts here, even of the same name."""
        return self.user is not None or (self.key is not None and self.key.kind == ApiKey.Kind.PUBLIC)

    @property
    def indexes(self) -> list[str]:
        """The indexes that the caller is bound to; empty: all."""
        return self.key.indexes if self.key else []

    def check_index(self, name: str) -> str:
        """Return the index's name; raise IndexForbidden."""
        if self.indexes and name not in self.indexes:
            raise IndexForbidden(f"This API key may not use the index {name!r}.")
        return name

    def check_indexes(self, names: Iterable[str]) -> None:
        for name in names:
            self.check_index(name)

    def check_bot(self, slug: str) -> str:
        """Return the slug of the bot that is asked: `slug`, or else the key's, or ""; raise BotForbidden.

        A public key that is bound to none is for the default bot: others may be for colleagues.
        """
        bound = self.key.bot if self.key else ""
        if self.is_site:
            bound = bound or DEFAULT_BOT
        if bound and slug not in ("", bound):
            raise BotForbidden(f"This API key may not use the bot {slug[:50]!r}.")
        return bound or slug

    def check_context(self, name: str, of_bot: str = "") -> str:
        """Return the context that is called: `name`, or else the bot's, or the first that the key is bound to, or "".

        A public key that is bound to none is for its bot's. Raise ContextForbidden.
        """
        allowed = self.key.contexts if self.key else []
        if self.is_site and not allowed:
            allowed = [of_bot]
        name = name or of_bot
        if not allowed:
            return name
        name = name or allowed[0]
        if name not in allowed:
            raise ContextForbidden(f"This API key may not use the context {name!r}.")
        return name

    def check_user(self, user_id: str) -> str:
        """Return the user's id, normalised; a site's page may name its user as the site does, without the prefix.

        Raise UserForbidden, UserTokenMissing for a public key without a signed user, or InvalidInput for what is no id.
        """
        user_id = check_identity(user_id, USER_KEY)
        if self.key and self.key.kind == ApiKey.Kind.PUBLIC and self.user is None:
            raise UserTokenMissing
        if self.user and user_id == self.user.subject:
            user_id = self.user.user_id
        if self.user and user_id != self.user.user_id:
            raise UserForbidden("The site of this public key has signed another user.")
        if self.key and self.key.users and user_id not in self.key.users:
            raise UserForbidden(f"This API key may not act for the user {user_id!r}.")
        return user_id

    def check_entity(self, entity: str, entity_key: str) -> None:
        """Raise UserForbidden where a key that is bound to users asks for what is not of one of them."""
        if self.key is None or not self.key.users:
            return
        spec = registry.entities.get(entity)
        if spec is not None and spec.key != USER_KEY:
            raise UserForbidden(f"This API key is bound to users, and {entity} is not keyed by {USER_KEY}.")
        self.check_user(entity_key)

    def check_event(self, event_type: str, entity_id: str, payload: Any) -> None:
        """Raise IndexForbidden for an event of a document elsewhere, UserForbidden for any other of another user."""
        if state_family(event_type) != FAMILY:
            if self.key and self.key.users:
                self.check_user(entity_id)
        elif self.indexes:
            self.check_index(index_name_of(payload if isinstance(payload, dict) else {}))


def _check_address(key: ApiKey, meta: dict[str, Any]) -> None:
    address = address_of(meta)
    if key.networks and not is_within(address, key.networks):
        raise AddressForbidden(f"This API key may not be used from the address {address}.")
