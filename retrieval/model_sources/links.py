"""From a document back to the object that it was made of."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse

from retrieval.model_sources.declaration import ModelSourceSpec, model_sources


def source_of(index: str, document_id: str) -> tuple[ModelSourceSpec, str] | None:
    """Return the source of a document, and the key of its object; None for another document."""
    label, colon, pk = document_id.partition(":")
    source = model_sources.get(f"{label} in {index}") if colon else None
    return (source, pk) if source else None


def object_url(index: str, document_id: str, request: Any) -> str:
    """Return the admin page of a document's object; "" without one, or if the user may not see it."""
    found = source_of(index, document_id)
    user = getattr(request, "user", None)
    if found is None or user is None or not (user.is_active and getattr(user, "is_staff", False)):
        return ""
    model = found[0].model
    is_shown = admin.site.is_registered(model)
    if not is_shown or not admin.site.get_model_admin(model).has_view_or_change_permission(request):
        return ""
    return admin_url(found[0].label, found[1])


def admin_url(label: str, pk: str) -> str:
    """Return the admin page of an object of a model; "" without one."""
    try:
        model = apps.get_model(label)
    except LookupError:  # the code is gone
        return ""
    if not admin.site.is_registered(model):
        return ""
    try:
        return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[quote(pk)])
    except NoReverseMatch:  # the project has this admin elsewhere
        return ""
