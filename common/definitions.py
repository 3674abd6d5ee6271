"""Definitions that the code declares: their location, their registry, and the rows that mirror them."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.utils import timezone

from common.errors import DefinitionError, NotFound
from common.models import Definition

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where a definition is in the code; the same file and line again is a re-import, not a duplicate."""

    file: str
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}"

    def is_same_place(self, other: "Location") -> bool:
        """Return whether it is the same line of the same file, by whatever name the module was imported."""
        return (self.file, self.line) == (other.file, other.line)

    @classmethod
    def of(cls, thing: Any) -> "Location":
        """Return where a function or class is defined; each thing that was typed into a shell is elsewhere."""
        if code := getattr(inspect.unwrap(thing), "__code__", None):
            return cls(file=code.co_filename, line=code.co_firstlineno, module=thing.__module__)
        try:
            return cls(
                file=inspect.getsourcefile(thing) or "?",
                line=inspect.getsourcelines(thing)[1],
                module=thing.__module__,
            )
        except (OSError, TypeError):  # typed into a shell: there is no file
            return cls(file="?", line=id(thing), module=thing.__module__)


def location_of_caller() -> Location:
    """Return where the function was called that calls this one."""
    frame = inspect.currentframe()
    caller = frame and frame.f_back and frame.f_back.f_back
    assert caller is not None
    return Location(file=caller.f_code.co_filename, line=caller.f_lineno, module=caller.f_globals["__name__"])


class Registry(dict[str, T]):
    """Definitions of one kind by name; a duplicate name raises DefinitionError."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def add(self, name: str, spec: T) -> None:
        """Register `spec`; raise DefinitionError if the name is declared elsewhere too."""
        known = self.get(name)
        if known is not None and not known.location.is_same_place(spec.location):  # type: ignore[attr-defined]
            raise DefinitionError(
                f"The {self.kind} {name!r} is declared twice: in {known.location} and in {spec.location}."  # type: ignore[attr-defined]
            )
        self[name] = spec

    def require(self, name: str) -> T:
        """Return the definition; raise NotFound, which lists the declared names."""
        try:
            return self[name]
        except (KeyError, TypeError):
            known = ", ".join(sorted(self)) or "none"
            raise NotFound(f"There is no {self.kind} {str(name)[:100]!r}; declared are: {known}.") from None


def add_once(registered: list[T], *items: T) -> None:
    """Append the items that are not there yet.

    What apps register when they are ready goes through here: Django may call `AppConfig.ready` again, and a handler
    that is there twice would run twice for each event.
    """
    registered.extend(item for item in items if item not in registered)


def sync_definitions(
    model: type[Definition], declared: Mapping[str, Mapping[str, Any]], *, is_complete: bool = True
) -> None:
    """Create or update one row per definition, and set `gone_at` on rows whose code is gone.

    Unless `is_complete` other rows stay as they are: they may be of an app that this process has not loaded.
    """
    for name, fields in declared.items():
        model._default_manager.update_or_create(name=name, defaults={**fields, "gone_at": None})
    if is_complete:
        model._default_manager.exclude(name__in=declared).filter(gone_at=None).update(gone_at=timezone.now())
