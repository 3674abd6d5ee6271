"""The errors that every app shares; each app's own `errors` module adds to them.

FabraError
├── DefinitionError    a declaration that cannot work; raised at import
├── InvalidInput       a key, value, text or event that cannot be stored
├── NotFound           a name that nobody declared
└── Unavailable        a part that is down just now
"""


class FabraError(Exception):
    """The operation failed."""

    code = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class DefinitionError(FabraError):
    """The definition cannot work."""

    code = "invalid_definition"


class InvalidInput(FabraError):
    """The input cannot be stored."""

    code = "invalid_input"


class NotFound(FabraError):
    """Nothing of that name is declared."""

    code = "not_found"


class Unavailable(FabraError):
    """A part that this needs is down just now; try again shortly."""

    code = "unavailable"
