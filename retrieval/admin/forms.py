"""Forms of documents and indexes: errors that the engine would raise are shown at their field."""

from typing import Any

from django import forms
from django.contrib.postgres.forms import SimpleArrayField
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from common.admin.base import JsonTextField
from common.errors import FabraError
from common.validation import check_key
from events.event import AxiomEvent
from retrieval.indexing.document_input import check_document
from retrieval.models import Document, Index
from retrieval.search.filters import AUDIENCE_MAX_CHARS
from retrieval.search.lexemes import languages
from retrieval.search.query import MAX_LEXICAL_WEIGHT


class DocumentForm(forms.ModelForm):  # type: ignore[type-arg]
    text = forms.CharField(
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 28, "class": "fb-mono", "spellcheck": "false"}),
        help_text="Markdown. Headings become the chunks' heading path.",
    )
    metadata = JsonTextField(required=False, help_text="A JSON object; searches can filter by its values.")

    audience = SimpleArrayField(
        forms.CharField(max_length=AUDIENCE_MAX_CHARS),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Who may find it, with commas between; empty: everyone.",
    )

    class Meta:
        model = Document
        fields = ("index", "entity_id", "title", "text", "metadata", "audience")

    def clean_text(self) -> str:
        # A browser sends CR LF; then every chunk would differ from the same text sent to the API.
        return self.cleaned_data["text"].replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        index = data.get("index") or self.instance.index
        entity_id = data.get("entity_id") or self.instance.entity_id
        try:
            check_document(index.name, entity_id, data["text"], data["metadata"], data["title"], data["audience"])
            _check_event(index, entity_id, data)
        except FabraError as error:
            self.add_error(_field_of(str(error), self.fields), str(error))
        else:
            self._take_over_deleted(index, entity_id)
        return data

    def _take_over_deleted(self, index: Index, entity_id: str) -> None:
        """Restore a deleted document if the new one has its id."""
        if self.instance.pk is None:
            known = Document.objects.filter(index=index, entity_id=entity_id).exclude(deleted_at=None).first()
            if known is not None:
                self.instance = known


class RankingForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Index
        fields = ("mode", "fusion", "lexical_weight", "rerank")

    def clean_lexical_weight(self) -> float:
        weight = float(self.cleaned_data["lexical_weight"])
        if not 0 <= weight <= MAX_LEXICAL_WEIGHT:
            raise forms.ValidationError(f"It must be from 0 to {MAX_LEXICAL_WEIGHT}.")
        return weight


class IndexForm(RankingForm):
    language = forms.ChoiceField(
        choices=lambda: [(name, name) for name in languages()],
        initial="english",
        widget=UnfoldAdminSelectWidget,
        help_text="The text-search configuration of the lexical leg.",
    )

    class Meta:
        model = Index
        fields = ("name", "language", *RankingForm.Meta.fields)

    def clean_name(self) -> str:
        try:
            return check_key(self.cleaned_data["name"], "name")
        except FabraError as error:
            raise forms.ValidationError(str(error)) from None


def _check_event(index: Index, entity_id: str, data: dict[str, Any]) -> None:
    """Check the event that the save publishes, which has its own limits; raise InvalidInput."""
    payload = {
        "index": index.name,
        "content": data["text"],
        "metadata": data["metadata"],
        "audience": data["audience"],
        "title": data["title"],
    }
    AxiomEvent(event_type="doc_updated", entity_id=entity_id, payload=payload).validate()


def _field_of(message: str, fields: dict[str, forms.Field]) -> str | None:
    name = message.split(" ", 1)[0]
    # The payload is as large as its text.
    return "text" if name == "payload" else name if name in fields else None
