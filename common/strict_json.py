"""JSON from outside: in UTF-8, an object has each name once, and NaN and Infinity are no numbers."""

import json
from collections import Counter
from typing import Any


class NotJSON(ValueError):
    """What is wrong with a text, to stand behind its name: "is no valid JSON", "has 'a' twice in one object"."""


def parse_json(text: str | bytes) -> Any:
    """Return the value of a text, which may have a byte order mark before it; raise NotJSON."""
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        return json.loads(decoded, parse_constant=_refuse, object_pairs_hook=_without_doubles)
    except UnicodeDecodeError:
        raise NotJSON("is not UTF-8") from None
    except RecursionError:
        raise NotJSON("is nested too deep") from None
    except json.JSONDecodeError as error:
        raise NotJSON(f"is no valid JSON at character {error.pos}") from None
    except NotJSON:
        raise
    except ValueError:  # a number of thousands of digits
        raise NotJSON("is no valid JSON") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; raise NotJSON: of two audiences one would be left out without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise NotJSON(f"has {name[:100]!r} twice in one object")
    return found


def _refuse(name: str) -> None:
    raise NotJSON(f"is no valid JSON: {name} is no number of it")
