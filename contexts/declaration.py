"""Declare a function as a context."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from django.conf import settings

from common.definitions import Location
from common.durations import Duration, parse_duration
from common.errors import DefinitionError
from contexts.assembly import FEATURES, assemble
from contexts.items import Context
from contexts.registry import ContextSpec, contexts
from features.feature_sets import FeatureSet


def context(
    store: Any = None,
    *,
    name: str | None = None,
    max_tokens: int = 4000,
    model: str | None = None,
    freshness_sla: Duration | None = None,
    freshness_strict: bool = False,
    overflow: Literal["raise", "allow"] = "raise",
    features: FeatureSet | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Awaitable[Context]]]:
    """Declare a function as a context: it returns ContextItems, and a call returns the assembled Context.

    The function may be async or plain; the call is awaited. `max_tokens` is the budget of the kept items with what
    joins them, in tokens of `model` (default: FABRA_CHAT_MODEL), which is also the first one that a chat asks, if it is
    configured. Where required items exceed it, `overflow` decides: "raise" BudgetExceeded, or "allow" them.

    Data older than `freshness_sla` (a timedelta, or a text such as "5m") is reported in the trace and in the response's
    `X-Fabra-Freshness`; with `freshness_strict` it is an error. contexts.freshness defines age.

    If the function returns an assembled Context, the call returns it unchanged, with the budget and the freshness_sla
    that it was assembled under. With a feature set as `features` the function's parameter `features` gets its values by
    name, of the entity that another parameter names.

    A call raises BudgetExceeded, FreshnessViolation, TraceNotWritten, or what the function raised; each leaves a trace.
    Raise DefinitionError for arguments that cannot work.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Awaitable[Context]]:
        label = name or function.__name__
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
            raise DefinitionError(f"max_tokens of {label!r} must be a positive whole number, not {max_tokens!r}.")
        if overflow not in ("raise", "allow"):
            raise DefinitionError(f'overflow of {label!r} must be "raise" or "allow", not {overflow!r}.')
        if freshness_strict and freshness_sla is None:
            raise DefinitionError(f"{label!r} is freshness_strict about nothing; give it a freshness_sla.")
        signature = inspect.signature(function)
        _check_features(label, features, signature)
        spec = ContextSpec(
            name=label,
            function=function,
            signature=signature,
            max_tokens=max_tokens,
            model=model or settings.FABRA_CHAT_MODEL,
            asked_model=model or "",
            overflow=overflow,
            freshness_sla=parse_duration(freshness_sla, f"freshness_sla of {label!r}"),
            freshness_strict=freshness_strict,
            description=inspect.getdoc(function) or "",
            location=Location.of(function),
            features=features,
        )
        contexts.add(label, spec)

        @functools.wraps(function)
        async def assembled(*args: Any, **kwargs: Any) -> Context:
            return await assemble(spec, args, kwargs)

        return assembled

    return declare


def _check_features(label: str, features: Any, signature: inspect.Signature) -> None:
    if features is None:
        return
    if not isinstance(features, FeatureSet):
        raise DefinitionError(f"features of {label!r} must be a feature set, not {features!r}; see feature_set().")
    for name in (features.entity.key, FEATURES):
        if name not in signature.parameters:
            raise DefinitionError(
                f"The context {label!r} has the features of {features.name!r}: its function takes "
                f"`{features.entity.key}`, by which they are read, and `{FEATURES}`, but it takes {signature}."
            )
