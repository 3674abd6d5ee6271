"""Where the bot's pages are: at the root of a project of its own, or below the path at which another includes them."""

from contextvars import copy_context
from functools import cache
from typing import Any

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.translation import override


def roots() -> tuple[str, ...]:
    """Return the paths of the chat page within the site: `/` or `/fabra/`, and in i18n_patterns one of each language.

    Raise NoReverseMatch for URLs that do not include the bot's.
    """
    return _roots(get_urlconf())


@cache
def _roots(urlconf: str | None) -> tuple[str, ...]:
    """Find the paths in a context of their own, since an ASGI server's requests inherit the one of its start.

    Each of Django's 50 URL resolvers leaves a variable in the context that uses it first, and asgiref looks at them
    all at each change between async and sync code: 2 ms of a chat, which changes 48 times.
    """
    return copy_context().run(_found, urlconf)


def _found(urlconf: str | None) -> tuple[str, ...]:
    if not is_language_prefix_patterns_used(urlconf or settings.ROOT_URLCONF)[0]:
        return (_root(urlconf),)
    found = []
    for language, _name in settings.LANGUAGES:
        with override(language):
            found.append(_root(urlconf))
    return tuple(dict.fromkeys(found))


def _root(urlconf: str | None) -> str:
    return "/" + reverse("chat:chat-page", urlconf=urlconf).removeprefix(get_script_prefix())


def own_path(path_info: str) -> str:
    """Return a request's path as if the bot's pages were at the root; "" for a path that is none of theirs."""
    try:
        prefixes = roots()
    except NoReverseMatch:  # URLs that do not include them, such as a test's
        return ""
    for prefix in prefixes:
        if path_info.startswith(prefix):
            return path_info[len(prefix) - 1 :]
    return ""


def own_path_of(scope: Any) -> str:
    """Return the own path of an ASGI scope, whose path begins with the prefix under which a server runs the project."""
    return own_path(path_info_of(scope))


def path_info_of(scope: Any) -> str:
    """Return the path within the project, as Django's ASGIRequest has it as `path_info`."""
    prefix: str = settings.FORCE_SCRIPT_NAME or scope.get("root_path", "")
    path: str = scope["path"]
    return path.removeprefix(prefix.rstrip("/")) if prefix else path
