"""Admin of the handover to people: one row of settings, with the support hours."""

from typing import Any

from django.http import HttpRequest
from unfold.admin import TabularInline

from chat.models import HandoverSettings, SupportHours
from common.admin.base import ListAdmin
from common.admin.site import register


class SupportHoursInline(TabularInline):
    model = SupportHours
    extra = 0
    fields = ("weekday", "opens", "closes")


@register(HandoverSettings)
class HandoverSettingsAdmin(ListAdmin):
    list_display = ("__str__", "time_zone", "unanswered_after_min")
    inlines = (SupportHoursInline,)
    fields = ("unanswered_after_min", "time_zone")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # `migrate` makes the one row

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
