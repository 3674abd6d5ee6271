"""The environment as settings read it."""

import json
import os
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

_SWITCHES = {*environ.Env.BOOLEAN_TRUE_STRINGS, "", "0", "false", "no", "off", "n"}


class Environment(environ.Env):
    """Raise ImproperlyConfigured with the variable's name for a value that is not of its type.

    `environ` raises ValueError without one, and takes a switch with a typing error for one that is off.
    """

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, *args: Any) -> Any:
        if cast is bool and os.environ.get(var, "").strip().lower() not in _SWITCHES:
            raise ImproperlyConfigured(f"{var} must be 1 or 0, not {os.environ[var]!r}.")
        try:
            return super().get_value(var, cast, default, *args)
        except json.JSONDecodeError as error:
            raise ImproperlyConfigured(f"{var} is no JSON: {error}.") from None
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} cannot be read: {error}.") from None
