"""Admin of how sites sign their users: the secret is shown once, and made anew by an action."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from chat.models import ApiKey, UserSigning
from common.admin.base import moment
from common.admin.html import badge
from common.admin.site import register
from events.admin.secrets import SecretAdmin

HS256, EDDSA = UserSigning.Algorithm.HS256, UserSigning.Algorithm.EDDSA


class UserSigningForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = UserSigning
        fields = ("key", "algorithm", "public_keys", "user_prefix")
        widgets = {
            "public_keys": UnfoldAdminTextareaWidget(attrs={"rows": 5, "class": "fb-mono", "spellcheck": "false"})
        }
        labels = {"public_keys": "Public key (PEM)"}


@register(UserSigning)
class UserSigningAdmin(SecretAdmin):
    form = UserSigningForm
    list_display = ("key", "user_prefix", "shown_algorithm", "shown_secrets", moment("rotated_at"))
    list_select_related = ("key",)
    search_fields = ("key__name",)
    actions = ("rotate", "end_previous")
    readonly_fields = ("shown_secrets", "rotated_at", "created_at")

    def get_fieldsets(self, request: HttpRequest, obj: UserSigning | None = None) -> Any:
        once = (
            "A secret is shown once, after you save. The site signs tokens with it, which say who its visitor is. Its"
            " users have a prefix here, so that they are nobody else; it can be changed afterwards."
        )
        if obj is None:
            return ((None, {"fields": ("key", "algorithm", "public_keys"), "description": once}),)
        shown = (("shown_secrets", "rotated_at"), "created_at")
        fields = (("key", "algorithm"), "user_prefix", "public_keys")
        return ((None, {"fields": fields}), ("Secret", {"fields": shown}))

    def get_readonly_fields(self, request: HttpRequest, obj: UserSigning | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "key", "algorithm") if obj else self.readonly_fields

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "key":
            kwargs["queryset"] = ApiKey.objects.usable().filter(kind=ApiKey.Kind.PUBLIC, signing=None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a key that is revoked ends it, too

    def save_model(self, request: HttpRequest, obj: UserSigning, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change and obj.algorithm == HS256:
            self.show_once(request, obj)

    @action(description="Make a new secret; the present one stays valid for a while", permissions=["rotate"])
    def rotate(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        super().rotate(request, rows.filter(algorithm=HS256))
        for row in rows.filter(algorithm=EDDSA):
            self.message_user(request, f"{row}: add the site's next public key below the present one.", messages.INFO)

    @display(description="algorithm")
    def shown_algorithm(self, row: UserSigning) -> str:
        return badge(row.algorithm, "info")

    @display(description="valid secrets")
    def shown_secrets(self, row: UserSigning) -> str:
        if row.algorithm == HS256:
            return super().shown_secrets(row)
        return f"{len(row.verification_keys())}, of the site"
