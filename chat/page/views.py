"""The chat page."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.views.generic import TemplateView

from chat.access import visitors
from chat.access.permissions import may_chat, may_choose_user, may_trace
from chat.models import Customer
from chat.page.suggestions import suggested_questions
from chat.page.texts import page_texts
from chat.providers.configured import configured_models_now
from common.admin.site import reverse_admin

_SAMPLE_USERS = 12


class ChatPage(TemplateView):
    template_name = "chat/page.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not may_chat(request.user, request.META):
            return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
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
        return super().get_context_data(**kwargs) | {
            "users": list(Customer.objects.all()[:_SAMPLE_USERS]) if may_choose else [],
            "user_id": visitors.user_id_of(request.user, self.visitor),
            "has_model": bool(models),
            "model": models[0].model if models else "",
            "is_staff": request.user.is_staff,
            "may_trace": may_trace(request.user, request.META),
            "trace_url": f"{reverse_admin('index')}contexts/trace/",
            "texts": page_texts(),
            "suggestions": suggested_questions(),
            "deadline_s": settings.FABRA_CHAT_DEADLINE_S,
            "message_max_chars": settings.FABRA_MESSAGE_MAX_CHARS,
        }
