"""`GET /v1/models`, `GET /v1/models/{id}` and `POST /v1/chat/completions`."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.response import Response

from chat.access.permissions import CHAT_AS_USER
from chat.api import openapi
from chat.api.auth import SessionAuthentication, caller_of
from chat.api.base import AsyncAPIView, extend_schema
from chat.api.chat import AnyAccept
from chat.engine.beginning import begin
from chat.freshness_headers import freshness_headers
from chat.idempotency.records import RequestClaim
from chat.idempotency.views import idempotent
from chat.openai_api import examples, shapes
from chat.openai_api.access import BearerAuthentication, HasPermissionBySecretKey
from chat.openai_api.annotations import annotations_for_open_webui, annotations_of, is_open_webui
from chat.openai_api.bodies import STREAM_FORMAT, CompletionBodies, asks_model
from chat.openai_api.catalogue import models_of, require_model
from chat.openai_api.errors import handle_exception, openai_error
from chat.openai_api.front_end_tasks import answer_to_task
from chat.openai_api.questions import question_of
from chat.openai_api.replies import Reply
from chat.openai_api.requests import CompletionRequest, read_model, read_request
from chat.openai_api.users import asker_of
from chat.turns.turn import Answered, Turn

IGNORED = "X-Fabra-Ignored"
"""The header that names the parameters which had no effect."""
RETRY_COUNT = "X-Stainless-Retry-Count"
"""By it OpenAI's SDKs say that they send a request again, after a timeout or an error."""
_MOST_NAMES, _NAME_MAX_CHARS = 20, 100


class OpenAIView(AsyncAPIView):
    authentication_classes = [BearerAuthentication, SessionAuthentication]
    permission_classes = [HasPermissionBySecretKey]
    content_negotiation_class = AnyAccept

    def get_exception_handler(self) -> Callable[..., Response]:
        return handle_exception


class ModelsView(OpenAIView):
    """List the contexts that the key may use, its default one first."""

    permissions = {"GET": CHAT_AS_USER}

    @extend_schema(
        operation_id="list_models", responses={200: shapes.ModelListSerializer, **shapes.ERRORS},
        examples=[examples.MODELS, examples.ERROR],
    )  # fmt: skip
    async def get(self, request: Request) -> HttpResponse:
        models = [model.to_dict() for model in await models_of(caller_of(request))]
        return _json({"object": "list", "data": models})


class ModelView(OpenAIView):
    """Describe one model."""

    permissions = {"GET": CHAT_AS_USER}

    @extend_schema(
        operation_id="retrieve_model", parameters=[openapi.in_path("model_id")],
        responses={200: shapes.ModelSerializer, **shapes.ERRORS}, examples=[examples.MODEL, examples.ERROR],
    )  # fmt: skip
    async def get(self, request: Request, model_id: str) -> HttpResponse:
        caller = caller_of(request)
        name = await require_model(model_id, caller)
        return _json(next(model.to_dict() for model in await models_of(caller) if model.id == name))


class CompletionsView(OpenAIView):
    """Answer the last message from the documents, as `POST /chat` does."""

    permissions = {"POST": CHAT_AS_USER}
    throttle_classes = ()
    """The message counts against the key's limit together with the user's."""

    @extend_schema(
        operation_id="create_chat_completion",
        request=shapes.CompletionRequestSerializer,
        responses={
            (200, "application/json"): shapes.CompletionSerializer,
            (200, "text/event-stream"): shapes.CHUNK_EVENT,
            **shapes.ERRORS,
        },
        parameters=[openapi.IDEMPOTENCY_KEY],
        examples=[examples.QUESTION, examples.COMPLETION, examples.CHUNK, examples.ERROR],
        description=examples.DESCRIPTION,
    )
    @partial(idempotent, stream_format=STREAM_FORMAT)
    async def post(self, request: Request, claim: RequestClaim | None = None) -> HttpResponse | StreamingHttpResponse:
        caller, body = caller_of(request), request.data
        assert isinstance(body, dict)  # the parser takes objects only
        model = await require_model(read_model(body), caller)
        wanted = read_request(body)
        if (told := answer_to_task(wanted.talk)) is not None:
            return _plain(CompletionBodies(model, None), told, wanted)
        is_repeated = request.headers.get(RETRY_COUNT, "0") != "0"
        asker = asker_of(request, wanted.user, caller)
        parsed = await question_of(wanted, model, asker, caller, claim, is_repeated=is_repeated)
        begun = await begin(parsed.question)
        if claim is not None:
            claim.conversation_id = (
                begun.answer.conversation_id if isinstance(begun, Answered) else begun.conversation_id
            )
        if not asks_model(begun):
            parsed.ignored.extend(parsed.for_model)
        annotate = annotations_for_open_webui if is_open_webui(request.headers) else annotations_of
        reply = Reply(model, parsed, begun, request, includes_usage=wanted.includes_usage, annotate=annotate)
        # Another model that answers in place of this one may have another longest answer: the body tells.
        config = begun.provider.config if isinstance(begun, Turn) else None
        cut = config.cut(parsed.question.max_tokens) if config else []
        headers = begun.admission.headers() | _ignored([*parsed.ignored, *cut])
        headers |= {"X-Request-Id": reply.context_id} if reply.context_id else {}
        headers |= freshness_headers(begun.context.freshness if isinstance(begun, Turn) else None)
        if wanted.is_streamed:
            headers |= {"X-Accel-Buffering": "no"}
            return StreamingHttpResponse(reply.stream(), content_type="text/event-stream", headers=headers)
        return _json(await reply.whole(), headers)


def _plain(completion: CompletionBodies, text: str, wanted: CompletionRequest) -> HttpResponse:
    if not wanted.is_streamed:
        return _json(completion.plain(text))
    pieces = completion.plain_pieces(text, includes_usage=wanted.includes_usage)
    return HttpResponse(pieces, "text/event-stream", headers={"X-Accel-Buffering": "no"})


@csrf_exempt
def unknown(request: HttpRequest, rest: str | None = None) -> JsonResponse:
    """Answer 404 for any other address of OpenAI's API."""
    message = f"There is no {request.method} {request.path[:200]}; this API has models and chat/completions."
    return JsonResponse(openai_error(404, "unknown_url", message), status=404)


def _json(body: dict[str, Any], headers: dict[str, str] | None = None) -> HttpResponse:
    # Rendered here, because Django would switch to a thread to render a Response.
    return HttpResponse(json.dumps(body, ensure_ascii=False, default=str), "application/json", headers=headers)


def _ignored(names: Iterable[str]) -> dict[str, str]:
    """Return the header that names what had no effect; the body of the answer lists all of it."""
    shown = [quote(name[:_NAME_MAX_CHARS], safe="[]. ") for name in dict.fromkeys(names)]
    return {IGNORED: ", ".join(shown[:_MOST_NAMES])} if shown else {}
