"""Endpoints of search and features."""

from collections.abc import Sequence
from dataclasses import asdict

from rest_framework.request import Request
from rest_framework.response import Response

from chat.api import examples, openapi
from chat.api import serializers as shapes
from chat.api.auth import caller_of
from chat.api.base import AsyncAPIView, extend_schema
from chat.api.parameters import index_name, json_object, whole_number, yes_or_no
from common.errors import InvalidInput
from features.feature_sets import feature_sets
from features.serving import read_features
from retrieval.search.execute import search
from retrieval.search.filters import EVERYONE
from retrieval.search.query import SearchOptions


class SearchView(AsyncAPIView):
    """Search an index."""

    permissions = {"GET": "retrieval.view_document"}

    @extend_schema(
        parameters=openapi.SEARCH,
        examples=[examples.HITS],
        responses={200: shapes.SearchResponseSerializer, 400: shapes.ErrorSerializer, 404: shapes.ErrorSerializer},
    )
    async def get(self, request: Request) -> Response:
        params = request.query_params
        options = _search_options(request)
        filters = json_object(params["filters"], "filters") if "filters" in params else None
        hits = await search(
            index_name(request), params.get("query", ""), whole_number(request, "top_k", 5), filters, **options
        )
        shown = shapes.HitSerializer(hits, many=True, context={"request": request})
        return Response({"hits": shown.data, "flags": list(hits.flags)})


class FeaturesView(AsyncAPIView):
    """Feature values of one entity, with their age and source."""

    permissions = {"GET": "features.view_featurevalue"}

    @extend_schema(
        parameters=[
            openapi.in_path("entity"),
            openapi.in_path("entity_id", openapi.IDENTITY),
            openapi.NAMES,
            openapi.REQUEST_DATA,
        ],
        examples=[examples.FEATURES],
        responses={200: shapes.FeaturesSerializer, 400: shapes.ErrorSerializer, 404: shapes.ErrorSerializer},
    )
    async def get(self, request: Request, entity: str, entity_id: str) -> Response:
        names = [name.strip() for name in request.query_params.get("names", "").split(",") if name.strip()]
        if not names:
            raise InvalidInput("names must list at least one feature.")
        caller_of(request).check_entity(entity, entity_id)
        return await _features(request, entity, entity_id, list(dict.fromkeys(names)))


class FeatureSetView(AsyncAPIView):
    """The values of a feature set's features, with their age and source."""

    permissions = {"GET": "features.view_featurevalue"}

    @extend_schema(
        parameters=[openapi.in_path("name"), openapi.in_path("entity_id", openapi.IDENTITY), openapi.REQUEST_DATA],
        examples=[examples.FEATURES],
        responses={200: shapes.FeaturesSerializer, 400: shapes.ErrorSerializer, 404: shapes.ErrorSerializer},
    )
    async def get(self, request: Request, name: str, entity_id: str) -> Response:
        declared = feature_sets.require(name)
        caller_of(request).check_entity(declared.entity.name, entity_id)
        return await _features(request, declared.entity.name, entity_id, declared.features)


async def _features(request: Request, entity: str, entity_id: str, names: Sequence[str]) -> Response:
    params = request.query_params
    data = json_object(params["request"], "request") if "request" in params else None
    reads = await read_features(entity, entity_id, names, data)
    shown = {read.feature: asdict(read) | {"value": read.stored} for read in reads}
    values = {name: shapes.FeatureReadSerializer(read).data for name, read in shown.items()}
    return Response({"entity": entity, "entity_id": entity_id, "features": values})


def _search_options(request: Request) -> SearchOptions:
    params = request.query_params
    if not params.get("mode", "hybrid"):
        raise InvalidInput("mode must be one of hybrid, semantic, lexical.")
    names = [name.strip() for name in params.get("audience", "").split(",") if name.strip()]
    options: SearchOptions = {"audience": EVERYONE if names == [EVERYONE] else names}
    if "mode" in params:
        options["mode"] = params["mode"]  # type: ignore[typeddict-item]  # checked by the search
    if "max_per_document" in params:
        options["max_per_document"] = whole_number(request, "max_per_document", 1)
    if "expand" in params:
        options["expand"] = whole_number(request, "expand", 0)
    if "rerank" in params:
        options["rerank"] = yes_or_no(request, "rerank")
    return options
