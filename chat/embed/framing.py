"""Which sites may show a page of this server in a frame: the content security policy takes it from the response."""

from collections.abc import Iterable

from django.http import HttpResponseBase

from chat.access.origins import as_sources

FRAMED_BY = "framed_by"
"""The attribute of a response that the policy's middleware reads."""


def allow_own_frames(response: HttpResponseBase) -> HttpResponseBase:
    """Let pages of this server show the response in a frame."""
    setattr(response, FRAMED_BY, ["'self'"])
    response.xframe_options_exempt = True  # type: ignore[attr-defined]
    return response


def allow_frames(response: HttpResponseBase, patterns: Iterable[str]) -> HttpResponseBase:
    """Let pages of these origins, and of no other, show the response in a frame."""
    if sources := as_sources(patterns):
        setattr(response, FRAMED_BY, sources)
        response.xframe_options_exempt = True  # type: ignore[attr-defined]  # it can name no origins
    return response
