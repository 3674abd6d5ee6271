"""Write a formula of MathML on one line."""

from typing import Any

from retrieval.readers.formulas import joined, operand
from retrieval.readers.html_tags import OMITTED

_SIGNS = {
    "msup": ("", "^"), "msub": ("", ""), "msubsup": ("", "", "^"), "munder": ("", "_"), "mover": ("", "^"),
    "munderover": ("", "_", "^"), "mfrac": ("", "/"),
}  # fmt: skip
"""What stands before each part of an element."""
_BETWEEN = {"mtable": "; ", "mtr": ", "}
_ALONE = ("mfrac", "mroot")


def linear(formula: Any) -> str:
    """Return a formula, or a part of one, as text."""
    parts = [part for part in formula if isinstance(part.tag, str) and part.tag not in OMITTED]
    if signs := _SIGNS.get(formula.tag):
        texts = [operand(linear(part)) for part in parts]
        text = "".join(sign + text for sign, text in zip(signs, texts, strict=False) if text)
        return f"{text} " if "_" in signs else text  # a sum is apart from what it is of
    if formula.tag in _BETWEEN:
        return _BETWEEN[formula.tag].join(operand(linear(part)) for part in parts)
    if formula.tag == "mroot" and len(parts) == 2:
        base, degree = (operand(linear(part)) for part in parts)
        return f"{degree}√{base}"
    text = joined([(_text(formula.text), False), *((linear(part), part.tag in _ALONE) for part in parts)])
    return f"√({text})" if formula.tag == "msqrt" else text


def _text(text: str | None) -> str:
    return " ".join((text or "").split())
