"""Where the widget gets the token of whoever is signed in to this site."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from fabra_site.tokens import token_for


@require_GET
@never_cache
def token(request: HttpRequest) -> JsonResponse:
    """Return `{"token"}`, null if nobody is signed in. Other sites cannot read it: the answer allows no origin."""
    user = getattr(request, "user", None)
    return JsonResponse({"token": token_for(user) if user is not None and user.is_authenticated else None})
