"""What other sites load: the widget's script, and the chat page for its frame."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import get_language, get_supported_language_variant, override
from django.views.decorators.cache import cache_control
from django.views.decorators.http import condition, require_safe

from chat.access.origins import as_sources, is_one_of
from chat.access.site_sessions import is_for_pages
from chat.bots.look import language_of_page, look_of, read_bot
from chat.embed.framing import allow_frames
from chat.embed.texts import widget_texts
from chat.errors import BotNotFound
from chat.models import DEFAULT_BOT, ApiKey, Bot, HandoverSettings
from chat.page.texts import page_texts

_TEXTS = "/* texts */ {}"
"""Where the widget's script has its texts put in."""


def _etag(request: HttpRequest) -> str:
    return f'"{hashlib.sha256(_script().encode()).hexdigest()[:32]}"'


@require_safe
@cache_control(public=True, max_age=300)
@condition(etag_func=_etag)
def widget_script(request: HttpRequest) -> HttpResponse:
    """Return the script that a site includes; it loads nothing until its visitor opens the chat."""
    response = HttpResponse(_script(), content_type="text/javascript; charset=utf-8")
    response["Cross-Origin-Resource-Policy"] = "cross-origin"  # for sites that isolate themselves (COEP)
    return response


@require_safe
def embedded_page(request: HttpRequest) -> HttpResponseBase:
    """Return the chat page for a frame of a site: `?key=` is its public key, `?origin=` the page that opens it.

    Only pages of the key's origins may show it. Who has the page is decided later, by its script: it has no cookie.
    """
    given, origin = request.GET.get("key", ""), request.GET.get("origin", "")
    with override(_language_of(request)):
        key = ApiKey.authenticate(given)
        if key is None or not is_for_pages(key):
            return _refused(request, origin, "invalid_api_key", 401)
        if not is_one_of(origin, key.origins):
            return _refused(request, origin, "origin_forbidden", 403)
        try:
            bot = read_bot(key.bot or DEFAULT_BOT)
        except BotNotFound:
            return _refused(request, origin, BotNotFound.code, 404)
        with override(language_of_page(bot)):
            response = render(request, "chat/page.html", _page_of(key, bot, given, origin))
    return allow_frames(response, key.origins)


def _page_of(key: ApiKey, bot: Bot, given: str, origin: str) -> dict[str, Any]:
    return {
        "bot": look_of(bot, key.indexes[0] if key.indexes else ""),
        "site_key": given,
        "site_origin": as_sources([origin])[0],
        "has_people": HandoverSettings.load().is_enabled,
        "has_model": True,  # how the answers are made is the operator's business
        "texts": page_texts() | ({"page_title": bot.name} if bot.name else {}),
        "deadline_s": settings.FABRA_CHAT_DEADLINE_S,
        "message_max_chars": settings.FABRA_MESSAGE_MAX_CHARS,
    }


def _refused(request: HttpRequest, origin: str, code: str, status: int) -> HttpResponseBase:
    """Return a page with nothing in it but a sentence; any site may show it, so that its widget learns the code."""
    sources = as_sources([origin])
    context = {"code": code, "site_origin": sources[0] if sources else ""}
    return allow_frames(render(request, "chat/refused.html", context, status=status), sources)


def _language_of(request: HttpRequest) -> str:
    """Return the language that the widget asks for, or else the browser's."""
    try:
        return get_supported_language_variant(request.GET.get("language", ""))
    except LookupError:
        return get_language() or settings.LANGUAGE_CODE


def _script() -> str:
    return _read_script() if not settings.DEBUG else _read_script.__wrapped__()


@cache
def _read_script() -> str:
    path = finders.find("widget/widget.js")
    return Path(str(path)).read_text().replace(_TEXTS, json.dumps(widget_texts(), ensure_ascii=False), 1)
