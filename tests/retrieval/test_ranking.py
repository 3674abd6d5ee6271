"""The ranking against a naive reference, and the counts it rests on."""

import math
import random
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from retrieval.errors import EmbedderUnavailable
from retrieval.generations import hnsw
from retrieval.indexing.documents import delete_document, index_document
from retrieval.models import Chunk, Generation, Index, LexemeCount
from retrieval.search.execute import search_sync
from retrieval.search.lexemes import generations_to_merge, lexical_text, merge_counts
from retrieval.search.ranking import candidate_count

WORDS = ["anchor", "buoy", "cargo", "dock", "engine", "ferry", "gull", "harbour", "island", "jetty", "keel", "lagoon"]


def texts(count: int, seed: int = 1) -> dict[str, str]:
    """Return texts of made-up frequencies, the first words common, the last rare; a number keeps them apart."""
    chance = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(len(WORDS))]
    return {
        f"doc-{n}": " ".join([*chance.choices(WORDS, weights, k=chance.randint(3, 60)), f"{seed}{n:03}"])
        for n in range(count)
    }


def bm25_share(query: str, corpus: dict[str, str]) -> dict[str, float]:
    """Return each text's BM25 as a share of the greatest possible one, as the textbook writes it."""
    frequencies = {name: Counter(text.split()) for name, text in corpus.items()}
    lengths = {name: sum(counts.values()) for name, counts in frequencies.items()}
    average = sum(lengths.values()) / len(lengths)
    idf = {word: idf_of(word, corpus) for word in set(query.split())}
    scores = {}
    for name, counts in frequencies.items():
        norm = 1.2 * (1 - 0.75 + 0.75 * lengths[name] / average)
        scores[name] = sum(idf[word] * counts[word] * 2.2 / (counts[word] + norm) for word in idf)
    return {name: score / (2.2 * sum(idf.values())) for name, score in scores.items()}


def idf_of(word: str, corpus: dict[str, str]) -> float:
    df = sum(word in text.split() for text in corpus.values())
    return math.log(1 + (len(corpus) - df + 0.5) / (df + 0.5))


@pytest.fixture
def plain_index(db: None, embedder: Any) -> Index:
    """An index whose lexemes are the words as they stand, with vectors that cost nothing."""
    return Index.objects.create(name="docs", language="simple")


def fill(corpus: dict[str, str]) -> None:
    for name, text in corpus.items():
        # Without a title of its own, the chunk would begin with its id.
        index_document("docs", name, text, title=text.split()[0])


@pytest.mark.parametrize("query", ["lagoon", "anchor keel lagoon", "gull gull island", "anchor", "lagoon unheard"])
def test_the_lexical_score_is_bm25(plain_index: Index, query: str) -> None:
    corpus = texts(40)
    fill(corpus)
    wanted = {name: score for name, score in bm25_share(query, corpus).items() if score > 0}
    hits = search_sync("docs", query, 40, mode="lexical").hits
    assert {hit.document_id: hit.lexical_score for hit in hits} == {
        name: pytest.approx(score, abs=2e-5) for name, score in wanted.items()
    }
    assert [hit.lexical_rank for hit in hits] == sorted(hit.lexical_rank or 0 for hit in hits)


def test_a_match_counts_by_its_rarest_word(plain_index: Index) -> None:
    """The score of the lexical leg is BM25; in a fusion it weighs as much as the rarest matching word is rare."""
    corpus = texts(40)
    fill(corpus)
    query = "anchor keel lagoon"
    idf = {word: idf_of(word, corpus) for word in query.split()}
    rarest = math.log(1 + (len(corpus) - 1 + 0.5) / 1.5)
    hits = search_sync("docs", query, 40, lexical_weight=0.75).hits
    for hit in hits:
        rarity = max((idf[word] for word in idf if word in corpus[hit.document_id].split()), default=0) / rarest
        wanted = (hit.semantic_score or 0) + 0.75 * rarity**1.25 * (hit.lexical_score or 0)
        assert hit.score == pytest.approx(wanted, abs=1e-5)
    assert len({hit.lexical_score for hit in hits}) > 20


def test_a_name_found_once_outweighs_a_likeness_and_a_common_word_does_not(plain_index: Index) -> None:
    fill({f"doc-{n}": f"anchor text{n}" for n in range(50)})
    index_document("docs", "name", "zorblax", title="zorblax")
    hits = {word: search_sync("docs", word, 60).hits for word in ("zorblax", "anchor")}
    added = {word: {hit.document_id: hit.score - (hit.semantic_score or 0) for hit in hits[word]} for word in hits}
    assert added["zorblax"]["name"] > 0.3
    assert added["zorblax"]["doc-1"] == pytest.approx(0, abs=1e-5)
    assert 0 < added["anchor"]["doc-1"] < 0.01


def counts(generation_id: int) -> dict[str, tuple[int, int]]:
    rows = LexemeCount.objects.filter(generation=generation_id).values("lexeme")
    totals = rows.annotate(n=Sum("chunk_count"), length_sum=Sum("length")).values_list("lexeme", "n", "length_sum")
    return {lexeme: (n, length) for lexeme, n, length in totals if n}


def recounted(generation_id: int) -> dict[str, tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lexeme, count(*), 0 FROM retrieval_chunk, unnest(tsvector_to_array(lexemes)) lexeme "
            "WHERE generation_id = %(g)s GROUP BY 1 "
            "UNION ALL SELECT '', count(*), sum(length) FROM retrieval_chunk WHERE generation_id = %(g)s",
            {"g": generation_id},
        )
        return {lexeme: (n, int(length)) for lexeme, n, length in cursor.fetchall()}


def test_the_counts_follow_every_change_and_their_merge_changes_no_hit(plain_index: Index) -> None:
    corpus = texts(30)
    fill(corpus)
    fill({name: text for name, text in texts(10, seed=2).items()})
    for number in range(20, 25):
        delete_document("docs", f"doc-{number}")
    generation = Generation.objects.get()
    assert counts(generation.pk) == recounted(generation.pk)
    before = search_sync("docs", "anchor lagoon keel", 10).hits
    assert merge_counts(generation.pk) > 0
    assert search_sync("docs", "anchor lagoon keel", 10).hits == before
    assert counts(generation.pk) == recounted(generation.pk)
    assert not LexemeCount.objects.filter(is_merged=False).exists()
    index_document("docs", "new", "lagoon walrus")
    merge_counts(generation.pk)
    assert counts(generation.pk) == recounted(generation.pk)
    Chunk.objects.filter(document__entity_id="new").update(lexemes="")
    assert counts(generation.pk) == recounted(generation.pk)


def test_only_crowded_counts_are_merged(plain_index: Index, settings: Any) -> None:
    fill(texts(2))
    generation = Generation.objects.get()
    assert generations_to_merge() == []
    settings.FABRA_LEXEME_MERGE_AFTER = 3
    assert generations_to_merge() == [generation.pk]


@pytest.mark.django_db(transaction=True)
def test_writers_of_one_index_leave_exact_counts(embedder: Any) -> None:
    index_document("docs", "first", "anchor")
    generation = Generation.objects.get()

    def write(worker: int) -> None:
        for turn in range(8):
            for name, text in texts(4, seed=worker * 100 + turn).items():
                index_document("docs", f"{name}-{worker % 2}", text)
            merge_counts(generation.pk)
        connections.close_all()

    workers = [threading.Thread(target=write, args=[worker]) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counts(generation.pk) == recounted(generation.pk)


@pytest.mark.django_db(transaction=True)
def test_the_indexes_of_a_generation_change_no_best_hit(embedder: Any, settings: Any) -> None:
    fill(texts(300))
    generation = Generation.objects.get()
    modes: list[Any] = ["hybrid", "semantic", "lexical"]
    exact = {mode: search_sync("docs", "keel lagoon", 10, mode=mode).hits for mode in modes}
    hnsw.build_hnsw(generation.pk)
    settings.FABRA_EXACT_SCAN_FACTOR = 0
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE retrieval_chunk")
        cursor.execute("SET enable_seqscan = off")
    for mode in modes:
        hits = search_sync("docs", "keel lagoon", 10, mode=mode).hits
        assert [hit.score for hit in hits] == [hit.score for hit in exact[mode]], mode
    # A single common word, more than the rarest lexemes reach to: still as many as asked for.
    assert len(search_sync("docs", "anchor buoy", 50, mode="lexical").hits) == 50
    with connection.cursor() as cursor:
        cursor.execute("RESET enable_seqscan")


def test_two_common_words_come_before_the_rarest_one(plain_index: Index, settings: Any) -> None:
    """Chunks are chosen by the idf of all that they match, though more have the rarest word than are looked at."""
    counts = (("anchor", 30), ("buoy", 40), ("cargo", 50))
    corpus = {f"{word}-{n}": f"{word} rope{n}" for word, count in counts for n in range(count)}
    index_document("docs", "both", "buoy cargo", title="buoy")
    fill(corpus)
    settings.FABRA_EXACT_SCAN_FACTOR = 0
    Generation.objects.update(has_hnsw=True)
    # Of independent words 18 chunks would have a pair with "anchor", 12 "buoy cargo" and 30 "anchor" alone.
    settings.FABRA_LEXICAL_REACH = 0.25
    with CaptureQueriesContext(connection) as queries:
        hits = search_sync("docs", "anchor buoy cargo", 1, mode="lexical").hits
    assert [hit.document_id for hit in hits] == ["both"]
    assert sum("WITH query" in query["sql"] for query in queries) == 1, "it took an exact search to find it"


@pytest.mark.django_db(transaction=True)
def test_a_search_sets_how_far_it_walks_for_itself_alone(plain_index: Index, settings: Any) -> None:
    fill({"a": "anchor", "b": "buoy"})
    Generation.objects.update(has_hnsw=True)
    settings.FABRA_EXACT_SCAN_FACTOR = 0
    with CaptureQueriesContext(connection) as queries:
        search_sync("docs", "anchor", 1)
    assert any("set_config('hnsw.ef_search', '128', true)" in query["sql"] for query in queries)
    with connection.cursor() as cursor:
        cursor.execute("SHOW hnsw.ef_search")
        assert cursor.fetchone() == ("40",)


@pytest.mark.parametrize(
    ("chunk_count", "is_filtered", "candidates"),
    [(100, False, 80), (100_000, False, 80), (1_000_000, False, 253), (100_000, True, 200), (1_000_000, True, 632)],
)
def test_the_legs_are_read_deeper_in_a_larger_index(chunk_count: int, is_filtered: bool, candidates: int) -> None:
    assert candidate_count(chunk_count, is_filtered=is_filtered) == candidates


@pytest.mark.real_model
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "document_id"),
    [
        ("E-4021", "code"), ("what does e-4021 mean", "code"), ("SKU TW_9000-X", "sku"), ("9000", "sku"),
        ("https://status.tidewharf.example/incidents", "url"), ("status.tidewharf.example", "url"),
        ("密码重置", "chinese"), ("怎么重置密码", "chinese"), ("🎉", "emoji"), ("parcel 🎉", "emoji"),
        ("Kennwort zurücksetzen", "german"),
    ],
)  # fmt: skip
def test_codes_addresses_and_other_scripts_are_found(put: Any, query: str, document_id: str) -> None:
    put("code", "# Errors\n\nThe code E-4021 means that the project is archived.")
    put("sku", "# Parts\n\nOrder the part TW_9000-X from the shop.")
    put("url", "# Status\n\nIncidents are told at https://status.tidewharf.example/incidents as they happen.")
    put("chinese", "# 帐户\n\n您可以在设置页面重置密码。")
    put("emoji", "# Party\n\nWe send a 🎉 with your hundredth parcel.")
    put("german", "# Konto\n\nSo können Sie Ihr Kennwort zurücksetzen: Klicken Sie auf den Verweis.")
    put("filler", "# Weather\n\nThe harbour is calm today, and the project code is green.")
    assert search_sync("docs", query).hits[0].document_id == document_id


def test_what_the_parser_loses_becomes_words() -> None:
    assert lexical_text("a 密码重 b") == "a  密码 码重  b"
    assert lexical_text("猫") == " 猫 "
    assert lexical_text("ok 🎉") == "ok  u1f389 "
    assert lexical_text("\u2764\ufe0f") == " u2764 "


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("can’t“open”", "can t open "),
        ("project—archived…now", "project archived now"),
        ("E\u20114021", "E-4021"),
        ("no\u00a0break", "no break"),
        ("pass\u00adword", "password"),
        ("Tidewharf™", "Tidewharf "),
        ("\ufb01le", "file"),
        ("ＡＢＣ-１", "ABC-1"),
        ("cafe\u0301", "caf\u00e9"),
        ("naïve β-Wert Ünal", "naïve β-Wert Ünal"),
        ("├── plans", "    plans"),
    ],
)
def test_what_only_some_databases_take_for_letters_is_told_apart_before(text: str, parsed: str) -> None:
    assert lexical_text(text) == parsed


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["archived", "“frozen”", "E-4021", "office file", "Café", "projects"])
def test_words_beside_typographic_signs_are_found(put: Any, query: str) -> None:
    put(
        "typographic",
        "# Errors\n\nThe project—archived…now. You can’t “open” it; it’s ‘frozen’ "
        "(E\u20114021) in\u00a0the\u00a0o\ufb03ce\u00a0\ufb01le at the Cafe\u0301.",
    )
    put("other", "# Weather\n\nThe harbour is calm today.")
    (hit,) = search_sync("docs", query, mode="lexical").hits
    assert hit.document_id == "typographic"


@pytest.mark.django_db
def test_an_empty_leg_falls_back_to_the_other_and_says_so(put: Any, embedder: Any) -> None:
    for number in range(5):
        put(f"doc-{number}", f"# Passwords\n\nChapter {number} of resetting a password.")
    for mode in ("hybrid", "lexical"):
        record = search_sync("docs", "the of and", mode=mode)
        assert len(record.hits) == 5
        assert record.flags == ("lexical_empty",)

    embedder.failure = EmbedderUnavailable
    for mode in ("hybrid", "semantic"):
        record = search_sync("docs", "password", mode=mode)
        assert len(record.hits) == 5
        assert record.flags == ("semantic_unavailable",)
        assert record.hits[0].semantic_score is None


@pytest.mark.django_db
def test_the_index_configures_the_ranking_and_a_search_may_differ(put: Any) -> None:
    put("a", "# Password\n\nReset a password.")
    put("b", "# Invoice\n\nPay an invoice.")
    Index.objects.update(fusion="rrf")
    first = search_sync("docs", "password").hits[0]
    assert first.score == pytest.approx(2 / 61, abs=1e-6)
    first = search_sync("docs", "password", fusion="weighted", lexical_weight=2).hits[0]
    assert first.score == pytest.approx((first.semantic_score or 0) + 2 * (first.lexical_score or 0), abs=1e-5)
    first = search_sync("docs", "password", mode="semantic").hits[0]
    assert (first.score, first.lexical_rank) == (first.semantic_score, None)
    Index.objects.update(mode="lexical")
    record = search_sync("docs", "password")
    assert [hit.document_id for hit in record.hits] == ["a"]
    assert record.embedding is None
