"""The admin site that has the bot's pages: the project's own, or one beside it that leaves the project's as it is."""

from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest
from django.template.backends.django import DjangoTemplates, Template
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from unfold.sites import UnfoldAdminSite

_LOGIN = "admin/fabra_login.html"
_CONTEXT_PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]


class BesideAdminSite(UnfoldAdminSite):
    """Unfold's admin in a project whose own admin has another look.

    Unfold's templates have the names of Django's. The project finds Django's, since `unfold` stands behind
    `django.contrib.admin` in INSTALLED_APPS; this site looks for them in Unfold first.
    """

    settings_name = "FABRA_UNFOLD"
    login_template = _LOGIN

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def themed(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            request.current_app = self.name
            return _in_theme(inner(request, *args, **kwargs))

        return themed

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return _in_theme(super().login(request, extra_context))


def _in_theme(response: Any) -> Any:
    """Have a response that is not rendered yet use the templates of the theme."""
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        names = response.template_name
        if isinstance(names, str | list | tuple):
            response.template_name = _select([names] if isinstance(names, str) else names)
    return response


def _select(names: Any) -> Any:
    return Template(_theme().engine.select_template(list(names)), _theme())


@cache
def _theme() -> DjangoTemplates:
    """Return an engine that finds a template in Unfold before any other app, but for those of the bot's own."""
    folders = [Path(config.path) / "templates" for config in apps.get_app_configs() if config.label in _OWN]
    parameters = {
        "NAME": "fabra_admin",
        "DIRS": [*folders, Path(apps.get_app_config("unfold").path) / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": _CONTEXT_PROCESSORS},
    }
    return DjangoTemplates(parameters)


_OWN = ("common", "events", "features", "retrieval", "contexts", "chat")


def _make_site() -> AdminSite:
    if not settings.FABRA_OWN_PROJECT:
        return BesideAdminSite(name="fabra_admin")
    admin.site.login_template = _LOGIN
    return admin.site


site = _make_site()


def render(request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
    """Return a page of the site, which is rendered later, with the site's theme."""
    return TemplateResponse(request, template, context)


def register(*models: Any) -> Callable[[type[Any]], type[Any]]:
    """Register a ModelAdmin at the bot's site, as `admin.register` does at the project's."""
    return admin.register(*models, site=site)


def reverse_admin(name: str, *args: Any) -> str:
    """Return the address of a page of the bot's site, such as `chat_feedback_change`."""
    return reverse(f"admin:{name}", args=args, current_app=site.name)
