"""The chat page."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.views.generic import TemplateView

from chat.access import may_chat, may_choose_user, user_id_of
from chat.models import Customer

_SAMPLE_USERS = 12


class ChatPage(TemplateView):
    template_name = "chat/page.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not may_chat(request.user, request.META):
            return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
        if not request.user.is_authenticated and not request.session.session_key:
            request.session.create()  # a visitor's rate limit is counted by session
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        request = self.request
        may_choose = may_choose_user(request.user, request.META)
        return super().get_context_data(**kwargs) | {
            "users": list(Customer.objects.all()[:_SAMPLE_USERS]) if may_choose else [],
            "user_id": user_id_of(request.user, request.session.session_key),
            "has_model": bool(settings.OPENAI_API_KEY),
            "model": settings.FABRA_CHAT_MODEL,
            "is_staff": request.user.is_staff,
            "may_trace": may_choose,
            "deadline_s": settings.FABRA_CHAT_DEADLINE_S,
            "message_max_chars": settings.FABRA_MESSAGE_MAX_CHARS,
        }
