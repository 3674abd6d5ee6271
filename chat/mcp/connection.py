"""Who calls the MCP endpoint, and what their connection is bound to."""

from dataclasses import dataclass

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest

from chat.access.callers import Caller
from chat.access.permissions import is_open, refusal_of_key
from chat.api.auth import why_refused
from chat.models import ApiKey
from common.errors import FabraError
from retrieval.indexing.document_input import check_index_name
from retrieval.models import Index
from retrieval.search.filters import EVERYONE, check_audience

NEEDED = ["retrieval.view_document"]
"""The permission of both tools, as of `GET /api/search/` and `GET /api/documents/`."""
_MOST_INDEXES = 50


class NotLetIn(FabraError):
    """The caller may not use the endpoint; answered by HTTP, before any message of the protocol is read."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One caller. The audience and the index are the connection's, in its URL: a model cannot choose its readers."""

    caller: Caller
    request: ASGIRequest
    audience: list[str] | str
    index_name: str
    """The index of a tool call that names none."""

    def check_index(self, name: str | None) -> str:
        """Return the name of an index that the caller may use; raise IndexForbidden or InvalidInput."""
        return self.caller.check_index(check_index_name(name or self.index_name))

    def index_names(self) -> list[str]:
        """Return the indexes that the tools' descriptions name."""
        if self.caller.indexes:
            return list(self.caller.indexes)
        return list(Index.objects.order_by("name").values_list("name", flat=True)[:_MOST_INDEXES])


def connect(request: ASGIRequest) -> Connection:
    """Return the caller's connection; raise NotLetIn, AddressForbidden, IndexForbidden or InvalidInput."""
    key = _key_of(request)
    caller = Caller.of(request.META, key)
    names = [name.strip() for name in request.GET.get("audience", "").split(",") if name.strip()]
    index_name = request.GET.get("index_name") or settings.FABRA_DEFAULT_INDEX
    if "index_name" not in request.GET and caller.indexes and index_name not in caller.indexes:
        index_name = caller.indexes[0]
    return Connection(
        caller=caller,
        request=request,
        audience=EVERYONE if names == [EVERYONE] else check_audience(names),
        index_name=caller.check_index(check_index_name(index_name)),
    )


def _key_of(request: ASGIRequest) -> ApiKey | None:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    text = (text if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")).strip()
    if not text:
        if is_open(request.META):
            return None
        raise NotLetIn(401, "not_authenticated", "Send an API key, as `Authorization: Bearer fabra_sec_…`.")
    key = ApiKey.authenticate(text)
    if key is None:
        raise NotLetIn(401, "invalid_api_key", why_refused(text))
    if refusal := refusal_of_key(key, NEEDED):
        raise NotLetIn(403, *refusal)
    return key
