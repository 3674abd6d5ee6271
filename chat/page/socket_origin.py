"""Let only pages of this site open a WebSocket: browsers send cookies with it whatever page opens it."""

from collections.abc import Mapping
from typing import Any

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from chat.access.origins import is_of, parse_origin


class SameOrigin:
    """Refuse a handshake whose Origin is neither the site's own, by scheme, host and port, nor a trusted one."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> Any:
        application = self.application if is_allowed(scope) else WebsocketDenier()
        return await application(scope, receive, send)


def is_allowed(scope: Mapping[str, Any]) -> bool:
    """Return whether the page that opens the socket is the site's own, or of one of CSRF_TRUSTED_ORIGINS."""
    meta = meta_of(scope)
    origin = parse_origin(meta.get("HTTP_ORIGIN", ""))
    if origin is None:
        return False
    request = HttpRequest()
    request.META.update(meta)
    try:
        own = parse_origin(f"{_scheme_of(scope, meta)}://{request.get_host()}")
    except DisallowedHost:
        return False
    return origin == own or any(is_of(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


def meta_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the handshake's headers and address as Django's META has them; a header that comes twice is joined."""
    client, server = scope.get("client") or ("", 0), scope.get("server") or ("", 0)
    meta = {"REMOTE_ADDR": client[0], "SERVER_NAME": str(server[0]), "SERVER_PORT": str(server[1])}
    for raw_name, raw_value in scope.get("headers", ()):
        name, value = raw_name.decode("latin1"), raw_value.decode("latin1")
        if "_" in name:  # Django drops it too: `X_Forwarded_For` would pass for a header of the proxy's
            continue
        key = f"HTTP_{name.upper().replace('-', '_')}"
        meta[key] = f"{meta[key]},{value}" if key in meta else value
    return meta


def _scheme_of(scope: Mapping[str, Any], meta: Mapping[str, str]) -> str:
    if settings.SECURE_PROXY_SSL_HEADER:
        name, secure = settings.SECURE_PROXY_SSL_HEADER
        said = meta.get(name, "").split(",")[0].strip()
        return "https" if said in (secure, "wss") else "http"
    return "https" if scope.get("scheme") in ("wss", "https") else "http"
