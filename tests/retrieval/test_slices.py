"""A run goes on within a file: a large table keeps no worker process, and loses no row and takes none twice."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import EmbedderUnavailable
from retrieval.ingestion.runs import RunOptions, open_run
from retrieval.ingestion.work import execute_run
from retrieval.models import Document, IngestionFile, IngestionRun, SourceDocument

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("embedder")]


@pytest.fixture
def table(tmp_path: Path, settings: Any) -> Path:
    settings.FABRA_INGESTION_BATCH_CHARS = 1  # each row is a batch
    return fill(tmp_path / "table.csv", range(8))


def fill(table: Path, rows: Any, text: str = "Text of row") -> Path:
    table.write_text("id,text\n" + "".join(f"r{number},{text} {number}.\n" for number in rows))
    return table


def begin(table: Path, **options: Any) -> IngestionRun:
    return open_run("docs", str(table.parent), RunOptions(**options), source="s")


def execute_slice(run: IngestionRun, rows: int = 3) -> bool:
    """Execute a slice that has time for so many rows."""
    calls = itertools.count()
    # It asks before it claims files, before the file, and before each row but the first.
    is_finished = execute_run(run.pk, until=lambda: next(calls) > rows)
    run.refresh_from_db()
    return is_finished


def live() -> list[str]:
    return list(Document.objects.live().order_by("entity_id").values_list("entity_id", flat=True))


def ids(rows: Any) -> list[str]:
    return [f"table/r{number}" for number in rows]


def test_a_slice_ends_within_a_file_and_the_next_goes_on(table: Path) -> None:
    with table.open("a") as rows:
        rows.write("r0,The id of a row of the first slice.\n")
    run = begin(table)
    seen: list[tuple[str, int, list[str]]] = []
    while not (is_finished := execute_slice(run)) and len(seen) < 5:
        row = run.files.get()
        seen.append((row.state, row.documents, live()))
    assert is_finished
    assert seen == [("waiting", 3, ids(range(3))), ("waiting", 6, ids(range(6)))]
    row = run.files.get()
    assert (row.state, row.documents, row.chunks, row.embedded, row.progress) == ("indexed", 9, 9, 9, {})
    assert live() == sorted([*ids(range(8)), "table/r0#2"])
    assert set(Document.objects.values_list("version__number", flat=True)) == {1}
    again = begin(table)
    assert execute_run(again.pk) and again.files.get().state == "unchanged"


def test_rows_that_failed_in_an_earlier_slice_are_told_at_the_end(table: Path, settings: Any) -> None:
    settings.FABRA_DOCUMENT_MAX_BYTES = 100
    table.write_text("id,text\n" + "".join(f"r{number},{'x ' * 90 * (number < 2)}End.\n" for number in range(6)))
    run = begin(table)
    assert not execute_slice(run)
    assert execute_slice(run, 9)
    row = run.files.get()
    assert (row.state, row.documents) == ("failed", 4)
    assert row.reason.endswith("(and 1 more)")


def test_pruning_after_slices_removes_the_rows_that_are_gone_and_no_other(table: Path) -> None:
    execute_run(begin(table).pk)
    fill(table, range(1, 8), text="New text of row")
    run = begin(table, prune=True)
    assert not execute_slice(run)
    assert live() == ids(range(8)), "what is gone is known when all is read"
    while not execute_slice(run):
        pass
    assert (live(), run.pruned) == (ids(range(1, 8)), 1)
    assert set(Document.objects.live().values_list("version__number", flat=True)) == {2}


def test_a_file_that_changes_between_slices_is_read_from_its_beginning(table: Path) -> None:
    run = begin(table, prune=True)
    assert not execute_slice(run)
    fill(table, range(2, 8))
    while not execute_slice(run):
        pass
    assert (live(), run.pruned, run.files.filter(state="indexed").get().documents) == (ids(range(2, 8)), 2, 6)


def test_a_file_of_which_a_run_took_a_part_is_read_by_the_next_run(table: Path) -> None:
    execute_run(begin(table).pk)
    fill(table, range(8), text="Other text of row")
    assert not execute_slice(begin(table))
    fill(table, range(8))  # as it was when it was read in full
    run = begin(table, force=True)  # other options: it takes the place of the run before
    assert execute_run(run.pk) and run.files.get().state == "indexed"
    assert all(text.startswith("Text of row") for text in Document.objects.values_list("text", flat=True))


def test_a_model_that_fails_within_a_file_leaves_what_is_done(table: Path, embedder: Any) -> None:
    run = begin(table)
    assert not execute_slice(run)
    embedder.failure = EmbedderUnavailable
    with pytest.raises(EmbedderUnavailable):
        execute_run(run.pk)
    row = run.files.get()
    assert (row.state, row.documents, row.progress["errors"]) == ("waiting", 3, 0)
    embedder.mend()
    assert execute_run(run.pk)
    assert (live(), IngestionFile.objects.get().state) == (ids(range(8)), "indexed")
    assert SourceDocument.objects.filter(run=run).count() == 8
