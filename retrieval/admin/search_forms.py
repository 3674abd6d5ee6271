"""The form of the retrieval test page."""

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from common.admin.base import JsonTextField
from retrieval.admin.golden_forms import IndexField
from retrieval.models import Index
from retrieval.search.query import QUERY_MAX_CHARS


class SearchForm(forms.Form):
    index = IndexField(to_field_name="name")
    q = forms.CharField(
        label="Question",
        max_length=QUERY_MAX_CHARS,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2, "autofocus": True, "placeholder": "What would a user ask?"}),
    )
    top_k = forms.IntegerField(
        label="Hits", min_value=1, max_value=50, initial=8, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    fusion = forms.ChoiceField(
        choices=[("", "as the index has it"), *Index.Fusion.choices], required=False, widget=UnfoldAdminSelectWidget
    )
    lexical_weight = forms.FloatField(
        label="Weight of words",
        min_value=0,
        max_value=10,
        required=False,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "placeholder": "as the index has it"}),
    )
    audience = forms.CharField(
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "everything"}),
        help_text="Who asks, separated by commas. Empty: every document is searched.",
    )
    filters = JsonTextField(required=False, rows=2)

    def clean_q(self) -> str:
        query: str = self.cleaned_data["q"].replace("\r\n", "\n")
        if not query.strip():
            raise forms.ValidationError("Type a question.")
        return query

    def clean_top_k(self) -> int:
        return self.cleaned_data["top_k"] or 8

    def clean_audience(self) -> list[str]:
        return [name.strip() for name in self.cleaned_data["audience"].split(",") if name.strip()]
