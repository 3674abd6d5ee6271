"""The type of a feature's values: declared by the return annotation of its function, it reads and writes their JSON.

A value is served as it was decoded from JSON, also on its first read, so that all reads give the same.
"""

import dataclasses
import inspect
import re
import sys
import types
import typing
from collections import abc
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Union

from django.db.models import QuerySet
from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from common.errors import InvalidInput
from common.validation import to_json
from features.plain_json import NotStorable, check_offset, is_numpy, plain, python_values

_UNTYPED = (Any, object, list, dict, tuple, set, frozenset)
_PLAIN = (str, int, bool, type(None), list, dict, Any, object)
"""What JSON gives back as it was written: no decoding is needed."""
_JSON = (str, int, float, list, dict, type(None))


class InvalidFeatureValue(InvalidInput):
    """The value is not one of the feature's type."""

    code = "invalid_feature_value"


class AnnotationUnusable(Exception):
    """The return annotation cannot be resolved, or is of no type whose values have a form in JSON."""


@dataclass(frozen=True, kw_only=True)
class ValueType:
    """The type of one feature's values; `encode` and `decode` raise InvalidFeatureValue. None is of every type."""

    feature: str
    name: str = ""
    """The annotation; empty for JSON's own types."""
    adapter: Any = None
    """A TypeAdapter, or one of NumPy's types; None for JSON's own types."""
    is_plain: bool = True
    """Whether what JSON gives back is the value."""
    is_loose: bool = False
    """Whether a part of the annotation says nothing, as in `dict`: that part has JSON's own types."""

    def encode(self, value: Any) -> Any:
        """Return the value in JSON's own types, as both stores give it back."""
        try:
            encoded = plain(value) if self.adapter is None or value is None else self._encode(value)
            to_json(encoded, "The value")
        except (InvalidInput, NotStorable) as error:
            raise self._refusal(value, str(error)) from None
        except Exception as error:  # the user's own type may raise anything
            raise self._refusal(value, _reason(error)) from None
        return encoded

    def decode(self, stored: Any) -> Any:
        """Return the value of what a store holds, in the declared type."""
        if self.is_plain or stored is None:
            return stored
        try:
            return self.adapter.validate_python(stored)
        except Exception as error:
            raise self._refusal(stored, _reason(error)) from None

    def _encode(self, value: Any) -> Any:
        try:
            typed = self.adapter.validate_python(value)
        except ValidationError:
            if (converted := python_values(value)) is value:
                raise
            typed = self.adapter.validate_python(converted)
        check_offset(typed)
        if self.is_plain:
            return plain(typed)
        encoded = plain(_in_order(typed, self.adapter.dump_python(typed, mode="json", fallback=plain)))
        if not _is_same(typed, self.adapter.validate_python(encoded), is_loose=self.is_loose):
            raise NotStorable("It would be read as another value.")
        return encoded

    def _refusal(self, value: Any, reason: str) -> InvalidFeatureValue:
        wanted = f" as {self.name}" if self.name else ""
        return InvalidFeatureValue(
            f"The feature {self.feature!r} cannot store this {type(value).__name__}{wanted}: {reason}"
        )


def value_type(feature: str, function: Callable[..., Any], *, is_batch: bool) -> ValueType:
    """Return the type that the function's return annotation declares; raise AnnotationUnusable."""
    annotation = annotation_of(function)
    return type_of(feature, _of_each(annotation) if is_batch else annotation)


def is_queryset(annotation: Any) -> bool:
    """Return whether an annotation is that of a queryset, such as `QuerySet[Customer]`."""
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, QuerySet)


def type_of(feature: str, annotation: Any) -> ValueType:
    """Return the type that an annotation declares; raise AnnotationUnusable."""
    if annotation in (None, type(None), Any, object, inspect.Signature.empty):
        return ValueType(feature=feature)
    if adapter := _numpy_adapter(annotation):
        return ValueType(feature=feature, name=_name(annotation), adapter=adapter, is_plain=False)
    try:
        built: TypeAdapter[Any] = TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError, PydanticUndefinedAnnotation, TypeError) as error:
        raise AnnotationUnusable(f"{_name(annotation)}: {type(error).__name__}") from error
    return ValueType(
        feature=feature,
        name=_name(annotation),
        adapter=built,
        is_plain=_consists_of(annotation, _PLAIN),
        is_loose=_has_untyped(annotation),
    )


def annotation_of(function: Callable[..., Any]) -> Any:
    """Return the resolved return annotation; that of the wrapped function, for a decorator that uses `wraps`."""
    inner = inspect.unwrap(function)
    annotation = getattr(inner, "__annotations__", {}).get("return", Any)
    holder = types.SimpleNamespace(__annotations__={"return": annotation})
    names = getattr(inner, "__globals__", {}) | _enclosing(inner)
    try:
        found = typing.get_type_hints(holder, globalns=names, include_extras=True)["return"]
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise AnnotationUnusable(f"{annotation}: {error}") from error
    origin = typing.get_origin(found)
    if origin in (abc.Iterable, abc.Iterator, abc.Generator) or found in (abc.Iterable, abc.Iterator, abc.Generator):
        return list[typing.get_args(found)[0]] if typing.get_args(found) else list  # type: ignore[misc]
    return found


def _enclosing(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the variables of the enclosing functions that the function uses."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    found = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _of_each(annotation: Any) -> Any:
    """Return the type of one value of a batch function, which returns a mapping or a sequence of them."""
    origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        parts = [_of_each(part) for part in args if part is not type(None)]
        return parts[0] if len(parts) == 1 else Any
    if not isinstance(origin, type) or not args:
        return Any
    if issubclass(origin, abc.Mapping):
        return args[1]
    return args[0] if issubclass(origin, abc.Iterable) and args[1:] in ((), (Ellipsis,)) else Any


def _consists_of(annotation: Any, allowed: tuple[Any, ...]) -> bool:
    if annotation in allowed:
        return True
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return all(isinstance(arg, str | int | None) for arg in args)
    if origin is dict and args[0] not in (str, Any):
        return False
    return origin in (list, dict, Union, types.UnionType) and all(_consists_of(arg, allowed) for arg in args)


def _has_untyped(annotation: Any) -> bool:
    return annotation in _UNTYPED or any(_has_untyped(arg) for arg in typing.get_args(annotation))


def _is_same(before: Any, after: Any, *, is_loose: bool) -> bool:
    """Return whether a value was read as it was written; a part without a type may be JSON's own form of it."""
    if isinstance(before, dict) and isinstance(after, dict):
        if len(before) != len(after):
            return False
        names = {key: key if key in after else plain({key: None}).popitem()[0] for key in before}
        return all(
            name in after and (key == name or is_loose) and _is_same(before[key], after[name], is_loose=is_loose)
            for key, name in names.items()
        )
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        pairs = zip(before, after, strict=False)
        return len(before) == len(after) and all(_is_same(*pair, is_loose=is_loose) for pair in pairs)
    if is_numpy(before):
        return type(before) is type(after) and bool((before == after).all())
    if isinstance(before, datetime) and isinstance(after, datetime) and before.tzinfo and after.tzinfo:
        return not before - after  # between two zones, == is never true in the hours of a change of clocks
    is_of_type = isinstance(after, type(before)) or isinstance(before, type(after))
    if (is_of_type or (isinstance(before, int | float) and isinstance(after, int | float))) and before == after:
        return True
    if type(before) is type(after) and (fields := _field_names(before, compared_only=True)):
        return all(_is_same(getattr(before, name), getattr(after, name), is_loose=is_loose) for name in fields)
    return is_loose and isinstance(after, _JSON)


def _field_names(value: Any, *, compared_only: bool = False) -> list[str]:
    """Return the fields of a dataclass or a model of Pydantic, of this with extra ones; empty for another value."""
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value) if field.compare or not compared_only]
    return [*type(value).model_fields, *(value.model_extra or ())] if isinstance(value, BaseModel) else []


def _in_order(typed: Any, encoded: Any) -> Any:
    """Return the JSON of a value with what became of its sets sorted: each process has another order."""
    if isinstance(typed, set | frozenset | list | tuple) and isinstance(encoded, list) and len(typed) == len(encoded):
        items = [_in_order(*pair) for pair in zip(typed, encoded, strict=True)]
        is_set = isinstance(typed, set | frozenset)
        return sorted(items, key=lambda item: to_json(item, "An item of a set")) if is_set else items
    if isinstance(typed, dict) and isinstance(encoded, dict) and len(typed) == len(encoded):
        return {key: _in_order(item, encoded[key]) for key, item in zip(encoded, typed.values(), strict=True)}
    names = [name for name in _field_names(typed) if isinstance(encoded, dict) and name in encoded]
    return encoded | {name: _in_order(getattr(typed, name), encoded[name]) for name in names} if names else encoded


def _name(annotation: Any) -> str:
    """Return the annotation as it is written, without the modules."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(annotation))


def _reason(error: Exception) -> str:
    """Return a sentence that does not contain the value."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}."
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    location = ".".join(str(part) for part in first["loc"])
    return f"{first['msg']}{f' (at {location})' if location else ''}."


@dataclass(frozen=True)
class _NumpyAdapter:
    """What TypeAdapter is for other types, for an array or a scalar of NumPy."""

    make: Callable[[Any], Any]

    def validate_python(self, value: Any) -> Any:
        return self.make(value)

    def dump_python(self, value: Any, **options: Any) -> Any:
        return value.tolist()


def _numpy_adapter(annotation: Any) -> Any:
    numpy = sys.modules.get("numpy")
    origin = typing.get_origin(annotation) or annotation
    if numpy is None or not isinstance(origin, type):
        return None
    if issubclass(origin, numpy.generic):
        return _NumpyAdapter(lambda value: origin(value))
    if not issubclass(origin, numpy.ndarray):
        return None
    kinds = [arg for part in typing.get_args(annotation)[1:] for arg in typing.get_args(part)]
    dtype = kinds[0] if kinds and isinstance(kinds[0], type) else None
    return _NumpyAdapter(lambda value: numpy.asarray(value, dtype=dtype))
