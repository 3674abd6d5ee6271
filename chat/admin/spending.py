"""Admin of the calls of language models, with what each cost."""

from unfold.decorators import display

from chat.models import CostKind, ModelCall
from common.admin.base import ReadOnlyAdmin, moment
from common.admin.html import badge, link, one_line
from common.admin.site import register
from contexts.models import Trace

_TONES = {CostKind.EXACT: "good", CostKind.ESTIMATED: "info", CostKind.UNKNOWN: "warn"}


@register(ModelCall)
class ModelCallAdmin(ReadOnlyAdmin):
    list_display = (
        moment("created_at"), "purpose", "provider", "model", "context", "user_id", "tokens", "cost", "shown_kind",
        "trace",
    )  # fmt: skip
    list_filter = ("purpose", "kind", "created_at")
    ordering = ("-created_at",)
    sortable_by = ()
    search_fields = ("user_id__exact",)
    search_help_text = "A user's whole id."
    fields = (
        ("created_at", "purpose"), ("provider", "model", "context"), ("user_id", "tier", "key"),
        ("prompt_tokens", "completion_tokens"), ("cost_usd", "kind"), "trace",
    )  # fmt: skip
    readonly_fields = ("trace",)

    @display(description="tokens in + out")
    def tokens(self, row: ModelCall) -> str:
        return one_line(f"{row.prompt_tokens:,} + {row.completion_tokens:,}")

    @display(description="US$")
    def cost(self, row: ModelCall) -> str:
        return "–" if row.cost_usd is None else f"{row.cost_usd:.6f}"

    @display(description="cost is")
    def shown_kind(self, row: ModelCall) -> str:
        return badge(row.kind, _TONES.get(CostKind(row.kind), "plain"))

    @display(description="trace")
    def trace(self, row: ModelCall) -> str:
        return link(Trace, row.trace_id, "trace")
