"""Origins of sites: a scheme, a host and perhaps a port, as browsers send them in `Origin`."""

import re
from urllib.parse import urlsplit

from common.errors import InvalidInput

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\]")
_MAX_CHARS = 255


def check_origin(text: str) -> str:
    """Return the origin as a browser writes it: in lower case, without a default port and a last slash.

    Raise InvalidInput for anything else: a path, a query, a user, a wildcard, another scheme.
    """
    problem = f"{text[:100]!r} is no origin: write https://www.example.com, with a port if it has one, and no path."
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise InvalidInput(problem) from None
    host = (parts.hostname or "").lower()
    if not host.isascii():
        raise InvalidInput(f"Write the host of {text[:100]!r} as browsers send it, in ASCII (xn--…).")
    host = f"[{host}]" if ":" in host else host
    is_bare = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    is_bare = is_bare and not text.strip().endswith(("?", "#"))
    if parts.scheme not in _DEFAULT_PORTS or not is_bare or not _HOST.fullmatch(host) or port == 0:
        raise InvalidInput(problem)
    is_default = port is None or port == _DEFAULT_PORTS[parts.scheme]
    origin = f"{parts.scheme}://{host}" + ("" if is_default else f":{port}")
    if len(origin) > _MAX_CHARS:
        raise InvalidInput(f"An origin has at most {_MAX_CHARS} characters.")
    return origin
