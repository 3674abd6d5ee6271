"""System checks: the limit of chunks, the querysets of model sources, and the serving generations.

The last of them, against the settings, with `--database default`.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import ProgrammingError, connections, transaction

from retrieval.embedders import get_embedder
from retrieval.errors import EmbedderUnavailable
from retrieval.model_sources.declaration import model_sources
from retrieval.model_sources.querysets import why_unfit
from retrieval.models import Index

_LEAST_CHUNK_TOKENS = 64


def check_chunk_limit(**kwargs: Any) -> list[CheckMessage]:
    if settings.FABRA_CHUNK_MAX_TOKENS >= _LEAST_CHUNK_TOKENS:
        return []
    return [
        Error(
            f"FABRA_CHUNK_MAX_TOKENS is {settings.FABRA_CHUNK_MAX_TOKENS}: chunks would be parts of words.",
            hint=f"Choose at least {_LEAST_CHUNK_TOKENS}; some chunks must fit the budget of a context.",
            id="retrieval.E005",
        )
    ]


def check_model_sources(**kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{type(source.declared).__name__}.queryset(), of the model source {source.name!r}: {reason}.",
            hint="Return a queryset of the model's objects that filter() and order_by('pk') go on from; what is chosen "
            "otherwise goes into filter(pk__in=...), whose subquery may be sliced, distinct or a union.",
            obj=source.location,
            id="retrieval.E006",
        )
        for source in model_sources.values()
        if (reason := why_unfit(source))
    ]


def check_generations(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Compare the embedder of the settings with the one of each index; searches use the index's own."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        if connections[alias].vendor != "postgresql":
            continue
        try:
            with transaction.atomic(using=alias):
                indexes = list(Index.objects.using(alias).exclude(generation=None).select_related("generation"))
        except ProgrammingError:
            continue  # not migrated yet
        found += [message for index in indexes for message in (*_messages(index), *_stale(index))]
    return found


def _messages(index: Index) -> list[CheckMessage]:
    generation = index.generation
    assert generation is not None
    hint = f"Build a new generation and switch to it: manage.py generations {index.name} build, then switch."
    backend = generation.embedder or settings.FABRA_EMBEDDER
    if (backend, generation.embedding_model) != (settings.FABRA_EMBEDDER, settings.FABRA_EMBEDDING_MODEL):
        return [
            Warning(
                f"The index {index.name!r} was made with {generation.embedding_model} ({generation.dimension} "
                f"dimensions), and the settings name {settings.FABRA_EMBEDDING_MODEL}{_dimension()}. It is searched "
                "with its own.",
                hint=hint,
                id="retrieval.W001",
            )
        ]
    if (dimension := _embedder_dimension()) not in (None, generation.dimension):
        return [
            Error(
                f"{generation.embedding_model} gives vectors of {dimension} dimensions, and the index {index.name!r} "
                f"was made with {generation.dimension}: it is searched by words alone.",
                hint=hint,
                id="retrieval.E001",
            )
        ]
    return []


def _stale(index: Index) -> list[CheckMessage]:
    """Warn of a threshold that was set for other scores than the index gives now."""
    if not (changes := index.stale_threshold()):
        return []
    return [
        Warning(
            f"The threshold of the index {index.name!r} is not applied, since its ranking is another now: "
            f"{'; '.join(changes)}.",
            hint=f"Calibrate it again: manage.py calibrate {index.name}; or clear it in the admin.",
            id="retrieval.W002",
        )
    ]


def _dimension() -> str:
    dimension = _embedder_dimension()
    return "" if dimension is None else f" ({dimension} dimensions)"


def _embedder_dimension() -> int | None:
    """Return the dimension of the embedder of the settings; None while it does not answer."""
    try:
        return get_embedder().dimension
    except EmbedderUnavailable:
        return None
