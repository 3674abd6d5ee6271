"""Admin pages of declared entities."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from common.admin.base import DefinitionAdmin, state_of
from common.admin.html import badge, link, list_link, table
from common.admin.site import register
from features.feature_sets import feature_sets
from features.models import EntityDefinition, FeatureDefinition, KnownEntity


@register(EntityDefinition)
class EntityDefinitionAdmin(DefinitionAdmin):
    list_display = ("name", "key", "shown_state", "description", "location")
    list_filter = (("gone_at", admin.EmptyFieldListFilter),)
    fields = ("name", "key", "description", "location", "gone_at", "created_at", "features", "sets", "known")
    readonly_fields = ("features", "sets", "known")
    needs_permission = {"features": "features.view_featuredefinition", "known": "features.view_knownentity"}
    operator_fields = ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="state")
    def shown_state(self, row: EntityDefinition) -> str:
        return badge(state_of(row))

    @display(description="features")
    def features(self, row: EntityDefinition) -> str:
        found = FeatureDefinition.objects.filter(entity=row.name)
        rows = [
            (link(FeatureDefinition, definition.pk, definition.name), definition.mode, badge(state_of(definition)))
            for definition in found
        ]
        return table(["Feature", "How values come about", "State"], rows)

    @display(description="feature sets")
    def sets(self, row: EntityDefinition) -> str:
        rows = [
            (declared.name, ", ".join(declared.features), declared.description or "–", str(declared.location))
            for declared in feature_sets.values()
            if declared.entity.name == row.name
        ]
        return table(["Set", "Features", "Description", "Declared in"], rows, "None.")

    @display(description="known entities")
    def known(self, row: EntityDefinition) -> str:
        newest = KnownEntity.objects.filter(entity=row.name).order_by("-last_seen_at")[:10]
        rows = [
            (link(KnownEntity, entity.pk, entity.entity_key), f"{entity.last_seen_at:%Y-%m-%d %H:%M}")
            for entity in newest
        ]
        return format_html(
            "{} {}", table([row.key, "Last seen (UTC)"], rows), list_link(KnownEntity, "All of them", entity=row.name)
        )
