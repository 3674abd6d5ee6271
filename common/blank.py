"""Texts in which nothing can be seen."""


def is_blank(text: str) -> bool:
    """Return whether nothing of the text can be seen: it has only white space, zero-width and control characters."""
    return not any(char != " " and char.isprintable() for char in text)
