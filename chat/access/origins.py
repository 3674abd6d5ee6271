"""Origins of web pages: scheme, host and port, as browsers send them and as people write them down."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.utils.http import is_same_domain

from common.errors import InvalidInput

_PORTS = {"http": 80, "https": 443}
_ANY_SUBDOMAIN = "://*."
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\]")
_MAX_CHARS = 255

Origin = tuple[str, str, int | None]
"""Scheme, host and port."""


def check_origin(text: str) -> str:
    """Return the origin as a browser writes it: in lower case, without a default port and a last slash.

    `*.` before the host stands for all its subdomains. Raise InvalidInput for anything else: a path, a query, a user,
    another wildcard, another scheme.
    """
    pattern = text.strip()
    plain = pattern.replace(_ANY_SUBDOMAIN, "://", 1)
    origin = _checked(plain)
    if plain == pattern:
        return origin
    if "." not in origin or "[" in origin:
        raise InvalidInput(f"{text[:100]!r} would stand for every site: name a domain, as in https://*.example.com.")
    return origin.replace("://", _ANY_SUBDOMAIN, 1)


def _checked(text: str) -> str:
    problem = f"{text[:100]!r} is no origin: write https://www.example.com, with a port if it has one, and no path."
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidInput(problem) from None
    host = (parts.hostname or "").lower()
    if not host.isascii():
        raise InvalidInput(f"Write the host of {text[:100]!r} as browsers send it, in ASCII (xn--…).")
    host = _bracketed(host)
    is_bare = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    is_bare = is_bare and not text.endswith(("?", "#"))
    if parts.scheme not in _PORTS or not is_bare or not _HOST.fullmatch(host) or port == 0:
        raise InvalidInput(problem)
    is_default = port is None or port == _PORTS[parts.scheme]
    origin = f"{parts.scheme}://{host}" + ("" if is_default else f":{port}")
    if len(origin) > _MAX_CHARS:
        raise InvalidInput(f"An origin has at most {_MAX_CHARS} characters.")
    return origin


def parse_origin(text: str) -> Origin | None:
    """Return the origin of an address; None for a text that is none, as one whose host no browser would send."""
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    host = parts.hostname or ""
    is_host = _HOST.fullmatch(_bracketed(host).removesuffix(".")) is not None and len(host) <= _MAX_CHARS
    return (parts.scheme, host, port) if parts.scheme in _PORTS and is_host else None


def is_of(origin: Origin, pattern: str) -> bool:
    """Return whether an origin is what the pattern names; it may have `*.` before the host, for all subdomains."""
    parsed = parse_origin(pattern.replace(_ANY_SUBDOMAIN, "://", 1))
    if parsed is None or (origin[0], origin[2]) != (parsed[0], parsed[2]):
        return False
    return is_same_domain(origin[1], f".{parsed[1]}") if _ANY_SUBDOMAIN in pattern else origin[1] == parsed[1]


def is_one_of(text: str, patterns: Iterable[str]) -> bool:
    """Return whether a browser's `Origin` is among those of the patterns."""
    origin = parse_origin(text)
    return origin is not None and any(is_of(origin, pattern) for pattern in patterns)


def as_sources(patterns: Iterable[str]) -> list[str]:
    """Return the patterns as a content security policy takes them, in their plain form; what is no origin is left out.

    Written anew from its parts, no entry can add a directive.
    """
    sources = []
    for pattern in patterns:
        parsed = parse_origin(pattern.replace(_ANY_SUBDOMAIN, "://", 1))
        if parsed is not None:
            scheme, host, port = parsed
            any_subdomain = "*." if _ANY_SUBDOMAIN in pattern else ""
            shown = "" if port == _PORTS[scheme] else f":{port}"
            sources.append(f"{scheme}://{any_subdomain}{_bracketed(host)}{shown}")
    return sources


def _bracketed(host: str) -> str:
    """Return an address of IPv6 as it stands in an origin; another host as it is."""
    return f"[{host}]" if ":" in host else host
