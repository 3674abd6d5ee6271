"""Admin of sign-ins, as django-axes keeps them: failures with their lockouts, and who signed in."""

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from chat.access.sign_in import counted_failures
from common.admin.base import ListAdmin, ReadOnlyAdmin, moment
from common.admin.html import badge, short
from common.admin.site import register


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


def _sum(*fields: str) -> Subquery:
    """Return the failures that have these fields in common with the row, as far as they count now."""
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    same = AccessAttempt.objects.filter(attempt_time__gte=since, **{field: OuterRef(field) for field in fields})
    return Subquery(same.order_by().values(*fields).annotate(sum=Sum("failures_since_start")).values("sum")[:1])


@register(AccessAttempt)
class AccessAttemptAdmin(_SignIns):
    """Failures that count now; deleting them lifts a lockout."""

    list_display = (moment("attempt_time"), "ip_address", "username", "failures", "shown_state", "path_info")

    readonly_fields = ("attempt_time", "shown_state", "failures")
    fields = (*_SignIns.fields, "failures", "shown_state")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessAttempt]:
        """Add up what counts together: the failures of the name at the address, and of each of the two alone."""
        of_pair, of_address, of_name = _sum("username", "ip_address"), _sum("ip_address"), _sum("username")
        return super().get_queryset(request).annotate(of_pair=of_pair, of_address=of_address, of_name=of_name)

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
        counted = counted_failures(row.of_pair or 0, row.of_address or 0, row.of_name or 0)
        left = settings.AXES_FAILURE_LIMIT - counted
        if left > 0:
            return badge(f"{left} left", "warn")
        return badge(f"locked out until {until:%H:%M} UTC", "bad")


@register(AccessFailureLog)
class AccessFailureLogAdmin(_SignIns):
    list_display = (moment("attempt_time"), "ip_address", "username", "shown_lockout", "path_info", "shown_agent")
    list_filter = ("locked_out", "attempt_time")
    fields = (*_SignIns.fields, "locked_out")

    @display(description="lockout")
    def shown_lockout(self, row: AccessFailureLog) -> str:
        return badge("locked out", "bad") if row.locked_out else "–"


@register(AccessLog)
class AccessLogAdmin(_SignIns):
    list_display = (moment("attempt_time"), "username", "ip_address", moment("logout_time"), "path_info", "shown_agent")
    readonly_fields = ("attempt_time", "logout_time")
    fields = (*_SignIns.fields, "logout_time")
