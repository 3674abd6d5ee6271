"""Endpoints of documents, search and features, for a CMS or a script."""

import json
import re
from dataclasses import asdict
from typing import Any

from adrf.views import APIView as AsyncAPIView
from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api import openapi
from chat.api import serializers as shapes
from chat.api.auth import caller_of
from chat.idempotency.records import Claim
from chat.idempotency.views import idempotent_now
from chat.models import ApiKey
from common.errors import InvalidInput
from common.validation import check_key, check_text
from features.serving import read_features
from retrieval.errors import DocumentNotFound
from retrieval.indexing.document_input import check_index_name
from retrieval.indexing.documents import delete_document, index_document
from retrieval.indexing.purge import purge_document
from retrieval.models import Document
from retrieval.search.execute import search
from retrieval.search.filters import EVERYONE
from retrieval.search.query import SearchOptions

_DOCUMENT = [openapi.in_path("entity_id"), openapi.INDEX]
_PURGE = OpenApiParameter(
    "purge",
    str,
    enum=["true", "false", "1", "0"],
    description="Erase also its versions, its events and what is cached of it.",
)


class DocumentsView(ListAPIView[Any]):
    """The documents of all indexes, or of one, newest first; POST indexes one, as `store.index` does."""

    permissions = {"GET": "retrieval.view_document", "POST": "retrieval.change_document"}
    serializer_class = shapes.DocumentSerializer

    def get_queryset(self) -> Any:
        documents = Document.objects.live().select_related("index", "version").defer("text")
        name = self.request.query_params.get("index_name")
        caller = caller_of(self.request)
        if name:
            return documents.filter(index__name=caller.check_index(check_index_name(name)))
        return documents.filter(index__name__in=caller.indexes) if caller.indexes else documents

    @extend_schema(parameters=[openapi.INDEX, *openapi.PAGE])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=shapes.DocumentRequestSerializer,
        responses={200: shapes.IndexResultSerializer, 201: shapes.IndexResultSerializer, 400: shapes.ErrorSerializer},
    )
    @idempotent_now()
    def post(self, request: Request, claim: Claim | None = None) -> Response:
        data = shapes.DocumentRequestSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        values = data.validated_data
        caller_of(request).check_index(check_index_name(values["index_name"]))
        result = index_document(
            values["index_name"], values["entity_id"], values["text"], values["metadata"],
            title=check_text(values["title"], "title"), audience=values["audience"],
            source="api", author=_author(request),
        )  # fmt: skip
        return Response(shapes.IndexResultSerializer(result).data, status=201 if result.is_changed else 200)


class DocumentView(APIView):
    """One document by its id."""

    permissions = {"GET": "retrieval.view_document", "DELETE": "retrieval.delete_document"}

    @extend_schema(parameters=_DOCUMENT, responses={200: shapes.DocumentDetailSerializer, 404: shapes.ErrorSerializer})
    def get(self, request: Request, entity_id: str) -> Response:
        name, entity_id = _index_name(request), _document_id(entity_id)
        document = (
            Document.objects.live()
            .select_related("index", "version")
            .filter(index__name=name, entity_id=entity_id)
            .first()
        )
        if document is None:
            raise DocumentNotFound(f"There is no document {entity_id!r} in the index {name!r}.")
        return Response(shapes.DocumentDetailSerializer(document).data)

    @extend_schema(
        parameters=[*_DOCUMENT, _PURGE],
        responses={202: shapes.PurgeSerializer, 204: None, 400: shapes.ErrorSerializer, 404: shapes.ErrorSerializer},
    )
    def delete(self, request: Request, entity_id: str) -> Response:
        name, entity_id = _index_name(request), _document_id(entity_id)
        if "purge" in request.query_params and _yes_or_no(request, "purge"):
            left = purge_document(name, entity_id)
            return Response({"left": left}, status=202) if left else Response(status=204)
        delete_document(name, entity_id)
        return Response(status=204)


class SearchView(AsyncAPIView):
    """Search an index."""

    permissions = {"GET": "retrieval.view_document"}

    @extend_schema(
        parameters=openapi.SEARCH,
        responses={200: shapes.SearchResponseSerializer, 400: shapes.ErrorSerializer, 404: shapes.ErrorSerializer},
    )
    async def get(self, request: Request) -> Response:
        params = request.query_params
        options = _search_options(request)
        filters = _json(params["filters"], "filters") if "filters" in params else None
        hits = await search(
            _index_name(request), params.get("query", ""), _whole_number(request, "top_k", 5), filters, **options
        )
        return Response({"hits": shapes.HitSerializer(hits, many=True).data, "flags": list(hits.flags)})


class FeaturesView(AsyncAPIView):
    """Feature values of one entity, with their age and source."""

    permissions = {"GET": "features.view_featurevalue"}

    @extend_schema(
        parameters=[openapi.in_path("entity"), openapi.in_path("entity_id"), openapi.NAMES],
        responses={200: dict, 400: shapes.ErrorSerializer, 404: shapes.ErrorSerializer},
    )
    async def get(self, request: Request, entity: str, entity_id: str) -> Response:
        names = [name.strip() for name in request.query_params.get("names", "").split(",") if name.strip()]
        if not names:
            raise InvalidInput("names must list at least one feature.")
        caller_of(request).check_entity(entity, entity_id)
        reads = await read_features(entity, entity_id, list(dict.fromkeys(names)))
        shown = {read.feature: asdict(read) | {"value": read.stored} for read in reads}
        values = {name: shapes.FeatureReadSerializer(read).data for name, read in shown.items()}
        return Response({"entity": entity, "entity_id": entity_id, "features": values})


def _author(request: Request) -> str:
    return str(request.auth.name if isinstance(request.auth, ApiKey) else request.user.get_username())


def _document_id(text: str) -> str:
    """Return the id in an address; raise DocumentNotFound for what no document can have."""
    try:
        return check_key(text, "entity_id")
    except InvalidInput as error:
        raise DocumentNotFound(f"There is no such document: {error}") from None


def _index_name(request: Request) -> str:
    name = request.query_params.get("index_name") or settings.FABRA_DEFAULT_INDEX
    return caller_of(request).check_index(check_index_name(name))


def _search_options(request: Request) -> SearchOptions:
    params = request.query_params
    if not params.get("mode", "hybrid"):
        raise InvalidInput("mode must be one of hybrid, semantic, lexical.")
    names = [name.strip() for name in params.get("audience", "").split(",") if name.strip()]
    options: SearchOptions = {"audience": EVERYONE if names == [EVERYONE] else names}
    if "mode" in params:
        options["mode"] = params["mode"]  # type: ignore[typeddict-item]  # checked by the search
    if "max_per_document" in params:
        options["max_per_document"] = _whole_number(request, "max_per_document", 1)
    if "expand" in params:
        options["expand"] = _whole_number(request, "expand", 0)
    if "rerank" in params:
        options["rerank"] = _yes_or_no(request, "rerank")
    return options


def _json(text: str, what: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} must be a JSON object.")
    return value


def _whole_number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise InvalidInput(f"{name} must be a whole number.")
    return int(text)


def _yes_or_no(request: Request, name: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    try:
        return known[request.query_params[name]]
    except KeyError:
        raise InvalidInput(f"{name} must be true or false.") from None
