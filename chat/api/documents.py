"""Endpoints of documents, for a CMS or a script."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from chat.api import examples, openapi
from chat.api import serializers as shapes
from chat.api.auth import caller_of
from chat.api.base import APIView, ListAPIView, extend_schema
from chat.api.etags import etag_of, etag_of_version, is_known, precondition_of
from chat.api.pagination import ChangesPagination
from chat.api.parameters import index_name, yes_or_no
from chat.idempotency.records import RequestClaim
from chat.idempotency.views import idempotent_now, store_answer
from chat.models import ApiKey
from common.errors import InvalidInput
from common.validation import check_key, check_text
from retrieval.errors import DocumentNotFound
from retrieval.indexing.document_input import IndexResult, check_index_name
from retrieval.indexing.documents import delete_document, index_document
from retrieval.indexing.purge import purge_document
from retrieval.models import Document, Index

_ID = openapi.in_path("entity_id", example="pay")
_PURGE = OpenApiParameter(
    "purge",
    str,
    enum=["true", "false", "1", "0"],
    description="Erase also its versions, its events and what is cached of it.",
)


def describe_get(*in_path: OpenApiParameter) -> Any:
    return extend_schema(
        parameters=[*in_path, openapi.INDEX, openapi.IF_NONE_MATCH],
        examples=[examples.DOCUMENT],
        responses={200: shapes.DocumentDetailSerializer, 304: None, 404: shapes.ErrorSerializer},
    )


def describe_delete(*in_path: OpenApiParameter) -> Any:
    return extend_schema(
        parameters=[*in_path, openapi.INDEX, _PURGE, openapi.IF_MATCH],
        examples=[examples.PURGED, examples.CHANGED],
        responses={
            202: shapes.PurgeSerializer, 204: None, **dict.fromkeys((400, 404, 412), shapes.ErrorSerializer),
        },
    )  # fmt: skip


class DocumentsView(ListAPIView):
    """The documents of all indexes, or of one, newest first; POST indexes one, as `store.index` does."""

    permissions = {"GET": "retrieval.view_document", "POST": "retrieval.change_document"}
    serializer_class = shapes.DocumentSerializer
    pagination_class = ChangesPagination

    def get_queryset(self) -> Any:
        """Return live documents; of the changes since a time also the deleted ones, which a copy has to forget."""
        documents = Document.objects.all() if "updated_since" in self.request.query_params else Document.objects.live()
        documents = documents.select_related("index", "version").defer("text", "version__text", "version__metadata")
        name = self.request.query_params.get("index_name")
        caller = caller_of(self.request)
        names = [caller.check_index(check_index_name(name))] if name else caller.indexes
        if not names:
            return documents
        # By their ids, because an index on the documents then gives the order, too.
        ids = list(Index.objects.filter(name__in=names).values_list("pk", flat=True))
        return documents.filter(index=ids[0]) if len(ids) == 1 else documents.filter(index__in=ids)

    @extend_schema(parameters=[openapi.INDEX, openapi.UPDATED_SINCE, *openapi.PAGE], examples=[examples.DOCUMENTS])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=shapes.DocumentRequestSerializer,
        examples=[examples.DOCUMENT_REQUEST, examples.INDEXED, examples.CHANGED],
        parameters=[openapi.IDEMPOTENCY_KEY, openapi.IF_MATCH, openapi.IF_ABSENT],
        responses={
            200: shapes.IndexResultSerializer,
            201: shapes.IndexResultSerializer,
            **dict.fromkeys((400, 409, 412, 413, 422), shapes.ErrorSerializer),
        },
    )
    @idempotent_now()
    def post(self, request: Request, claim: RequestClaim | None = None) -> Response:
        data = shapes.DocumentRequestSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        values = data.validated_data
        caller_of(request).check_index(check_index_name(values["index_name"]))
        result = index_document(
            values["index_name"], values["entity_id"], values["text"], values["metadata"],
            title=check_text(values["title"], "title"), audience=values["audience"],
            source="api", author=author_of(request), precondition=precondition_of(request),
            on_written=(lambda result: store_answer(claim, _indexed(result))) if claim else None,
        )  # fmt: skip
        return _indexed(result)


class DocumentView(APIView):
    """One document by its id."""

    permissions = {"GET": "retrieval.view_document", "DELETE": "retrieval.delete_document"}

    @describe_get(_ID)
    def get(self, request: Request, entity_id: str) -> Response:
        name, entity_id = index_name(request), _document_id(entity_id)
        document = (
            Document.objects.live()
            .select_related("index", "version")
            .filter(index__name=name, entity_id=entity_id)
            .first()
        )
        if document is None:
            raise DocumentNotFound(f"There is no document {entity_id!r} in the index {name!r}.")
        headers = {"ETag": etag_of(document)}
        if is_known(request, headers["ETag"]):
            return Response(status=304, headers=headers)
        return Response(shapes.DocumentDetailSerializer(document).data, headers=headers)

    @describe_delete(_ID)
    def delete(self, request: Request, entity_id: str) -> Response:
        name, entity_id, precondition = index_name(request), _document_id(entity_id), precondition_of(request)
        if yes_or_no(request, "purge"):
            left = purge_document(name, entity_id, precondition=precondition)
            return Response({"left": left}, status=202) if left else Response(status=204)
        delete_document(name, entity_id, precondition=precondition)
        return Response(status=204)


def _indexed(result: IndexResult) -> Response:
    headers = {"ETag": etag_of_version(result.version)}
    return Response(
        shapes.IndexResultSerializer(result).data, status=201 if result.is_changed else 200, headers=headers
    )


def author_of(request: Request) -> str:
    return str(request.auth.name if isinstance(request.auth, ApiKey) else request.user.get_username())


def _document_id(text: str) -> str:
    """Return the id in an address; raise DocumentNotFound for what no document can have."""
    try:
        return check_key(text, "entity_id")
    except InvalidInput as error:
        raise DocumentNotFound(f"There is no such document: {error}") from None
