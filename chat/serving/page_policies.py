"""The content security policies of the pages, in the form and under the name of Django 6.

django-csp sends them until the project runs on Django 6. A page with a script in it gives it the attribute
`nonce="{{ request.csp_nonce }}"`; none of ours has one.
"""

from typing import Any

from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

SECURE_CSP: dict[str, list[Any]] = {
    "default-src": [NONE],
    "script-src": [SELF, NONCE],
    "style-src": [SELF, NONCE],
    "img-src": [SELF],
    "connect-src": [SELF],
    "base-uri": [NONE],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
}

MORE: dict[str, dict[str, list[Any]]] = {
    # Unfold's Alpine compiles the expressions in its attributes; Unfold and the bars of ours have style attributes.
    "/admin/": {
        "script-src": [SELF, NONCE, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "frame-src": [SELF],  # the preview of a bot's page
    },
    # Swagger's page has style elements, and pictures in its style sheet.
    "/api/docs/": {"style-src": [SELF, UNSAFE_INLINE], "img-src": [SELF, "data:"]},
}
"""What the pages below a path need instead."""
STATIC_FILES = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""A picture that is opened by itself runs nothing."""
