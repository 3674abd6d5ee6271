"""Admin of sign-ins, as django-axes keeps them: failures with their lockouts, and who signed in."""

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from common.admin.base import ListAdmin, ReadOnlyAdmin, moment
from common.admin.html import badge, short


class _SignIns(ReadOnlyAdmin):
    """Show what axes wrote, but not the form's data."""

    ordering = ("-attempt_time",)
    sortable_by = ()
    list_filter: Any = ("attempt_time",)
    search_fields = ("username__startswith", "ip_address__startswith")
    search_help_text = "The beginning of a user name or an address."
    readonly_fields: Any = ("attempt_time",)
    fields: Any = ("attempt_time", "username", "ip_address", "path_info", "user_agent")

    @display(description="browser")
    def shown_agent(self, row: Any) -> str:
        return short(row.user_agent, 40)


@admin.register(AccessAttempt)
class AccessAttemptAdmin(_SignIns):
    """Failures that count now; deleting them lifts a lockout."""

    list_display = (moment("attempt_time"), "ip_address", "username", "failures", "shown_state", "path_info")

    readonly_fields = ("attempt_time", "shown_state", "failures")
    fields = (*_SignIns.fields, "failures", "shown_state")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessAttempt]:
        """Add up the failures of each address, whatever user names it tried."""
        since = timezone.now() - settings.AXES_COOLOFF_TIME
        same = AccessAttempt.objects.filter(ip_address=OuterRef("ip_address"), attempt_time__gte=since)
        failures = same.order_by().values("ip_address").annotate(failures=Sum("failures_since_start"))
        return super().get_queryset(request).annotate(of_address=Subquery(failures.values("failures")[:1]))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return ListAdmin.has_delete_permission(self, request, obj)

    @display(description="failures")
    def failures(self, row: AccessAttempt) -> int:
        return int(row.failures_since_start)

    @display(description="state")
    def shown_state(self, row: Any) -> str:
        until = row.attempt_time + settings.AXES_COOLOFF_TIME
        if until <= timezone.now():
            return badge("over", "plain")
        left = settings.AXES_FAILURE_LIMIT - (row.of_address or 0)
        if left > 0:
            return badge(f"{left} left", "warn")
        return badge(f"locked out until {until:%H:%M} UTC", "bad")


@admin.register(AccessFailureLog)
class AccessFailureLogAdmin(_SignIns):
    list_display = (moment("attempt_time"), "ip_address", "username", "shown_lockout", "path_info", "shown_agent")
    list_filter = ("locked_out", "attempt_time")
    fields = (*_SignIns.fields, "locked_out")

    @display(description="lockout")
    def shown_lockout(self, row: AccessFailureLog) -> str:
        return badge("locked out", "bad") if row.locked_out else "–"


@admin.register(AccessLog)
class AccessLogAdmin(_SignIns):
    list_display = (moment("attempt_time"), "username", "ip_address", moment("logout_time"), "path_info", "shown_agent")
    readonly_fields = ("attempt_time", "logout_time")
    fields = (*_SignIns.fields, "logout_time")
