"""Declare that the rows of a model are documents of an index."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from common.definitions import Location, Registry, add_once
from common.errors import DefinitionError, InvalidInput
from common.model_changes import Watch, watch_of
from retrieval.indexing.document_input import check_index_name

FORMATS = ("markdown", "html")
NAME_MAX_CHARS = 200
METHODS = ("queryset", "text", "title", "metadata", "audience", "url")
"""What a class of a source may define; `text` it must."""

OnDeclared = Callable[["ModelSourceSpec"], None]


@dataclass(frozen=True, kw_only=True)
class ModelSourceSpec:
    """A declared source: the rows of a model that are documents of an index."""

    name: str
    """Such as `shop.article in help`."""
    model: type[models.Model]
    index: str
    format: str
    """What `text` returns, one of FORMATS."""
    watches: tuple[Watch, ...]
    """Other models whose changes are changes of the documents."""
    declared: Any
    """An instance of the declared class."""
    description: str
    location: Location
    relations: set[str] = field(default_factory=set, compare=False)
    """The relations that its methods were seen to follow, which are read for many objects at once."""

    @property
    def label(self) -> str:
        """The model's label in lower case, such as `shop.article`, with which the ids of its documents begin."""
        return self.model._meta.label_lower

    def entity_id(self, pk: Any) -> str:
        """Return the id of the document of an object, such as `shop.article:17`."""
        return f"{self.label}:{pk}"

    def key(self, text: str) -> Any:
        """Return a primary key of the model that was written as text; None for what is none."""
        try:
            return self.model._meta.pk.to_python(text)
        except (ValidationError, ValueError):
            return None

    def queryset(self) -> models.QuerySet[Any]:
        """Return the objects that are documents: what the class says, or all of the model; it may raise anything."""
        if hasattr(self.declared, "queryset"):
            return self.declared.queryset()
        return self.model._default_manager.all()


model_sources: Registry[ModelSourceSpec] = Registry("model source")
_listeners: list[OnDeclared] = []


def on_declared(listener: OnDeclared) -> None:
    """Have a function called with each source when it is declared from now on; the same one is registered once."""
    add_once(_listeners, listener)


def index_model(
    model: type[models.Model], index: str | None = None, *, format: str = "markdown"
) -> Callable[[type], type]:
    """Declare a class whose methods say how the rows of `model` are documents of `index` (default: the settings').

    `text(self, obj)` returns the document's text in `format`, `markdown` or `html`; an object without text is no
    document. Optional are `queryset(self)`, the objects that are documents (default: all), `title(self, obj)`,
    `metadata(self, obj)`, a dict of JSON, `audience(self, obj)`, a list of the names of those who may find it (empty:
    everyone), `url(self, obj)` (default: `get_absolute_url`), and `watches`: a list of other models that these depend
    on, each alone or with a lookup from `model`, as in `(Author, "sections__author")`. All are plain functions.

    Raise DefinitionError for a class without `text`, a method that takes other arguments or is async, an abstract
    model or one with a composite key, an unknown format, an invalid index, or a source that is declared elsewhere.
    """

    def declare(cls: type) -> type:
        if not (isinstance(model, type) and issubclass(model, models.Model)) or model._meta.abstract:
            raise DefinitionError(f"{cls.__name__}: index_model takes a model, not {model!r}.")
        if isinstance(model._meta.pk, models.CompositePrimaryKey):
            raise DefinitionError(
                f"{cls.__name__}: the key of {model.__name__} has several columns, and a document is named by one. "
                "Give the model a key of its own, or record doc_updated events of its rows."
            )
        try:
            index_name = check_index_name(index or settings.FABRA_DEFAULT_INDEX, "index")
        except InvalidInput as error:
            raise DefinitionError(f"{cls.__name__}: {error}") from None
        if len(name := f"{model._meta.label_lower} in {index_name}") > NAME_MAX_CHARS:
            raise DefinitionError(f"{cls.__name__}: the name of the index is too long beside that of the model.")
        if format not in FORMATS:
            raise DefinitionError(f"{cls.__name__}: format is one of {', '.join(FORMATS)}, not {format!r}.")
        _check_methods(cls)
        watches = getattr(cls, "watches", ())
        if not isinstance(watches, list | tuple):
            raise DefinitionError(f"{cls.__name__}: watches is a list of models, not {watches!r}.")
        doc = cls.__dict__.get("__doc__")
        spec = ModelSourceSpec(
            name=name,
            model=model,
            index=index_name,
            format=format,
            watches=tuple(watch_of(model, watched, cls.__name__) for watched in watches),
            declared=cls(),
            description=inspect.cleandoc(doc) if doc else "",
            location=Location.of(cls),
        )
        model_sources.add(spec.name, spec)
        for listener in _listeners:
            listener(spec)
        return cls

    return declare


def _check_methods(cls: type) -> None:
    if not callable(getattr(cls, "text", None)):
        raise DefinitionError(f"{cls.__name__} has no method `text(self, obj)`, which returns the text of an object.")
    for name in METHODS:
        method = getattr(cls, name, None)
        if method is None:
            continue
        if inspect.iscoroutinefunction(method):
            raise DefinitionError(f"{cls.__name__}.{name} must be a plain function: it is called for many objects.")
        wanted = [None] if name == "queryset" else [None, None]
        try:
            inspect.signature(method).bind(*wanted)
        except TypeError:
            takes = "self" if name == "queryset" else "self, obj"
            raise DefinitionError(f"{cls.__name__}.{name} is called with ({takes}).") from None
