"""The chat page."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.views import LoginView, redirect_to_login
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.translation import override
from django.views.generic import TemplateView

from chat.access import visitors
from chat.access.permissions import may_chat, may_choose_user, may_trace
from chat.bots.demo_users import demo_users_of
from chat.bots.look import language_of_page, look_of, read_bot
from chat.errors import BotNotFound
from chat.models import DEFAULT_BOT, Bot, HandoverSettings
from chat.page.texts import page_texts
from chat.providers.configured import configured_models_now
from common.admin.site import reverse_admin


class ChatPage(TemplateView):
    """The page of a bot, which the address names; `/` is that of the default one."""

    template_name = "chat/page.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        slug = kwargs.get("slug", "")
        if slug == DEFAULT_BOT:
            return HttpResponseRedirect(reverse("chat:chat-page"))
        try:
            self.bot = read_bot(slug or DEFAULT_BOT)
        except BotNotFound:
            raise Http404 from None
        language = language_of_page(self.bot)
        with override(language):
            response = self._respond(request, *args, **kwargs)
            if not getattr(response, "is_rendered", True):
                response.render()  # type: ignore[attr-defined]  # in the bot's language
        response.headers["Content-Language"] = language
        return response

    def _respond(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not may_chat(request.user, request.META):
            return redirect_to_login(request.get_full_path(), _login_url())
        known = visitors.visitor_of(request.COOKIES)
        self.visitor = known or visitors.new_visitor()
        response = super().dispatch(request, *args, **kwargs)
        if not request.user.is_authenticated and known is None:
            visitors.remember(response, self.visitor)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        request = self.request
        may_choose = may_choose_user(request.user, request.META)
        models = configured_models_now()
        texts, look = page_texts(), look_of(self.bot)
        return super().get_context_data(**kwargs) | {
            "bot": look,
            "users": demo_users_of(self.bot) if may_choose else [],
            "user_id": visitors.user_id_of(request.user, self.visitor),
            "has_model": bool(models),
            "has_people": HandoverSettings.load().is_enabled,
            "is_staff": getattr(request.user, "is_staff", False),
            "may_trace": may_trace(request.user, request.META),
            "trace_url": f"{reverse_admin('index')}contexts/trace/",
            "texts": texts | ({"page_title": look.name} if look.name else {}),
            "deadline_s": settings.FABRA_CHAT_DEADLINE_S,
            "message_max_chars": settings.FABRA_MESSAGE_MAX_CHARS,
        }


def _login_url() -> str:
    """Return where the project signs people in; the bot's own page if it has no such page, as with Django's default."""
    try:
        url = resolve_url(settings.LOGIN_URL)
        if not urlsplit(url).netloc:
            resolve(urlsplit(url).path.removeprefix(get_script_prefix()[:-1]))
    except (NoReverseMatch, Resolver404):
        return reverse("chat:login")
    return url


class SignIn(LoginView):
    """The sign-in of the chat page, with the name and the picture of the bot that is to be opened."""

    template_name = "chat/login.html"
    next_page = "chat:chat-page"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"bot": look_of(self._bot())}

    def _bot(self) -> Bot:
        try:
            found = resolve(urlsplit(self.get_redirect_url()).path)
            return read_bot(found.kwargs["slug"] if found.url_name == "bot-page" else DEFAULT_BOT)
        except (Resolver404, BotNotFound):
            return read_bot()
