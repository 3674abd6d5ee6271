"""Which requests the audit log has: what they do, and to what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest

from chat.access.visitors import user_id_of
from chat.models import ApiKey
from chat.paths import own_path

ADMIN = "/admin/"
POLLED = {"inbox:messages"}
"""Pages of the admin that an open page asks for again and again: one entry an hour records it."""
_UNAUDITED = {
    "admin:login", "admin:logout",  # django-axes records these
    "admin:jsi18n", "admin:autocomplete",
    "inbox:list",  # what an open inbox asks for by itself
}  # fmt: skip
_KINDS = {"changelist": "list", "change": "view"}
_MOST_SELECTED = 20

# For each URL of the API and method: what is done, and to what; the names are of the URL, or of _QUERY.
AUDITED: Mapping[tuple[str, str], tuple[str, str]] = {
    ("debug-context", "GET"): ("debug", "user {user_id}"),
    ("traces", "GET"): ("list traces", "traces of {of}"),
    ("events", "GET"): ("list events", "events of {of}"),
    ("event", "GET"): ("read event", "event {event_id}"),
    ("trace", "GET"): ("read trace", "trace {context_id}"),
    ("features", "GET"): ("read features", "{entity} {entity_id}"),
    ("feature-set", "GET"): ("read features", "set {name} of {entity_id}"),
    ("search", "GET"): ("search", "index {index_name}"),
    ("document", "DELETE"): ("delete", "document {entity_id} of {index_name}"),
    ("documents-bulk", "DELETE"): ("delete", "document bulk of {index_name}"),  # the document of this name
    ("export", "GET"): ("export", "conversation {conversation_id}"),
    ("conversation", "DELETE"): ("erase", "conversation {conversation_id}"),
    ("conversations", "GET"): ("read conversations", "user {user_id}"),
    ("conversation", "GET"): ("read conversation", "conversation {conversation_id}"),
    ("messages", "GET"): ("read conversation", "conversation {conversation_id}"),
    ("desk-assign", "POST"): ("take over", "conversation {conversation_id}"),
    ("desk-reply", "POST"): ("reply", "conversation {conversation_id}"),
    ("desk-hand-back", "POST"): ("hand back", "conversation {conversation_id}"),
    ("desk-close", "POST"): ("close", "conversation {conversation_id}"),
    ("desk-transfer", "POST"): ("pass on", "conversation {conversation_id}"),
    ("passages", "GET"): ("read conversation", "message {message_id}"),
}
UNAUDITED: Mapping[tuple[str, str], str] = {
    ("documents", "GET"): "what a program that keeps documents up to date asks all day",
    ("documents", "POST"): "each version of a document has its author",
    ("document", "GET"): "what a program that keeps documents up to date asks all day",
    ("documents-bulk", "GET"): "the document whose id is bulk",
    ("documents-bulk", "POST"): "its deletions are entries of their own, see chat.api.bulk",
    ("events", "POST"): "each event has its sender",
}
"""Endpoints for the permissions of debugging and of documents that are no entry, and why."""
_OF_USERS = {"conversations", "conversation", "messages", "passages", "export"}
"""Endpoints of which only the conversations of another user are entries, not one's own."""
_BY_KEY = {("export", "GET"), ("conversation", "DELETE")}
"""What of that is audited of a key: to read its users' conversations is what an application does all day."""
_QUERY = ("index_name", "user_id")
_DEFAULTS = {"index_name": "the default index", "user_id": "themselves"}


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a request did at an endpoint."""

    endpoint: str
    """The name of its URL."""
    action: str
    target: str


def is_audited(request: HttpRequest) -> bool:
    """Return whether the request may be one, by its address alone: no other request pays for more than this."""
    match = request.resolver_match
    if match is None or match.url_name is None:  # nothing is there, or a redirect to what is
        return False
    if own_path(request.path_info).startswith(ADMIN):
        return _name(match) not in _UNAUDITED
    return (_name(match), _method(request)) in AUDITED


def use_of(request: HttpRequest) -> Use | None:
    """Return what the request did, after it was answered; None if it was about the caller's own conversations."""
    match: Any = request.resolver_match
    if own_path(request.path_info).startswith(ADMIN):
        return _admin_use(request, match)
    key = (_name(match), _method(request))
    if _name(match) in _OF_USERS and not _is_anothers(request, key):
        return None
    action, target = AUDITED[key]
    if action == "delete" and request.GET.get("purge", "") in ("true", "1"):
        action = "purge"
    names = _DEFAULTS | {name: request.GET[name] for name in _QUERY if request.GET.get(name)} | match.kwargs
    names["of"] = request.GET.get("user_id") or request.GET.get("entity_id") or "everyone"
    return Use(endpoint=_name(match), action=action, target=target.format_map(names))


def _name(match: Any) -> str:
    """Return the name of a URL, whatever the project calls the admin site that it is of."""
    return ":".join([*(app for app in match.app_names if app != "chat"), match.url_name])


def _is_anothers(request: HttpRequest, key: tuple[str, str]) -> bool:
    if isinstance(getattr(request, "auth", None), ApiKey):
        return key in _BY_KEY
    given = request.GET.get("user_id")
    is_known = request.user.is_authenticated
    return bool(given) and not (is_known and given == user_id_of(request.user, ""))


def _admin_use(request: HttpRequest, match: Any) -> Use:
    model_admin = getattr(match.func, "model_admin", None)
    kind, table = match.url_name or "", ""
    if model_admin is not None:
        table = model_admin.opts.label_lower
        kind = kind.removeprefix(f"{table.replace('.', '_')}_")
    action = kind if request.method == "POST" else _KINDS.get(kind, kind)
    rows = [str(value) for value in match.kwargs.values()]
    if _name(match) == "inbox:inbox" and "conversation" in request.GET:
        rows = [request.GET["conversation"]]
    if request.method == "POST" and kind == "changelist":
        action = request.POST.get("action") or "change"
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        rows = [*selected[:_MOST_SELECTED], *(["…"] if len(selected) > _MOST_SELECTED else [])]
    return Use(endpoint=_name(match), action=action, target=f"{table} {', '.join(rows)}".strip())


def _method(request: HttpRequest) -> str:
    return "GET" if request.method == "HEAD" else request.method or ""
