"""`POST /chat`, as one response or streamed, and `GET /debug/context/`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from chat.access.permissions import CHAT_AS_USER, VIEW_TRACE
from chat.api import evidence, examples, openapi
from chat.api.auth import caller_of
from chat.api.base import AsyncAPIView, extend_schema
from chat.api.serializers import ChatRequestSerializer, ChatResponseSerializer, ErrorSerializer
from chat.bots.known import require_bot
from chat.engine.answering import answer, leave, run
from chat.engine.assembly import assemble
from chat.engine.beginning import begin
from chat.error_descriptions import describe, error_body
from chat.errors import InvalidMessage
from chat.freshness_headers import freshness_headers
from chat.idempotency.records import RequestClaim
from chat.idempotency.views import idempotent
from chat.turns.turn import Answer, Answered, Question, Turn
from common.errors import NotFound
from common.event_stream import event_of
from common.guarded_stream import GuardedStream
from contexts import traces
from contexts.recorder import recording
from contexts.traces import online_store

_ERRORS = dict.fromkeys((400, 401, 402, 403, 404, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504), ErrorSerializer)


class AnyAccept(DefaultContentNegotiation):
    """Select JSON whatever `Accept` says: a client of server-sent events accepts only those, but errors are JSON."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ChatView(AsyncAPIView):
    """Answer a message from the documents, as the user's tier allows."""

    permissions = {"POST": CHAT_AS_USER}
    throttle_classes = ()
    """The message counts against the key's limit together with the user's."""
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="chat",
        parameters=[openapi.IDEMPOTENCY_KEY],
        examples=examples.CHAT,
        request=ChatRequestSerializer,
        responses={
            (200, "application/json"): ChatResponseSerializer,
            (200, "text/event-stream"): openapi.SERVER_SENT_EVENT,
            (202, "application/json"): ChatResponseSerializer,
            (202, "text/event-stream"): openapi.SERVER_SENT_EVENT,
            **_ERRORS,
        },
        description="With `stream: true` the answer is `text/event-stream`: events `start`, `delta` (text), and "
        "`done` (the whole answer) or `error` (code and message). Where a person answers in the bot's place it is 202 "
        "with an empty `response`; `stopped` ends the stream of an answer during which a person took over. "
        "`X-Fabra-Freshness` tells whether the context kept its `freshness_sla`, if it has one.",
    )
    @idempotent
    async def post(self, request: Request, claim: RequestClaim | None = None) -> HttpResponse | StreamingHttpResponse:
        data = ChatRequestSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        caller = caller_of(request)
        question = Question(
            user_id=data.validated_data["user_id"],
            message=data.validated_data["message"],
            conversation_id=data.validated_data.get("conversation_id"),
            # What the first attempt stored before its process died is found by it.
            client_id=data.validated_data.get("client_id") or (claim.request_id if claim else None),
            count_token=claim.request_id.hex if claim else "",
            bot=data.validated_data["bot"],
            context=data.validated_data["context"],
            caller=caller,
        )
        if data.validated_data["stream"]:
            turn = await begin(question)
            if claim is not None:
                begun = turn.answer if isinstance(turn, Answered) else turn
                claim.conversation_id = begun.conversation_id
            freshness = freshness_headers(None if isinstance(turn, Answered) else turn.context.freshness)
            return StreamingHttpResponse(
                _answered_events(turn.answer, request)
                if isinstance(turn, Answered)
                else GuardedStream(_events(turn, request), partial(leave, turn)),
                status=turn.answer.status if isinstance(turn, Answered) else 200,
                content_type="text/event-stream",
                headers={"X-Accel-Buffering": "no"} | turn.admission.headers() | freshness,
            )
        result, admission = await answer(question)
        if claim is not None:
            claim.conversation_id = result.conversation_id
        headers = admission.headers() | freshness_headers(result.freshness)
        # Rendered here, because Django would switch to a thread to render a Response.
        body = JSONRenderer().render(_body_of(result, request))
        return HttpResponse(body, JSONRenderer.media_type, status=result.status, headers=headers)


def _body_of(result: Answer, request: Request) -> dict[str, Any]:
    """Return the answer as its caller may see it: with a public key, everybody who has the page open reads it."""
    result = result.link_absolutely(request)
    return result.to_customer_dict() if caller_of(request).is_site else result.to_dict()


async def _answered_events(result: Answer, request: Request) -> AsyncIterator[bytes]:
    yield event_of({"context_id": result.context_id, "conversation_id": result.conversation_id}, "start")
    yield event_of(_body_of(result, request), "done")


async def _events(turn: Turn, request: Request) -> AsyncGenerator[bytes, None]:
    yield event_of({"context_id": turn.context_id, "conversation_id": turn.conversation_id}, "start")
    try:
        async with aclosing(run(turn, is_streamed=True)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answer):
                    yield event_of(_body_of(piece, request), "stopped" if piece.is_dropped else "done")
                else:
                    yield event_of({"text": piece}, "delta")
    except asyncio.CancelledError:
        raise
    except Exception as error:  # the status line is sent already, so the error is the last event
        _, code, message = describe(error)
        yield event_of(error_body(code, message)["error"] | {"context_id": turn.context_id}, "error")


class DebugContextView(AsyncAPIView):
    """Assemble a user's context for a question, and return its trace."""

    permissions = {"GET": VIEW_TRACE}

    @extend_schema(
        operation_id="debug_context",
        parameters=[openapi.in_path("user_id", openapi.IDENTITY), openapi.QUERY, openapi.BOT],
        examples=[evidence.EXAMPLE],
        responses={200: evidence.EvidenceSerializer, **_ERRORS},
    )
    async def get(self, request: Request, user_id: str) -> HttpResponse:
        if "query" not in request.query_params:
            raise InvalidMessage("query must hold the question to assemble a context for.")
        caller = caller_of(request)
        message, bot = request.query_params["query"], request.query_params.get("bot", "")
        question = Question(user_id=user_id, message=message, bot=bot, caller=caller).validate()
        question = question.asked_of(await require_bot(question.bot))
        with recording() as recorder:
            try:
                context = await assemble(question)
                caller.check_indexes(recorder.searched_indexes())
            finally:
                await traces.write(recorder.pending)
        trace = await online_store.get(f"trace:{context.id}")
        if trace is None:
            raise NotFound(f"There is no trace {context.id}.")
        return HttpResponse(trace, content_type="application/json", headers=freshness_headers(context.freshness))
