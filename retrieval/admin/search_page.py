"""The retrieval test page: for a query, the hits of each leg and of their fusion, their scores, and the query plans."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from common.admin.html import admin_url, link
from common.admin.permissions import needs
from common.admin.site import render, site
from common.errors import FabraError
from retrieval.admin.search_forms import SearchForm
from retrieval.evaluation.golden import GoldenRecord, documents_of, normalised
from retrieval.models import Chunk, Document, DocumentVersion, GoldenQuestion, Index
from retrieval.models.golden import question_digest
from retrieval.search.execute import search_sync
from retrieval.search.explain import recorded_plans
from retrieval.search.filters import EVERYONE
from retrieval.search.highlight import highlighter
from retrieval.search.hits import Hit, SearchRecord

_PAGE = "retrieval:search_test"
_MODES = (
    ("hybrid", "Together", "the fusion of both legs, as a retriever gets it"),
    ("semantic", "By meaning", "the semantic leg: cosine of the embeddings"),
    ("lexical", "By words", "the lexical leg: BM25 as a share of the question's greatest possible one"),
)
_FLAGS = {
    "semantic_unavailable": "The embedder is down: words alone decided.",
    "lexical_empty": "No word of the question is in the index: meaning alone decided.",
    "rerank_unavailable": "The reranker did not answer.",
    "short": "Fewer chunks match than were asked for.",
}


@needs("retrieval.view_chunk")
def show(request: HttpRequest) -> HttpResponse:
    """Show the results for the query of the URL, or the empty form."""
    form = SearchForm(request.GET if "q" in request.GET else None, initial={"index": settings.FABRA_DEFAULT_INDEX})
    page: dict[str, Any] = {}
    if form.is_bound and form.is_valid():
        try:
            page = _results(form.cleaned_data, can_keep=request.user.has_perm("retrieval.add_goldenquestion"))
        except FabraError as error:
            name = str(error).split(" ", 1)[0]
            form.add_error(name if name in form.fields else None, str(error))
    context = {"title": "Search test", "form": form, "page": page}
    return render(request, "admin/retrieval/search/page.html", site.each_context(request) | context)


@needs("retrieval.add_goldenquestion", "retrieval.change_goldenquestion")
def keep(request: HttpRequest) -> HttpResponse:
    """Save the query as a golden question that expects the document, or add the document to an existing one."""
    form = SearchForm(request.POST)
    document_id = request.POST.get("document_id", "")
    if not form.is_valid():
        messages.error(request, "The question could not be kept; search again.")
        return HttpResponseRedirect(reverse(_PAGE))
    cleaned = form.cleaned_data
    try:
        golden = GoldenRecord(
            question=cleaned["q"],
            expected_documents=[document_id],
            filters=cleaned["filters"],
            audience=cleaned["audience"],
        )
    except FabraError as error:
        messages.error(request, str(error))
    else:
        row = _save(cleaned["index"], golden)
        messages.success(
            request,
            format_html("{} is expected of {}.", document_id, link(GoldenQuestion, row.pk, "the golden question")),
        )
    query = {name: request.POST.get(name, "") for name in SearchForm.base_fields}
    return HttpResponseRedirect(f"{reverse(_PAGE)}?{urlencode(query)}")


def _save(index: Index, golden: GoldenRecord) -> GoldenQuestion:
    digest = question_digest(golden.question, golden.filters, golden.audience)
    row, is_new = GoldenQuestion.objects.get_or_create(
        index=index,
        digest=digest,
        defaults={
            "question": golden.question, "expected_documents": golden.expected_documents, "filters": golden.filters,
            "audience": golden.audience,
        },
    )  # fmt: skip
    if not is_new:
        row.expected_documents = list(dict.fromkeys([*row.expected_documents, *golden.expected_documents]))
        row.save()
    return row


def _results(cleaned: dict[str, Any], *, can_keep: bool) -> dict[str, Any]:
    index: Index = cleaned["index"]
    golden = GoldenQuestion.objects.filter(
        index=index, digest=question_digest(cleaned["q"], cleaned["filters"], cleaned["audience"])
    ).first()
    plans = {}
    for mode, _, _ in _MODES:
        with recorded_plans() as plans[mode]:
            _search(cleaned, mode)
    # Search again for correct timings, without recording plans; the model and the index are warm now.
    records = {mode: _search(cleaned, mode) for mode, _, _ in _MODES}
    fused_ranks = {hit.chunk_id: rank for rank, hit in enumerate(records["hybrid"].hits, 1)}
    hits = [hit for record in records.values() for hit in record.hits]
    mark = highlighter(index.language, cleaned["q"], (hit.content for hit in hits))
    documents = dict(
        DocumentVersion.objects.filter(pk__in={hit.version_id for hit in hits}).values_list("pk", "document_id")
    )
    return {
        "ways": [
            {
                "mode": mode, "title": title, "what": description, "plans": plans[mode],
                "record": records[mode], "flags": [_FLAGS.get(flag, flag) for flag in records[mode].flags],
                "hits": list(_hits(mode, records[mode], mark, documents, golden, fused_ranks)),
            }
            for mode, title, description in _MODES
        ],
        "index": index,
        "generation": index.generation,
        "options": records["hybrid"].options,
        "golden": golden,
        "golden_url": admin_url(GoldenQuestion, golden.pk) if golden else "",
        "can_keep": can_keep,
    }  # fmt: skip


def _search(cleaned: dict[str, Any], mode: str) -> SearchRecord:
    return search_sync(
        cleaned["index"].name,
        cleaned["q"],
        cleaned["top_k"],
        cleaned["filters"],
        mode=mode,  # type: ignore[arg-type]
        fusion=cleaned["fusion"] or None,
        lexical_weight=cleaned["lexical_weight"],
        audience=cleaned["audience"] or EVERYONE,
    )


def _hits(
    mode: str,
    record: SearchRecord,
    mark: Callable[[str], str],
    documents: dict[int, int],
    golden: GoldenQuestion | None,
    fused_ranks: dict[int, int],
) -> Iterator[dict[str, Any]]:
    best = max((hit.score for hit in record.hits), default=0) or 1
    for rank, hit in enumerate(record.hits, 1):
        label, tone = _legs(hit) if mode == "hybrid" else _fused_rank(fused_ranks.get(hit.chunk_id))
        yield {
            "hit": hit,
            "rank": rank,
            "text": mark(hit.content),
            "percent": f"{max(0, 100 * hit.score / best):.1f}",
            "label": label,
            "tone": tone,
            "document_url": admin_url(Document, documents[hit.version_id]) if hit.version_id in documents else "",
            "chunk_url": admin_url(Chunk, hit.chunk_id),
            "is_expected": golden is not None and _is_expected(hit, golden),
        }


def _legs(hit: Hit) -> tuple[str, str]:
    """Return the leg that found a hit, and the tone of its badge."""
    if hit.semantic_rank is not None and hit.lexical_rank is not None:
        return "both legs", "good"
    return ("by words", "warn") if hit.semantic_rank is None else ("by meaning", "info")


def _fused_rank(rank: int | None) -> tuple[str, str]:
    return (f"together {rank}", "good") if rank else ("not together", "plain")


def _is_expected(hit: Hit, golden: GoldenQuestion) -> bool:
    is_document = not golden.expected_documents or not documents_of(hit).isdisjoint(golden.expected_documents)
    return is_document and normalised(golden.expected_text) in normalised(hit.content)
