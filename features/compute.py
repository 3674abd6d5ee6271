"""Run a feature's function for one or many entities; an exception is an error of the entities it was called for."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from common.calling import call
from features.errors import FeatureComputeError, FeatureValueRefused
from features.registry import FeatureSpec
from features.value_types import InvalidFeatureValue

_MAX_CALLS = 40
"""The most calls for one failing batch: enough to isolate one or two bad keys of 500."""


@dataclass(kw_only=True)
class Computed:
    """The results of a feature's function; each entity key is either in `values` or in `errors`."""

    values: dict[str, Any] = field(default_factory=dict)
    """In JSON's own types."""
    errors: dict[str, FeatureComputeError] = field(default_factory=dict)
    defaulted: int = 0
    """The number of keys missing from a batch function's result: their value is the default, or None."""

    def add(self, other: "Computed") -> None:
        self.values |= other.values
        self.errors |= other.errors
        self.defaulted += other.defaulted


async def run_function(
    spec: FeatureSpec,
    entity_key: str,
    event: Any = None,
    *,
    as_of: datetime | None = None,
    executor: ThreadPoolExecutor | None = None,
) -> Any:
    """Return the feature's value for one entity, in JSON's own types; raise FeatureComputeError.

    It is FeatureValueRefused for a value that cannot be stored, else from what the function raised.
    """
    if spec.is_batch:
        computed = await run_batch(spec, [entity_key], as_of=as_of, executor=executor)
        if entity_key in computed.errors:
            raise computed.errors[entity_key]
        return computed.values[entity_key]
    args = (entity_key, event) if spec.takes_event else (entity_key,)
    return _encoded(spec, await _called(spec, args, as_of, executor))


async def run_on_demand(
    spec: FeatureSpec, entity_key: str, inputs: Mapping[str, Any], request: Mapping[str, Any]
) -> Any:
    """Return an on-demand feature's value, in JSON's own types; raise FeatureComputeError as `run_function` does."""
    named = {"request": request} if spec.takes_request else {}
    return _encoded(spec, await _called(spec, (entity_key,), None, None, **inputs, **named))


async def compute_values(
    spec: FeatureSpec, keys: Sequence[str], *, as_of: datetime | None = None, executor: ThreadPoolExecutor | None = None
) -> Computed:
    """Compute many entities, with `spec.concurrency` calls at once; a failure does not stop the others."""
    semaphore, result = asyncio.Semaphore(spec.concurrency), Computed()

    async def one(key: str) -> None:
        async with semaphore:
            try:
                result.values[key] = await run_function(spec, key, as_of=as_of, executor=executor)
            except FeatureComputeError as error:
                result.errors[key] = error

    async def batch(part: Sequence[str]) -> None:
        async with semaphore:
            result.add(await run_batch(spec, part, as_of=as_of, executor=executor))

    async with asyncio.TaskGroup() as group:
        if spec.batch_size is None:
            for key in keys:
                group.create_task(one(key))
        else:
            for part in in_parts(keys, spec.batch_size):
                group.create_task(batch(part))
    return result


async def run_batch(
    spec: FeatureSpec, keys: Sequence[str], *, as_of: datetime | None = None, executor: ThreadPoolExecutor | None = None
) -> Computed:
    """Call a batch function once; if it fails, halve the batch repeatedly to isolate the bad keys.

    After _MAX_CALLS calls the remaining parts fail, so that a source that is down is not called for
    each key. A value that JSON cannot represent is an error of its own key only.
    """
    result, parts, calls = Computed(), deque([list(keys)]), 0
    while parts:
        part = parts.popleft()
        calls += 1
        try:
            answer = await _called(spec, (list(part),), as_of, executor)
        except FeatureComputeError as error:
            if len(part) == 1 or calls + len(parts) + 2 > _MAX_CALLS:
                result.errors |= dict.fromkeys(part, error)
            else:
                middle = len(part) // 2
                parts += [part[:middle], part[middle:]]
        else:
            result.add(_by_key(spec, part, answer))
    return result


def in_parts(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield the keys in parts of at most `size`."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def reason(error: FeatureComputeError) -> str:
    """Return the exception of the function as text, for operators only."""
    return repr(error.__cause__ or error)[:500]


async def _called(
    spec: FeatureSpec,
    args: tuple[Any, ...],
    as_of: datetime | None,
    executor: ThreadPoolExecutor | None,
    **named: Any,
) -> Any:
    if spec.takes_as_of:
        named["as_of"] = as_of or datetime.now(UTC)
    try:
        return await call(spec.function, *args, executor=executor, **named)
    except Exception as error:  # a user's function may raise anything; it is a failed computation
        raise FeatureComputeError(f"The feature {spec.name!r} failed with {type(error).__name__}.") from error


def _encoded(spec: FeatureSpec, value: Any) -> Any:
    try:
        return spec.value_type.encode(value)
    except InvalidFeatureValue as error:
        raise FeatureValueRefused(str(error)) from error


def _by_key(spec: FeatureSpec, keys: Sequence[str], answer: Any) -> Computed:
    """Return the result by key; all keys fail unless it is a dict, or a list with one value for each key."""
    if isinstance(answer, list | tuple) and len(answer) == len(keys):
        answer = dict(zip(keys, answer, strict=True))
    elif not isinstance(answer, dict):
        got = (
            f"{len(answer)} values for {len(keys)} keys" if isinstance(answer, list | tuple) else type(answer).__name__
        )
        error = FeatureComputeError(
            f"The feature {spec.name!r} must return a dict by key or a list of one value for each key, not {got}."
        )
        return Computed(errors=dict.fromkeys(keys, error))
    result = Computed(defaulted=sum(key not in answer for key in keys))
    for key in keys:
        try:
            result.values[key] = _encoded(spec, answer[key]) if key in answer else spec.default_json
        except FeatureComputeError as error:
            result.errors[key] = error
    return result
