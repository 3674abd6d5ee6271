"""Write an audit entry for each use of an audited endpoint, before its answer leaves."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.admin.models import LogEntry
from django.http import HttpRequest
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware

from chat.access.site_sessions import SiteSession
from chat.audit.endpoints import ADMIN, POLLED, is_audited, use_of
from chat.audit.entries import caller_columns, record, was_recorded
from chat.models import ApiKey, AuditEntry
from chat.paths import own_path


@sync_and_async_middleware
def audited(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Record who used which endpoint, with the status of the answer; any other request costs a look at its address."""
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            started = timezone.now()
            response = await get_response(request)
            if is_audited(request):
                await sync_to_async(_record)(request, response, started)
            return response

        return answer

    def answer_now(request: HttpRequest) -> Any:
        started = timezone.now()
        response = get_response(request)
        if is_audited(request):
            _record(request, response, started)
        return response

    return answer_now


def _record(request: HttpRequest, response: Any, started: datetime) -> None:
    auth = getattr(request, "auth", None)  # set by the REST framework
    if isinstance(auth, SiteSession):
        return  # an embedded page reaches the conversations of its own user only
    caller = caller_columns(request.META, request.user, auth if isinstance(auth, ApiKey) else None)
    if caller is not None and caller["by"] == AuditEntry.By.LOCAL and own_path(request.path_info).startswith(ADMIN):
        return  # development mode opens the API, not the admin
    use = use_of(request) if caller is not None else None
    if caller is None or use is None:
        return
    if use.endpoint in POLLED and response.status_code < 300 and was_recorded(caller["who"], use.target, of="inbox:"):
        return
    target, detail = _of_admin_log(request, response, started, use.target)
    record(
        **caller,
        at=started,
        action=use.action,
        target=target,
        endpoint=use.endpoint,
        method=request.method,
        path=request.path,
        status=response.status_code,
        detail=detail,
    )


def _of_admin_log(request: HttpRequest, response: Any, started: datetime, target: str) -> tuple[str, str]:
    """Return the target and what was changed, as the admin's own log has it: which fields, and the id of a new row."""
    if request.method != "POST" or not own_path(request.path_info).startswith(ADMIN):
        return target, ""
    if response.status_code == 200 and (request.resolver_match.url_name or "").endswith(("_add", "_change")):  # type: ignore[union-attr]
        return target, "Not saved: the form has errors."
    written = LogEntry.objects.filter(user=request.user.pk, action_time__gte=started).order_by("pk")[:20]
    entries = list(written)
    if len(entries) == 1 and entries[0].object_id and entries[0].object_id not in target:
        target = f"{target} {entries[0].object_id}"
    return target, " ".join(dict.fromkeys(entry.get_change_message() for entry in entries))
