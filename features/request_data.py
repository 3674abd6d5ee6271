"""What is known of the request that a feature is read for: given with the read, or by those further up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

# A context variable, because a context's function does not pass it on to the features that it reads.
_data: ContextVar[Mapping[str, Any]] = ContextVar("request_data", default=MappingProxyType({}))


@contextmanager
def request_data(**data: Any) -> Iterator[None]:
    """Give the on-demand features that are read in the block these data, beside those of an outer block."""
    token = _data.set({**_data.get(), **data})
    try:
        yield
    finally:
        _data.reset(token)


def current_request_data() -> Mapping[str, Any]:
    return _data.get()
