"""Write a formula of a Word document on one line."""

from collections.abc import Callable
from typing import Any

from lxml import etree

from retrieval.readers.formulas import joined, operand

_ALONE = ("f", "rad", "oMath")
"""A fraction, a root with its degree in front, and one of several formulas of a paragraph."""


def linear(formula: Any) -> str:
    """Return a formula, or a part of one, as text."""
    name = etree.QName(formula).localname
    if name == "t":
        return formula.text or ""
    if name.endswith("Pr"):
        return ""
    return _WRITERS.get(name, _sequence)(formula)


def _sequence(formula: Any) -> str:
    return joined((linear(part), etree.QName(part).localname in _ALONE) for part in formula)


def _fraction(formula: Any) -> str:
    return f"{_operand(formula, 'num')}/{_operand(formula, 'den')}"


def _script(formula: Any) -> str:
    """Return a base with what stands above and below it; an index is written as it is: H2O."""
    above = _operand(formula, "sup")
    return _part(formula, "e") + _part(formula, "sub") + (f"^{above}" if above else "")


def _limit(formula: Any) -> str:
    return f"{_part(formula, 'e')}_{_operand(formula, 'lim')} "


def _root(formula: Any) -> str:
    return f"{_part(formula, 'deg')}√{_operand(formula, 'e')}"


def _sum(formula: Any) -> str:
    below, above = _operand(formula, "sub"), _operand(formula, "sup")
    limits = (f"_{below}" if below else "") + (f"^{above}" if above else "")
    return f"{_sign(formula, 'chr', '∫')}{limits} {_part(formula, 'e')}"


def _brackets(formula: Any) -> str:
    inner = _sign(formula, "sepChr", "|").join(linear(part) for part in formula if _is(part, "e"))
    return f"{_sign(formula, 'begChr', '(')}{inner}{_sign(formula, 'endChr', ')')}"


def _function(formula: Any) -> str:
    return f"{_part(formula, 'fName')} {_part(formula, 'e')}"


def _row(formula: Any) -> str:
    return ", ".join(linear(part) for part in formula if _is(part, "e"))


def _rows(formula: Any) -> str:
    return "; ".join(linear(part) for part in formula if _is(part, "e") or _is(part, "mr"))


_WRITERS: dict[str, Callable[[Any], str]] = {
    "f": _fraction, "sSup": _script, "sSub": _script, "sSubSup": _script, "limLow": _limit, "limUpp": _limit,
    "rad": _root, "nary": _sum, "d": _brackets, "func": _function, "mr": _row, "m": _rows, "eqArr": _rows,
}  # fmt: skip


def _part(formula: Any, name: str) -> str:
    return "".join(linear(part) for part in formula if _is(part, name))


def _operand(formula: Any, name: str) -> str:
    return operand(_part(formula, name))


def _sign(formula: Any, name: str, default: str) -> str:
    """Return the sign that a formula's properties name, which may be none."""
    for properties in formula:
        for found in properties if etree.QName(properties).localname.endswith("Pr") else ():
            if _is(found, name):
                return next((value for key, value in found.items() if etree.QName(key).localname == "val"), "")
    return default


def _is(node: Any, name: str) -> bool:
    return etree.QName(node).localname == name
