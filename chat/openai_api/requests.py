"""Read the body of `POST /v1/chat/completions`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chat.openai_api.errors import InvalidParameter
from chat.openai_api.messages import Talk, read_messages
from chat.openai_api.parameters import RequestParameters, read_flag, read_parameters
from common.errors import InvalidInput
from common.validation import check_identity


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    model: str
    user: str | None
    """As the body names it."""
    talk: Talk
    parameters: RequestParameters
    is_streamed: bool
    includes_usage: bool
    """Whether a stream ends with the tokens that were used."""

    @property
    def ignored(self) -> list[str]:
        return [*self.parameters.ignored, *self.talk.ignored]


def read_model(body: Mapping[str, Any]) -> str:
    """Return the name of the model; raise InvalidParameter."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidParameter("model must name a model of GET /v1/models.", "model", "missing_required_parameter")
    return model


def read_request(body: Mapping[str, Any]) -> CompletionRequest:
    """Return the request; raise InvalidParameter."""
    if "messages" not in body:
        raise InvalidParameter("messages is missing.", "messages", "missing_required_parameter")
    return CompletionRequest(
        model=read_model(body),
        user=_user_of(body),
        talk=read_messages(body["messages"]),
        parameters=read_parameters(body),
        is_streamed=read_flag(body, "stream"),
        includes_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _user_of(body: Mapping[str, Any]) -> str | None:
    """Return `user`, or its successor `safety_identifier`."""
    given = [_identity_of(body.get(name), name) for name in ("user", "safety_identifier")]
    return given[0] or given[1]


def _identity_of(value: Any, name: str) -> str | None:
    if value is None or value == "":
        return None
    try:
        return check_identity(value, name)
    except InvalidInput as error:
        raise InvalidParameter(str(error), name) from None
