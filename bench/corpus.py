"""A large index to search: clustered vectors and plausible text, filled once and kept for the next run."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from django.db import connection, transaction

from bench.figures import say
from bench.questions import sample_words
from retrieval.embedders import get_embedder
from retrieval.evaluation import temporary_index
from retrieval.generations import hnsw
from retrieval.models import Document, DocumentVersion, Generation, Index
from retrieval.search.lexemes import lexical_words, merge_counts

_BATCH = 5000
_TELL_S = 30
_CENTRES = 400
_NOISE = 0.7
"""How far a chunk lies from its cluster's centre, which has length 1."""
_CENTRE_WORDS = 40
_CHUNKS_PER_DOCUMENT = 10
_PHRASES, _PHRASE_WORDS = 8, 10
_NEAR = 200
"""Words between a centre's passage and the phrases of its chunks, at most."""


def filled_index(size: int) -> Index:
    """Return the index of so many chunks, with its HNSW; what an earlier run filled is used again."""
    name = f"corpus-{size}"
    index = Index.objects.filter(name=name, chunk_count=size).select_related("generation").first()
    if index is None:
        say(f"Filling an index of {size:,} chunks ...")
        started = time.perf_counter()
        with transaction.atomic():
            temporary_index.remove(name)  # one that somebody changed
            index = _fill(name, size)
        say(f"Filled in {time.perf_counter() - started:.0f} s, document frequencies and term weights included.")
    assert index.generation is not None
    if not index.generation.has_hnsw:
        say(f"Building the HNSW and the GIN of {size:,} chunks; this is the longest part ...")
        merge_counts(index.generation.pk)
        started = time.perf_counter()
        with _told_progress(index.generation.pk):
            hnsw.build_hnsw(index.generation.pk)
        say(f"Built in {time.perf_counter() - started:.0f} s.")
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE retrieval_chunk, retrieval_lexemecount")
    return index


@contextmanager
def _told_progress(generation_id: int) -> Iterator[None]:
    is_done = threading.Event()

    def tell() -> None:
        while not is_done.wait(_TELL_S):
            say(f"... {hnsw.build_share(generation_id) or 0:.0%} of the HNSW")
        connection.close()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


def _fill(name: str, size: int) -> Index:
    embedder = get_embedder()
    index = Index.objects.create(name=name, chunk_count=size, version=1)
    index.generation = Generation.objects.create(
        index=index, embedding_model=embedder.model, dimension=embedder.dimension
    )
    index.save()
    documents = Document.objects.bulk_create(
        Document(index=index, entity_id=f"doc-{number}", title=f"Article {number}", state=Document.State.INDEXED)
        for number in range(size // _CHUNKS_PER_DOCUMENT)
    )
    versions = DocumentVersion.objects.bulk_create(
        DocumentVersion(document=document, number=1, title=document.title, text="", source="bench")
        for document in documents
    )
    with connection.cursor() as cursor:
        # Vectors go in the binary form, which costs a tenth of their text.
        cursor.execute("CREATE TEMP TABLE bench_vector (n int, embedding vector) ON COMMIT DROP")
        cursor.execute(
            "CREATE TEMP TABLE bench_text (n int, document_id bigint, version_id bigint, text text, words text) "
            "ON COMMIT DROP"
        )
        with cursor.copy("COPY bench_vector FROM STDIN (FORMAT binary)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for block in _vectors(size, embedder.dimension):
                copy.write(block)
            copy.write(b"\xff\xff")
        with cursor.copy("COPY bench_text FROM STDIN") as copy:
            for number, text in enumerate(_texts(size)):
                version = versions[number // _CHUNKS_PER_DOCUMENT]
                copy.write_row((number, version.document_id, version.pk, text, lexical_words(text)))
        cursor.execute(
            """
            INSERT INTO retrieval_chunk (generation_id, document_id, version_id, position, heading_path, text,
                token_count, content_hash, metadata, audience, embedding, lexemes)
            SELECT %s, document_id, version_id, n %% %s, '', text, 100, md5(text),
                jsonb_build_object('half', n %% 2, 'percent', n %% 100, 'rare', n %% 10000), '{}', embedding,
                fabra_lexemes('english', words)
            FROM bench_text JOIN bench_vector USING (n) ORDER BY n
            """,
            [index.generation.pk, _CHUNKS_PER_DOCUMENT],
        )
    return index


def _clusters(size: int) -> Iterator[np.ndarray]:
    """Yield the cluster of each chunk, a block at a time: its words and its vector are of the same one."""
    numbers = np.random.default_rng(1)
    for first in range(0, size, _BATCH):
        yield numbers.integers(len(_starts()), size=min(_BATCH, size - first))


@cache
def _starts() -> range:
    """Return where in the sample's words the passages start whose embeddings are the centres."""
    words = sample_words()
    return range(0, len(words) - _CENTRE_WORDS, max(1, len(words) // _CENTRES))


def _texts(size: int) -> Iterator[str]:
    """Yield chunks of phrases from the sample's articles, so that words are as frequent as in real text.

    Half of a chunk's phrases stand near the passage that is its cluster's centre, the rest anywhere: chunks that are
    alike in meaning share words, as they do in a real collection, but by far not all of the words are theirs.
    """
    words, chance = sample_words(), random.Random(1)
    last = len(words) - _PHRASE_WORDS
    for clusters in _clusters(size):
        for cluster in clusters:
            centre = _starts()[int(cluster)]
            near = [min(last, max(0, centre + chance.randrange(-_NEAR, _NEAR))) for _ in range(_PHRASES // 2)]
            starts = near + [chance.randrange(last) for _ in range(_PHRASES - len(near))]
            yield " ".join(" ".join(words[start : start + _PHRASE_WORDS]) for start in starts).replace("\x00", "")


def _vectors(size: int, dimension: int) -> Iterator[bytes]:
    """Yield unit vectors around the embeddings of real passages, as rows of PostgreSQL's binary COPY.

    A chunk differs from its centre in the directions in which real passages differ from each other: those of
    SciFact's 15,000 have the spread of some 70 equal directions, not of all 384.
    """
    words, numbers = sample_words(), np.random.default_rng(2)
    passages = [" ".join(words[start : start + _CENTRE_WORDS]) for start in _starts()]
    centres = np.array(get_embedder().embed(passages))
    apart = (centres - centres.mean(axis=0)) / len(centres) ** 0.5
    apart *= _NOISE / np.linalg.norm(apart)
    row = np.dtype(
        [("fields", ">i2"), ("n_size", ">i4"), ("n", ">i4"), ("size", ">i4"), ("dim", ">i2"), ("unused", ">i2"),
         ("vector", ">f4", dimension)]
    )  # fmt: skip
    first = 0
    for clusters in _clusters(size):
        count = len(clusters)
        vectors = centres[clusters] + numbers.normal(size=(count, len(centres))) @ apart
        block = np.zeros(count, row)
        block["fields"], block["n_size"], block["n"] = 2, 4, np.arange(first, first + count)
        block["size"], block["dim"] = 4 + 4 * dimension, dimension
        block["vector"] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        yield block.tobytes()
        first += count
