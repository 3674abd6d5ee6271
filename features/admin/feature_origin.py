"""Where a feature's values come from, on its admin page, as this process declares it."""

from django.utils.html import format_html_join
from unfold.decorators import display

from common.admin.html import link
from features import registry
from features.feature_sets import sets_with
from features.models import FeatureDefinition
from features.models.definitions import REQUEST


class FeatureOrigin:
    @display(description="source")
    def origin(self, row: FeatureDefinition) -> str:
        spec = registry.features.get(row.name)
        if spec is not None and spec.queryset is not None:
            return f"the rows of {spec.queryset}"
        kinds = {REQUEST: "the request, and other features", "": "its function"}
        return kinds.get(row.source, f"the user's {row.source}")

    @display(description="recomputed when these change")
    def watched(self, row: FeatureDefinition) -> str:
        spec = registry.features.get(row.name)
        if spec is None or spec.queryset is None:
            return f"on the event {row.trigger}" if row.trigger else "–"
        watches = [
            f"{watch.model._meta.label} ({', '.join(watch.lookups) or 'any row'})" for watch in spec.queryset.watches
        ]
        return ", ".join([spec.queryset.model._meta.label, *watches])

    @display(description="computed from")
    def inputs(self, row: FeatureDefinition) -> str:
        spec = registry.features.get(row.name)
        names = spec.inputs if spec else ()
        found = FeatureDefinition.objects.in_bulk(names, field_name="name") if names else {}
        links = [link(FeatureDefinition, found[name].pk, name) if name in found else name for name in names]
        asks = ["the request"] if spec and spec.takes_request else []
        return format_html_join(", ", "{}", ((source,) for source in [*links, *asks])) or "–"

    @display(description="feature sets")
    def sets(self, row: FeatureDefinition) -> str:
        return ", ".join(declared.name for declared in sets_with(row.name)) or "–"
