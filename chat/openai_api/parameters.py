"""What a client sends beside its messages: passed on to the model, ignored by name, or refused, never misread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chat.openai_api.errors import InvalidParameter

Check = Callable[[Any], bool]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
VERBOSITIES = ("low", "medium", "high")
MOST_STOPS, STOP_MAX_CHARS = 4, 500


@dataclass(kw_only=True)
class RequestParameters:
    options: dict[str, Any] = field(default_factory=dict)
    """For the model's call."""
    max_tokens: int | None = None
    limit: str = ""
    """The parameter that it came by, one of LIMITS."""
    ignored: list[str] = field(default_factory=list)


def _number(least: float, most: float) -> Check:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _whole(least: int, most: int) -> Check:
    """Return the check of a whole number of JSON, which may be written as 1.0."""
    return lambda value: _number(least, most)(value) and value == int(value)


def _is_stop(value: Any) -> bool:
    stops = [value] if isinstance(value, str) else value
    return (
        isinstance(stops, list)
        and len(stops) <= MOST_STOPS
        and all(isinstance(stop, str) and 0 < len(stop) <= STOP_MAX_CHARS and "\x00" not in stop for stop in stops)
    )


PASSED_ON: Mapping[str, tuple[Check, str]] = {
    "temperature": (_number(0, 2), "a number from 0 to 2"),
    "top_p": (_number(0, 1), "a number from 0 to 1"),
    "frequency_penalty": (_number(-2, 2), "a number from -2 to 2"),
    "presence_penalty": (_number(-2, 2), "a number from -2 to 2"),
    "seed": (_whole(-(2**63), 2**63 - 1), "a whole number"),
    "stop": (_is_stop, f"a text, or up to {MOST_STOPS} texts, of 1 to {STOP_MAX_CHARS} characters"),
    "reasoning_effort": (lambda value: value in EFFORTS, f"one of {', '.join(EFFORTS)}"),
    "verbosity": (lambda value: value in VERBOSITIES, "low, medium or high"),
}
"""What a language model is given as it came, with what it must be."""
LIMITS = ("max_completion_tokens", "max_tokens")
"""Names of the most tokens to answer with; the first that is given counts."""
_WHOLE = (*LIMITS, "seed")
_LIMIT = (_whole(1, 2**31), "a whole number from 1")

# Values that ask for what an answer from the documents is not, and why; other values of these are ignored.
_REFUSED: Mapping[str, tuple[Check, str]] = {
    "n": (lambda value: value == 1 and not isinstance(value, bool), "There is one answer to a question."),
    "response_format": (
        lambda value: isinstance(value, dict) and value.get("type") == "text",
        "Answers are texts with citations; no JSON can be asked for.",
    ),
    "tool_choice": (lambda value: value in ("none", "auto"), "The bot calls no tools, so that none can be required."),
    "function_call": (lambda value: value in ("none", "auto"), "The bot calls no functions."),
    "logprobs": (lambda value: value is False, "There are no log probabilities."),
    "top_logprobs": (lambda value: value == 0, "There are no log probabilities."),
    "modalities": (lambda value: value == ["text"], "Answers are texts."),
    "audio": (lambda value: False, "Answers are texts."),
}
_SAYS_NOTHING = ("n", "response_format", "logprobs", "top_logprobs", "modalities")
"""Parameters that change nothing with the values that are not refused."""
_READ_ELSEWHERE = ("messages", "model", "stream", "user")


def read_parameters(body: Mapping[str, Any]) -> RequestParameters:
    """Return the parameters beside the messages; null counts as not given. Raise InvalidParameter."""
    found = RequestParameters()
    for name, value in body.items():
        if value is None or name in _READ_ELSEWHERE or (name == "safety_identifier" and not body.get("user")):
            continue
        if name in PASSED_ON:
            found.options[name] = _checked(name, value, *PASSED_ON[name])
        elif name in LIMITS:
            limit = _checked(name, value, *_LIMIT)
            if found.limit and limit != found.max_tokens:
                found.ignored.append(LIMITS[1])
            if not found.limit or name == LIMITS[0]:
                found.limit, found.max_tokens = name, limit
        elif name in _REFUSED:
            _refuse(name, value)
            if name not in _SAYS_NOTHING:
                found.ignored.append(name)
        elif name == "stream_options":
            found.ignored += _ignored_stream_options(value, is_streamed=read_flag(body, "stream"))
        else:
            found.ignored.append(name)
    return found


def read_flag(body: Mapping[str, Any], name: str, path: str = "") -> bool:
    """Return a parameter that is true or false, by default false; raise InvalidParameter."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidParameter(f"{path}{name} must be true or false.", f"{path}{name}", "invalid_type")
    return bool(value)


def _checked(name: str, value: Any, check: Check, what: str) -> Any:
    if not check(value):
        raise InvalidParameter(f"{name} must be {what}.", name)
    return int(value) if name in _WHOLE else value


def _refuse(name: str, value: Any) -> None:
    is_harmless, why = _REFUSED[name]
    if not is_harmless(value):
        raise InvalidParameter(f"This {name} cannot be had. {why}", name, "unsupported_value")


def _ignored_stream_options(value: Any, *, is_streamed: bool) -> list[str]:
    if not isinstance(value, dict):
        raise InvalidParameter("stream_options must be an object.", "stream_options", "invalid_type")
    has_effect = not read_flag(value, "include_usage", "stream_options.") or is_streamed
    return [f"stream_options.{name}" for name in value if not (name == "include_usage" and has_effect)]
