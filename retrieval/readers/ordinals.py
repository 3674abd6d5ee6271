"""Write a number as an ordered list does: 3, c, C, iii or III."""

_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
          (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip
_MOST = 3999


def ordinal(number: int, kind: str) -> str:
    """Return a number in the writing that `type` of an HTML list names; in digits where it names none."""
    if kind not in ("a", "A", "i", "I") or not 0 < number <= _MOST:
        return str(number)
    written = _letters(number) if kind in "aA" else _roman(number)
    return written.upper() if kind.isupper() else written


def _letters(number: int) -> str:
    """Return a, b, … z, aa, ab, …"""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def _roman(number: int) -> str:
    written = ""
    for value, sign in _ROMAN:
        count, number = divmod(number, value)
        written += sign * count
    return written
