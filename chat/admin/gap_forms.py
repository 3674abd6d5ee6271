"""Forms of a gap: the article that is to answer it, and the search for one that is there."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.text import slugify
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from chat.models import Gap
from retrieval.models import Document, Index
from retrieval.search.execute import search_sync
from retrieval.search.filters import EVERYONE
from retrieval.search.hits import Hit
from retrieval.search.query import QUERY_MAX_CHARS

_FOUND = 8
_TITLE_MAX_CHARS = 200
_ID_MAX_CHARS = 80


class ArticleSearchForm(forms.Form):
    q = forms.CharField(
        label="Search", max_length=QUERY_MAX_CHARS, widget=UnfoldAdminTextInputWidget,
        help_text="As the bot searches: by meaning and by words.",
    )  # fmt: skip
    index = forms.ModelChoiceField(
        Index.objects.exclude(generation=None), to_field_name="name", empty_label=None, widget=UnfoldAdminSelectWidget
    )


def article_of(gap: Gap) -> dict[str, Any]:
    """Return a new article's first values: the question is its title and its heading."""
    title = " ".join(gap.title.split())[:_TITLE_MAX_CHARS]
    return {
        "index": Index.objects.filter(name=settings.FABRA_DEFAULT_INDEX).first(),
        "entity_id": slugify(title)[:_ID_MAX_CHARS].strip("-") or f"gap-{gap.pk}",
        "title": title,
        "text": f"# {title}\n\n",
    }


def find_articles(index: Index, query: str) -> list[tuple[Document, Hit]]:
    """Return the documents that a search finds, best first, each with its best hit; raise InvalidInput."""
    hits = search_sync(index.name, query, _FOUND, audience=EVERYONE, max_per_document=1).hits
    documents = Document.objects.live().filter(index=index, entity_id__in=[hit.document_id for hit in hits])
    by_id = {document.entity_id: document for document in documents.defer("text", "metadata")}
    return [(by_id[hit.document_id], hit) for hit in hits if hit.document_id in by_id]
