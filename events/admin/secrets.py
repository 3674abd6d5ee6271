"""What the pages of webhook sources and endpoints share: a secret that is shown once, and made anew by an action."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import action, display

from common.admin.base import ListAdmin
from common.admin.html import one_line
from events.models.signing import SigningSecret


class SecretAdmin(ListAdmin):
    """Show a secret once, after it was made, and how many are valid."""

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def show_once(self, request: HttpRequest, row: Any) -> None:
        text = '{}: copy its secret now, it is not shown again: <code class="fb-key">{}</code>'
        self.message_user(request, format_html(text, row.name, row.secret), messages.WARNING)

    @action(description="Make a new secret; the present one stays valid for a while", permissions=["rotate"])
    def rotate(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        for row in rows:
            row.rotate()
            self.show_once(request, row)

    @action(description="End the previous secret now", permissions=["rotate"])
    def end_previous(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        count = sum(row.end_previous() for row in rows)
        self.message_user(request, f"{count} ended.", messages.SUCCESS if count else messages.WARNING)

    @display(description="valid secrets")
    def shown_secrets(self, row: SigningSecret) -> str:
        if not row.has_previous:
            return "one"
        return one_line(f"two, the previous until {row.previous_until:%Y-%m-%d %H:%M} UTC")
