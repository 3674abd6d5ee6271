"""Where webhooks come in: the app whose view receives them registers the name of its URL."""

from django.urls import reverse

from common.definitions import add_once

_url_names: list[str] = []


def register_receiver(url_name: str) -> None:
    """Register the name of a URL whose one argument is the name of a webhook source."""
    add_once(_url_names, url_name)


def receiving_path(source: str) -> str:
    """Return the path that a source's sender posts to; empty if no app receives webhooks."""
    return reverse(_url_names[-1], args=[source]) if _url_names else ""
