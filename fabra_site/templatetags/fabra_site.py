"""`{% fabra_widget %}`: the script of the chat, with the site's key."""

from contextlib import suppress
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from fabra_site.conf import setting

register = template.Library()


@register.simple_tag(takes_context=True)
def fabra_widget(context: template.Context, **attributes: Any) -> SafeString:
    """Return the script element; each argument is an attribute of the widget, such as `accent="#0b6e69"`.

    The address of the token is added where the project includes `fabra_site.urls`, and the nonce of the page's content
    security policy where the request has one.
    """
    given = {"key": setting("PUBLIC_KEY")} | attributes
    with suppress(NoReverseMatch):  # without it every visitor is anonymous
        given.setdefault("token_url", reverse("fabra_site:token"))
    data = format_html_join(" ", 'data-{}="{}"', ((name.replace("_", "-"), value) for name, value in given.items()))
    nonce = getattr(context.get("request"), "csp_nonce", None)
    source = f"{setting('BOT_URL').rstrip('/')}/widget.js"
    return format_html(
        '<script src="{}" {}{} async></script>', source, data, format_html(' nonce="{}"', nonce) if nonce else ""
    )
