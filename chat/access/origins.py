"""Origins of web pages: scheme, host and port, as browsers send them and as people write them down."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.utils.http import is_same_domain

_PORTS = {"http": 80, "https": 443}
_ANY_SUBDOMAIN = "://*."

Origin = tuple[str, str, int | None]
"""Scheme, host and port."""


def parse_origin(text: str) -> Origin | None:
    """Return the origin of an address; None for a text that is none."""
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.scheme in _PORTS and parts.hostname else None


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
            shown = f"[{host}]" if ":" in host else host
            sources.append(f"{scheme}://{any_subdomain}{shown}" + ("" if port == _PORTS[scheme] else f":{port}"))
    return sources
