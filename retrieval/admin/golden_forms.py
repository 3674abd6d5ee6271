"""Forms of golden questions and their runs."""

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from common.admin.base import JsonTextField
from common.errors import FabraError
from retrieval.evaluation.benchmark import MODES, is_available
from retrieval.evaluation.golden import FIELDS, GoldenRecord, read_golden
from retrieval.models import GoldenQuestion, Index
from retrieval.models.golden import question_digest
from retrieval.search.query import QUERY_MAX_CHARS

_FILE_MAX_BYTES = 10_000_000


class TextLinesField(forms.CharField):
    """A list of texts, one on each line; `is_ordered` keeps a line that is there twice."""

    def __init__(self, *, is_ordered: bool = False, **kwargs: Any) -> None:
        self.is_ordered = is_ordered
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        lines = [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]
        return lines if self.is_ordered else list(dict.fromkeys(lines))

    def run_validators(self, value: Any) -> None:
        """Skip the validators of text fields; the form checks the whole question at once."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class GoldenQuestionForm(forms.ModelForm):  # type: ignore[type-arg]
    question = forms.CharField(max_length=QUERY_MAX_CHARS, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))
    history = TextLinesField(
        required=False,
        is_ordered=True,
        help_text="What was asked before it in the conversation, the oldest first, one question on each line.",
    )
    expected_documents = TextLinesField(
        required=False, help_text="Ids of the documents that answer it, one on each line."
    )
    expected_text = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="A passage that a right hit holds, whatever its case and white space. With documents: a hit must "
        "be of one of them and hold this.",
    )
    filters = JsonTextField(required=False, rows=3, help_text="A JSON object, as a search takes it.")
    audience = TextLinesField(required=False, help_text="Who asks, one on each line. Empty: everything is searched.")
    tags = TextLinesField(required=False, help_text="To ask some of the questions only; one on each line.")

    class Meta:
        model = GoldenQuestion
        fields = ("index", *FIELDS)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        try:
            golden = GoldenRecord(**{name: data[name] for name in FIELDS})
        except FabraError as error:
            name = str(error).split(" ", 1)[0]
            self.add_error(name if name in self.fields else None, str(error))
            return data
        digest = question_digest(golden.question, golden.filters, golden.audience, golden.history)
        same = GoldenQuestion.objects.filter(index=data["index"], digest=digest).exclude(pk=self.instance.pk)
        if same.exists():
            self.add_error("question", "This index has this question already, asked the same way.")
        return data


class IndexField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            Index.objects.exclude(generation=None), empty_label=None, widget=UnfoldAdminSelectWidget, **kwargs
        )


class ImportForm(forms.Form):
    index = IndexField()
    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"CSV, whose lists are separated by |, JSON Lines or a JSON list. Fields: {', '.join(FIELDS)}. "
        "A question that the index has already is changed.",
    )

    def clean_file(self) -> list[GoldenRecord]:
        file = self.cleaned_data["file"]
        if file.size > _FILE_MAX_BYTES:
            raise forms.ValidationError(f"The file must have at most {_FILE_MAX_BYTES:,} bytes.")
        try:
            return read_golden(file.read(), file.name)
        except FabraError as error:
            raise forms.ValidationError(str(error)) from None


class RunForm(forms.Form):
    index = IndexField()
    mode = forms.ChoiceField(
        choices=lambda: [(mode, mode) for mode in MODES if is_available(mode)],
        initial="hybrid",
        widget=UnfoldAdminSelectWidget,
    )
    tag = forms.CharField(
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="Ask only the questions with this tag. Empty: all that are enabled.",
    )
