"""Admin of the bots: a form with a preview of the page as it will look."""

from typing import Any

from django.conf import settings
from django.forms import Media
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import override
from unfold.decorators import display

from chat.admin.bot_forms import BotForm, text_fields
from chat.bots.languages import offered_languages
from chat.bots.look import language_of_page, logo_url, look_of
from chat.embed.framing import allow_own_frames
from chat.models import ApiKey, Bot
from chat.page.texts import page_texts
from common.admin.base import ListAdmin
from common.admin.html import badge, code
from common.admin.permissions import needs
from common.admin.site import register


@register(Bot)
class BotAdmin(ListAdmin):
    form = BotForm
    change_form_template = "admin/chat/bot/change_form.html"
    list_display = ("shown_name", "shown_page", "state", "shown_context", "shown_index", "shown_model")
    list_display_links = ("shown_name",)
    list_defer = ("logo",)
    search_fields = ("name", "slug")
    ordering = ("pk",)
    sortable_by = ()

    def get_fieldsets(self, request: HttpRequest, obj: Bot | None = None) -> Any:
        look = ("name", ("accent", "accent_dark"), "logo_file", *(["removes_logo"] if obj and obj.logo_digest else []))
        languages = offered_languages(obj.texts if obj else {})
        return (
            (None, {"fields": ("slug", "is_enabled")}),
            ("How it looks", {"fields": (*look, "language")}),
            *((f"What it says: {language}", {"fields": text_fields(code)}) for code, language in languages),
            ("What it answers from", {"fields": ("context", "index", "model")}),
            ("Whom its page offers", {"fields": ("demo_users",)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Bot | None = None) -> list[str]:
        return ["slug", *(["is_enabled"] if obj.is_default else [])] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_default = isinstance(obj, Bot) and obj.is_default
        return not is_default and super().has_delete_permission(request, obj)

    @property
    def media(self) -> Media:
        return super().media + Media(js=["admin/bot.js"])

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.preview)
        return [path("preview/", view, name="chat_bot_preview"), *super().get_urls()]

    @needs("view")
    def preview(self, request: HttpRequest) -> HttpResponseBase:
        """Return the page of a saved bot, or of none, for the form's frame, which tells it what is typed."""
        bot = self.get_queryset(request).filter(slug=request.GET.get("slug", "").replace("\x00", "")).first() or Bot()
        known = dict(settings.LANGUAGES)
        asked = request.GET.get("language", "")
        with override(language_of_page(bot, asked if asked in known else "")):
            page: dict[str, Any] = {
                "bot": look_of(bot), "preview_of": True, "has_model": True, "has_people": True, "texts": page_texts(),
                "deadline_s": settings.FABRA_CHAT_DEADLINE_S, "message_max_chars": settings.FABRA_MESSAGE_MAX_CHARS,
            }  # fmt: skip
            response = render(request, "chat/page.html", page)
        return allow_own_frames(response)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        bot = self.get_object(request, object_id) if object_id else None
        languages = offered_languages(bot.texts if isinstance(bot, Bot) else {})
        extra: dict[str, Any] = {"languages": languages, **(extra_context or {})}
        if isinstance(bot, Bot) and self.has_view_permission(request, bot):
            extra |= {"page_url": _page_url(bot), "page_address": request.build_absolute_uri(_page_url(bot))}
            if request.user.has_perm("chat.view_apikey"):
                extra["keys"] = ApiKey.objects.usable().filter(bot=bot.slug)
        return super().changeform_view(request, object_id, form_url, extra)

    @display(description="bot")
    def shown_name(self, row: Bot) -> str:
        return format_html(
            '<span class="fb-bot"><img src="{}" alt="" width="24" height="24"><b>{}</b></span>', logo_url(row), str(row)
        )

    @display(description="page")
    def shown_page(self, row: Bot) -> str:
        url = _page_url(row)
        return format_html('<a class="fb-link" href="{}">{}</a>', url, url)

    @display(description="state")
    def state(self, row: Bot) -> str:
        return badge("enabled" if row.is_enabled else "disabled")

    @display(description="context")
    def shown_context(self, row: Bot) -> str:
        return code(row.context) if row.context else "of the settings"

    @display(description="index")
    def shown_index(self, row: Bot) -> str:
        return code(row.index) if row.index else "the context's"

    @display(description="model")
    def shown_model(self, row: Bot) -> str:
        return code(row.model) if row.model else "the first"


def _page_url(bot: Bot) -> str:
    return reverse("chat:chat-page") if bot.is_default else reverse("chat:bot-page", args=[bot.slug])
