"""The picture of a bot."""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from chat.models import Bot

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""A picture that is opened by itself runs nothing."""
_A_YEAR_S = 365 * 24 * 3600


@require_safe
def logo(request: HttpRequest, slug: str) -> HttpResponse:
    """Return the picture; the address with its digest may be kept for a year, since another picture has another."""
    known = Bot.objects.filter(slug=slug).exclude(logo_digest="").values("logo_digest", "logo_type").first()
    if known is None:
        raise Http404
    etag = f'"{known["logo_digest"]}"'
    if request.headers.get("If-None-Match") == etag:
        response: HttpResponse = HttpResponseNotModified()
    else:
        picture = Bot.objects.filter(slug=slug).values_list("logo", flat=True).get()
        response = HttpResponse(bytes(picture or b""), content_type=known["logo_type"])
        response["Content-Security-Policy"] = _POLICY
        response["Content-Disposition"] = "inline"
    response["ETag"] = etag
    if request.GET.get("v") == known["logo_digest"]:
        patch_cache_control(response, public=True, max_age=_A_YEAR_S, immutable=True)
    else:
        patch_cache_control(response, public=True, max_age=60)
    return response
