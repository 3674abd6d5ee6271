"""The choice of lexemes: which words of a query the lexical leg looks for, by how rare they are."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from retrieval.models import Generation
from retrieval.search.ranking import MAX_COMMON, Ranking, lexical_query_sql

pytestmark = pytest.mark.django_db

CHUNKS = 10_000


@pytest.fixture
def choose(embedder: Any, put: Any) -> Callable[..., str]:
    """Return a function that gives the tsquery for words of given document frequencies, with one candidate."""
    put("a", "anything")
    generation = Generation.objects.get()

    def choose(reach: int = 1, **frequencies: int) -> str:
        counts = {"": CHUNKS, **frequencies}
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE retrieval_lexemecount")
            cursor.executemany(
                "INSERT INTO retrieval_lexemecount (generation_id, lexeme, chunk_count, length, is_merged) "
                "VALUES (%s, %s, %s, %s, true)",
                [(generation.pk, word, count, 100 * count if not word else 0) for word, count in counts.items()],
            )
            ranking = Ranking(
                generation_id=generation.pk, dimension=generation.dimension, language="simple",
                queries=[(" ".join(frequencies), 1.0)], vector=None, lexical_weight=1, where_parameters={}, limit=1,
                candidates=reach,
            )  # fmt: skip
            cursor.execute(*lexical_query_sql(ranking))
            (found,) = cursor.fetchone()
        return str(found)

    return choose


def test_rare_words_are_looked_for_by_themselves(choose: Callable[..., str]) -> None:
    # FABRA_LEXICAL_REACH is 5 chunks for each candidate: with one candidate the first two words have 5 chunks together.
    assert choose(keel=2, mast=3) == "'keel' | 'mast'"


def test_a_common_word_alone_is_looked_for_all_the_same(choose: Callable[..., str]) -> None:
    assert choose(boat=3000) == "'boat'"


def test_common_words_are_looked_for_together(choose: Callable[..., str]) -> None:
    # Of 10,000 chunks 9 are to be expected with both (were they independent), more than are asked for.
    assert choose(boat=300, sail=300) == "'boat' & 'sail'"


def test_with_more_candidates_fewer_words_need_to_meet(choose: Callable[..., str]) -> None:
    assert choose(reach=200, boat=300, sail=300) == "'boat' | 'sail'"


def test_a_rare_word_does_not_hide_the_common_ones(choose: Callable[..., str]) -> None:
    assert choose(keel=2, boat=300, sail=300) == "'keel' | 'boat' & 'sail'"


def test_words_that_no_chunk_has_are_left_out(choose: Callable[..., str]) -> None:
    assert choose(keel=2, nowhere=0) == "'keel'"


def test_only_the_rarest_of_many_common_words_are_combined(choose: Callable[..., str]) -> None:
    words = {f"word{number}": 2000 + number for number in range(2 * MAX_COMMON)}
    chosen = choose(**words)
    assert all((f"'word{number}'" in chosen) == (number < MAX_COMMON) for number in range(2 * MAX_COMMON))
