"""The upload form: files, and the options for reading them."""

from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from common.admin.base import JsonTextField
from common.errors import FabraError
from retrieval.ingestion.runs import RunOptions, parse_mapping
from retrieval.readers import SUFFIXES, is_readable


class FilesWidget(UnfoldAdminFileFieldWidget):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """A field that accepts several files."""

    widget = FilesWidget

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        files = data if isinstance(data, list | tuple) else [data]
        return [super(FilesField, self).clean(file, initial) for file in files]


class UploadForm(forms.Form):
    documents = FilesField(
        label="Files",
        widget=FilesWidget(attrs={"multiple": True}),
        help_text=f"{', '.join(sorted(SUFFIXES))}, or a .zip of them.",
    )
    index = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="The index to bring them into; made if there is none.",
    )
    source = forms.CharField(
        max_length=200,
        initial="upload",
        widget=UnfoldAdminTextInputWidget,
        help_text="What the documents' origin is called.",
    )
    mapping = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "text=body,title=headline,id=sku"}),
        help_text="For tables: which column is the text, the title and the id. Empty: by the columns' names.",
    )
    base_url = forms.URLField(
        required=False,
        assume_scheme="https",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "https://docs.example.com"}),
        help_text="The address of the pages: each document links back to its own below it.",
    )
    metadata = JsonTextField(required=False, rows=3, help_text="A JSON object that each document gets, to filter by.")
    audience = forms.CharField(
        required=False, widget=UnfoldAdminTextInputWidget, help_text="Who may find them, separated by commas."
    )

    def clean_documents(self) -> list[Any]:
        files = self.cleaned_data["documents"]
        total = sum(file.size for file in files)
        if total > settings.FABRA_UPLOAD_MAX_BYTES:
            raise forms.ValidationError(
                f"{total:,} bytes, and the limit is {settings.FABRA_UPLOAD_MAX_BYTES:,}; use index_documents."
            )
        for file in files:
            if not is_readable(file.name) and not file.name.lower().endswith(".zip"):
                raise forms.ValidationError(f"{file.name}: no reader for this kind of file.")
        if len({file.name for file in files}) < len(files):
            raise forms.ValidationError("Two files have the same name.")
        return files

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                data["options"] = RunOptions(
                    mapping=parse_mapping(data["mapping"]),
                    base_url=data["base_url"],
                    metadata=data["metadata"],
                    audience=sorted({name.strip() for name in data["audience"].split(",") if name.strip()}),
                )
            except FabraError as error:
                name = str(error).split(" ", 1)[0]
                self.add_error(name if name in self.fields else None, str(error))
        return data
