"""Middleware of the project."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import BadRequest, TooManyFieldsSent
from django.db import DataError
from django.http import HttpRequest
from django.middleware.common import CommonMiddleware
from django.urls import get_resolver
from django.utils.decorators import sync_and_async_middleware


class SlashMiddleware(CommonMiddleware):
    """Add a missing last slash by a redirect, which only GET and HEAD can follow; others are not found.

    Django's own raises an error for them in development, which a client gets as a 500.
    """

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return request.method in ("GET", "HEAD") and super().should_redirect_with_slash(request)


@sync_and_async_middleware
def too_many_fields(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer 400 where a request has more fields than Django reads, in development, too.

    Django's page for the error reads the fields again, which raises the error outside of all that answers one.
    """
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            try:
                return await get_response(request)
            except TooManyFieldsSent as error:
                return _bad_request(request, error)

        return answer

    def answer_now(request: HttpRequest) -> Any:
        try:
            return get_response(request)
        except TooManyFieldsSent as error:
            return _bad_request(request, error)

    return answer_now


def _bad_request(request: HttpRequest, error: Exception) -> Any:
    handler: Any = get_resolver().resolve_error_handler(400)
    return handler(request, exception=error)


@sync_and_async_middleware
def no_store(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Have no cache keep an answer whose view does not say otherwise: it may be about one user."""
    if iscoroutinefunction(get_response):

        async def answer(request: HttpRequest) -> Any:
            return _uncached(await get_response(request))

        return answer
    return lambda request: _uncached(get_response(request))


def _uncached(response: Any) -> Any:
    response.headers.setdefault("Cache-Control", "no-store")
    return response


class DataErrorMiddleware:
    """Answer 400 where PostgreSQL refused a value that the request brought: it is the caller's fault, not ours.

    A number out of range, a text that is too long or a NUL in an address would else be a server error.
    """

    async_capable = sync_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if isinstance(exception, DataError):
            raise BadRequest("A value of the request cannot be stored or compared.") from None
