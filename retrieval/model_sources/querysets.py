"""Which querysets a source can have: its objects are looked up in them by their keys, and read in the keys' order."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

from django.core.exceptions import FieldError
from django.db import NotSupportedError, connections, models
from django.db.models.manager import BaseManager
from django.db.models.query import ModelIterable

from common.model_changes import related_classes
from retrieval.model_sources.declaration import ModelSourceSpec


class _Queried(Exception):
    """A statement was about to be sent."""


def why_unfit(source: ModelSourceSpec) -> str:
    """Return why the source's queryset cannot be read, "" where nothing is wrong or known; no statement is sent.

    A queryset() that itself asks the database, or that fails for want of a tenant, is not looked at.
    """
    try:
        with _no_statements():
            return _why_unfit(source, source.queryset())
    except FieldError as error:
        return f"it raises {type(error).__name__}: {error}"
    except Exception:  # of queryset(), or a filter() of its own: the first comparison says what
        return ""


def _why_unfit(source: ModelSourceSpec, rows: Any) -> str:
    rows = rows.all() if isinstance(rows, BaseManager) else rows
    if not isinstance(rows, models.QuerySet):
        return f"it returns a {type(rows).__name__}"
    if rows.model not in related_classes(source.model):
        return f"it returns rows of {rows.model.__name__}, and the source is one of {source.model.__name__}"
    # As Prefetch of Django finds it out.
    if not issubclass(rows._iterable_class, ModelIterable):
        return "it ends in values(), values_list() or the like, which give no objects"
    pk = source.model._meta.pk
    if rows.query.distinct_fields and rows.query.distinct_fields[0] not in ("pk", pk.name, pk.attname):
        return f"it ends in distinct({', '.join(map(repr, rows.query.distinct_fields))}), which cannot be read by keys"
    try:
        rows.filter(pk__in=[]).order_by("pk")
    except (TypeError, NotSupportedError) as error:
        return str(error).rstrip(".")
    return ""


@contextmanager
def _no_statements() -> Iterator[None]:
    def refuse(*args: Any) -> NoReturn:
        raise _Queried

    with ExitStack() as stack:
        for connection in connections.all():
            if connection.connection is None:
                stack.callback(connection.close)  # what is sent first to a new connection was refused, too
            stack.enter_context(connection.execute_wrapper(refuse))
        yield
