"""Entity tags of documents, and the conditions of requests that name them (RFC 9110)."""

import re

from django.utils.http import parse_etags
from rest_framework.request import Request

from common.errors import InvalidInput
from retrieval.indexing.preconditions import Precondition
from retrieval.models import Document

_ANY_TAG = r'(W/)?"[!#-~]*"'
TAGS = rf"^(\*|{_ANY_TAG}([ \t]*,[ \t]*{_ANY_TAG})*)$"
"""The pattern of an `If-Match`, which the schema publishes, too."""
_TAG = re.compile(r'"v(\d{1,9})(\..*)?"')
_NO_VERSION = -1
"""The version that a tag which is not one of ours stands for."""


def etag_of(document: Document) -> str:
    """Return `"v3"`; where the newest change failed or waits, the rest of the row decides, too."""
    number = document.version.number if document.version else 0
    if document.state == Document.State.INDEXED:
        return etag_of_version(number)
    moment = int(document.updated_at.timestamp() * 1_000_000)
    return f'"v{number}.{document.state}.{document.failures}.{moment}"'


def etag_of_version(number: int) -> str:
    return f'"v{number}"'


def is_known(request: Request, etag: str) -> bool:
    """Return whether the client has this state already, by `If-None-Match`."""
    known = parse_etags(request.headers.get("If-None-Match", ""))
    return known == ["*"] or any(tag.removeprefix("W/") == etag for tag in known)


def precondition_of(request: Request) -> Precondition | None:
    """Return what `If-Match` and `If-None-Match: *` demand of a document that is to be changed; raise InvalidInput.

    `If-Match` compares versions: that the newest change failed makes no difference.
    """
    match, none_match = (request.headers.get(name) for name in ("If-Match", "If-None-Match"))
    if match is None and none_match is None:
        return None
    if none_match is not None and none_match.strip() != "*":
        raise InvalidInput("A change takes no ETags in If-None-Match, only *.")
    if match is not None and not re.fullmatch(TAGS, match.strip()):
        raise InvalidInput('If-Match must be * or ETags with quotes, such as "v3".')
    tags = parse_etags(match or "*")
    return Precondition(
        is_absent=none_match is not None,
        is_present=match is not None,
        versions=None if tags == ["*"] else frozenset(map(_version_of, tags)),
    )


def _version_of(tag: str) -> int:
    found = _TAG.fullmatch(tag)
    return int(found[1]) if found else _NO_VERSION
