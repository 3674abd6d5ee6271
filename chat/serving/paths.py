"""Where the bot's pages are: at the root of a project of its own, or below the path at which another includes them."""

from functools import cache

from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse


def root() -> str:
    """Return the path of the chat page within the site, such as `/` or `/fabra/`."""
    return _root(get_urlconf())


@cache
def _root(urlconf: str | None) -> str:
    return "/" + reverse("chat:chat-page", urlconf=urlconf).removeprefix(get_script_prefix())


def own_path(path_info: str) -> str:
    """Return a request's path as if the bot's pages were at the root; "" for a path that is none of theirs."""
    try:
        prefix = root()
    except NoReverseMatch:  # URLs that do not include them, such as a test's
        return ""
    return path_info[len(prefix) - 1 :] if path_info.startswith(prefix) else ""
