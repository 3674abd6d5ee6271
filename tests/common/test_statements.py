import pytest
from django.db import connection
from django.db.utils import DataError
from django.test.utils import CaptureQueriesContext

from common.sql.statements import planned_cursor

pytestmark = pytest.mark.django_db


def double(number: int) -> int:
    with planned_cursor() as cursor:
        cursor.execute("SELECT %s::int * 2 AS doubled", [number])
        return int(cursor.fetchone()[0])


def test_a_statement_is_prepared_when_it_is_used_again() -> None:
    assert [double(number) for number in range(4)] == [0, 2, 4, 6]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%AS doubled'")
        assert cursor.fetchone() == (1,)


def test_the_log_of_queries_shows_a_planned_one_with_its_parameters() -> None:
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            assert double(21) == 42
        assert [query["sql"] for query in queries] == ["SELECT 21::int * 2 AS doubled"]


def test_what_the_server_refuses_is_an_error_of_django() -> None:
    with pytest.raises(DataError), planned_cursor() as cursor:
        cursor.execute("SELECT 1 / %s::int", [0])
