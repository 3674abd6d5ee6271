"""What was read while a context's function ran: the text of others, which is data and never an instruction."""

import functools
import re
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType
from typing import Any

_NOT_WORD = re.compile(r"\W+")
_WINDOW = 24
_STEP = 12
"""A text shares a passage's words if 24 characters of it, from any twelfth on, stand in the passage."""


class ForeignText:
    """The texts of hits, retrievers and features; tells whether a text holds some of them, whole or in part.

    Case, blanks and punctuation do not matter, so that a passage is known again when a function has cut or wrapped it.
    """

    def __init__(self) -> None:
        self.chunks: dict[str, str] = {}
        """The text of each hit, by the `source_id` of an item made from it."""
        self.titles: set[str] = set()
        self.texts: list[str] = []
        self._short: set[str] = set()
        self._parts: list[str] = []
        self._joined: str | None = None

    def add(self, text: str, *, is_passage: bool = True) -> None:
        """Add a text; of one that is no passage, such as a title or a feature's value, short ones do not matter."""
        plain = _plain(text)
        if is_passage and len(plain) < _WINDOW + _STEP and text.strip():
            self._short.add(plain or text.strip())
        self.texts.append(text)
        self._parts.append(plain)
        self._joined = None

    def add_values(self, value: Any, *, is_passage: bool) -> None:
        """Add every text in a value: of a list or an object, each one."""
        if isinstance(value, str):
            self.add(value, is_passage=is_passage)
        elif isinstance(value, dict):
            self.add_values(list(value.values()), is_passage=True)
        elif isinstance(value, list | tuple | set):
            for member in value:
                self.add_values(member, is_passage=True)

    def update(self, other: "ForeignText") -> None:
        self.chunks |= other.chunks
        self.titles |= other.titles
        self.texts += other.texts
        self._short |= other._short
        self._parts += other._parts
        self._joined = None

    def is_in(self, text: str) -> bool:
        plain = _plain(text)
        if any(short in (plain if short.isalnum() else text) for short in self._short):
            return True
        if self._joined is None:
            self._joined = "\n".join(self._parts)
        return any(
            plain[start : start + _WINDOW] in self._joined for start in range(0, len(plain) - _WINDOW + 1, _STEP)
        )


def _plain(text: str) -> str:
    return _NOT_WORD.sub("", text.casefold())


@functools.lru_cache(maxsize=256)
def literals_of(function: Callable[..., Any]) -> frozenset[str]:
    """Return the texts that stand in the code of a context's module: nobody but its author wrote them."""
    module = getattr(function, "__globals__", {})
    functions = [value for value in module.values() if isinstance(value, FunctionType)]
    codes = [called.__code__ for called in (function, *functions) if isinstance(called, FunctionType)]
    texts = {value for value in module.values() if isinstance(value, str)}
    return frozenset(texts.union(*map(_constants, codes)))


def _constants(code: CodeType) -> Iterable[str]:
    found = set()
    for constant in code.co_consts:
        if isinstance(constant, str):
            found.add(constant)
        elif isinstance(constant, CodeType):
            found |= set(_constants(constant))
    return found
