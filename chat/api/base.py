"""The bases of the API's views: nothing of them comes from REST_FRAMEWORK, which a project has for its own API."""

from collections.abc import Callable
from typing import Any

from adrf.views import APIView as AdrfAPIView
from drf_spectacular import utils
from drf_spectacular.openapi import AutoSchema
from rest_framework import generics, views
from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

from chat.api.auth import ApiKeyAuthentication, HasPermission, KeyThrottle, SessionAuthentication
from chat.api.errors import handle_exception
from chat.api.pagination import KeysetPagination
from chat.api.parsers import StrictJSONParser


class PlainJSONRenderer(JSONRenderer):
    encoder_class = JSONEncoder
    ensure_ascii, compact, strict = False, True, True


class OwnRules:
    """What a view does that says nothing else; before DRF's class among the bases."""

    renderer_classes: Any = (PlainJSONRenderer,)
    parser_classes: Any = (StrictJSONParser,)
    authentication_classes: Any = (ApiKeyAuthentication, SessionAuthentication)
    permission_classes: Any = (HasPermission,)
    throttle_classes: Any = (KeyThrottle,)
    content_negotiation_class: Any = DefaultContentNegotiation
    metadata_class: Any = SimpleMetadata
    versioning_class: Any = None
    schema: Any = AutoSchema()

    def get_exception_handler(self) -> Any:
        return handle_exception


class APIView(OwnRules, views.APIView):
    pass


class AsyncAPIView(OwnRules, AdrfAPIView):
    pass


class ListAPIView(OwnRules, generics.ListAPIView[Any]):
    pagination_class = KeysetPagination
    filter_backends = ()


def extend_schema(**options: Any) -> Callable[[Any], Any]:
    """Describe a view's method as drf-spectacular's function does, whatever schema class the project has."""

    def describe(method: Any) -> Any:
        if not isinstance(method, type):
            method.kwargs = getattr(method, "kwargs", None) or {"schema": AutoSchema}
        return utils.extend_schema(**options)(method)

    return describe
