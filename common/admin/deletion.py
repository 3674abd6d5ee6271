"""What a deletion in the admin takes along, counted: Django's own page reads all these rows, and asks about each.

An endpoint with 8,325 deliveries took 2.2 s that way, to be refused in the end: nobody may delete a delivery by itself.
"""

from collections import Counter
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import CASCADE, PROTECT, RESTRICT, Model, QuerySet
from django.db.models.deletion import get_candidate_relations_to_delete
from django.http import HttpRequest

from common.sql.estimates import approximate_count

Counts = Counter[type[Model]]


def rows_with(rows: QuerySet[Any], above: tuple[type[Model], ...] = ()) -> Counts | None:
    """Return how many rows of other tables go with these, by table; None if others may keep these from going."""
    counts: Counts = Counter()
    relations: Any = get_candidate_relations_to_delete(rows.model._meta)
    for relation in relations:
        child: Any = relation.related_model
        referring = child._base_manager.filter(**{f"{relation.field.name}__in": rows})
        if relation.on_delete in (PROTECT, RESTRICT) and referring.exists():
            return None
        if relation.on_delete is not CASCADE or child in above:
            continue
        count = approximate_count(referring)
        beneath = rows_with(referring, (*above, child)) if count else Counter()
        if beneath is None:
            return None
        counts += Counter({child: count}) + beneath
    return counts


def may_go_along(request: HttpRequest, site: AdminSite, model: type[Model]) -> bool:
    """Return whether the user may delete rows of a table with what they belong to.

    Those that only the program writes have nobody who may delete them, and go with it.
    """
    if not site.is_registered(model) or getattr(site.get_model_admin(model), "has_only_program_rows", False):
        return True
    return request.user.has_perm(f"{model._meta.app_label}.delete_{model._meta.model_name}")
