"""A large index is searched by its own indexes, also where the first look finds fewer hits than are asked for."""

from typing import Any

import pytest
from django.db import connection

from retrieval.generations import hnsw
from retrieval.indexing.documents import index_document
from retrieval.models import Chunk, Generation, Index
from retrieval.search.execute import search_sync
from retrieval.search.explain import recorded_plans

SIZE = 20_000

# Copies of the first chunk with vectors and words of their own, in one statement: embedding them would take minutes.
FILL = """
INSERT INTO retrieval_chunk
    (generation_id, document_id, version_id, position, heading_path, text, token_count, content_hash, metadata,
     audience, embedding, lexemes)
SELECT c.generation_id, c.document_id, c.version_id, n, '', 'filler word' || n, 3, md5(n::text), '{}', '{}',
    l2_normalize((SELECT array_agg(sin(n * 12.9898 + i * 78.233)) FROM generate_series(1, 16) i)::vector),
    to_tsvector('english', 'filler word' || n)
FROM retrieval_chunk c, generate_series(1, %s) n WHERE c.document_id = (SELECT min(document_id) FROM retrieval_chunk)
"""

# More pages of the document `manual`, which are found as its first.
PAGES = """
INSERT INTO retrieval_chunk
    (generation_id, document_id, version_id, position, heading_path, text, token_count, content_hash, metadata,
     audience, embedding, lexemes)
SELECT c.generation_id, c.document_id, c.version_id, n, '', c.text || ' Page ' || n, 12, md5('page' || n), '{}', '{}',
    c.embedding, c.lexemes
FROM retrieval_chunk c JOIN retrieval_document d ON d.id = c.document_id, generate_series(1, %s) n
WHERE d.entity_id = 'manual'
"""


@pytest.fixture
def large_index(transactional_db: None, embedder: Any, settings: Any) -> Generation:
    settings.FABRA_EMBEDDING_MODEL = "hashing-16"
    index_document("docs", "filler", "filler word")
    with connection.cursor() as cursor:
        cursor.execute(FILL, [SIZE])
        cursor.execute("ANALYZE retrieval_chunk")
    Index.objects.update(chunk_count=Chunk.objects.count())
    generation = Generation.objects.get()
    hnsw.build_hnsw(generation.pk)
    generation.refresh_from_db()
    return generation


def test_a_code_that_few_chunks_have_is_found_without_an_exact_scan(large_index: Generation) -> None:
    for number in range(3):
        index_document("docs", f"error-{number}", f"Pump {number} shows E-4021 if valve {number} is shut.")
    for options in ({}, {"max_per_document": 1}):
        with recorded_plans() as plans:
            record = search_sync("docs", "E-4021", 5, mode="lexical", **options)
        assert {hit.document_id for hit in record.hits} == {"error-0", "error-1", "error-2"}
        assert [hnsw.gin_name(large_index.pk) in plan.scanned for plan in plans] == [True]


def test_words_of_which_the_first_pass_leaves_some_out_are_scanned_exactly(large_index: Generation) -> None:
    index_document("docs", "error", "Pump shows E-4021 where the valve is shut.")
    Index.objects.update(chunk_count=Chunk.objects.count())
    with recorded_plans() as plans:
        # Every chunk has "filler": more than the GIN is asked for, and just one document to choose from.
        record = search_sync("docs", "filler E-4021", 5, mode="lexical", max_per_document=1)
    assert {hit.document_id for hit in record.hits} == {"error", "filler"}
    assert len(plans) > 1


def test_a_manual_that_fills_both_legs_is_read_past_without_an_exact_scan(large_index: Generation) -> None:
    index_document("docs", "manual", "How a refund of the yearly plan is asked for.")
    with connection.cursor() as cursor:
        cursor.execute(PAGES, [300])
    Index.objects.update(chunk_count=Chunk.objects.count())
    for number in range(6):
        index_document("docs", f"policy-{number}", f"A refund by rule {number} of the terms.")
    with recorded_plans() as plans:
        record = search_sync("docs", "refund of the yearly plan", 3, max_per_document=1)
    assert len({hit.document_id for hit in record.hits}) == 3
    assert record.hits[0].document_id == "manual"
    assert len(plans) > 1
    for plan in plans:
        assert hnsw.hnsw_name(large_index.pk) in plan.scanned
        assert hnsw.gin_name(large_index.pk) in plan.scanned


def test_a_handful_of_near_duplicates_is_read_past_without_an_exact_scan(large_index: Generation) -> None:
    for number in range(12):
        index_document(
            "docs", f"refund-{number}", "How a refund of the yearly plan is asked for and when it comes back."
        )
    index_document("docs", "policy", "A refund within thirty days.")
    with recorded_plans() as plans:
        record = search_sync("docs", "refund of the yearly plan", 5)
    assert len(record.hits) == 5
    assert sum(hit.document_id.startswith("refund-") for hit in record.hits) == 1
    assert "policy" in {hit.document_id for hit in record.hits}
    assert len(plans) == 2
    for plan in plans:
        assert hnsw.hnsw_name(large_index.pk) in plan.scanned
        assert hnsw.gin_name(large_index.pk) in plan.scanned
