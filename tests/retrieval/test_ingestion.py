"""Runs over a source: each file's outcome, what is skipped and pruned, and what survives a death."""

import importlib
import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from retrieval.errors import EmbedderUnavailable
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.indexing.document_input import IndexResult
from retrieval.indexing.documents import delete_document, index_document
from retrieval.ingestion.runs import RunOptions, list_files, open_run, open_upload
from retrieval.ingestion.work import execute_run
from retrieval.models import Chunk, Document, Index, IngestionFile, IngestionRun, SourceDocument, SourceFile
from retrieval.readers import SUFFIXES, FetchedFile
from retrieval.sources import Entry, Folder
from tests.capabilities import modes_hold
from tests.embedders import SLOW_PATH, SLOWNESS
from tests.processes import Processes, wait_until
from tests.retrieval.files import zipped

pytestmark = pytest.mark.django_db


def ingest(path: Path, *arguments: str) -> str:
    out, errors = StringIO(), StringIO()
    call_command("index_documents", str(path), "--index", "docs", *arguments, stdout=out, stderr=errors)
    return out.getvalue() + errors.getvalue()


def live(index: str = "docs") -> set[str]:
    return set(Document.objects.live().filter(index__name=index).values_list("entity_id", flat=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    for name in "abc":
        (root / f"{name}.md").write_text(f"# Page {name}\n\nText of {name}.")
    return root


def test_each_file_has_its_outcome(folder: Path) -> None:
    (folder / "bad.md").write_bytes(b"\xff\xfe\x00")
    (folder / "faq.csv").write_text("question,answer\nHow?,So.\nWhy?,Thus.\n")
    (folder / "more.zip").write_bytes(zipped({"z.md": "# Zipped", "../up.md": "x"}))
    said = ingest(folder)
    assert "5 indexed, 0 unchanged, 2 unreadable" in said
    run = IngestionRun.objects.get()
    assert (run.state, run.total, run.started_by) == ("done", 7, "index_documents")
    files = {file.path: file for file in run.files.all()}
    assert (files["faq.csv"].state, files["faq.csv"].documents, files["faq.csv"].chunks) == ("indexed", 2, 2)
    assert files["a.md"].duration_ms is not None
    assert (files["bad.md"].state, files["bad.md"].reason) == ("failed", "binary, or no utf-16-le")
    assert "out of the archive" in files["more.zip/../up.md"].reason
    assert live() == {"a", "b", "c", "faq/1", "faq/2", "more.zip/z"}


def test_a_document_of_a_kind_that_no_reader_takes_is_told(folder: Path) -> None:
    (folder / "prices.xlsx").write_bytes(b"PK")
    (folder / "logo.png").write_bytes(b"\x89PNG")
    (folder / "more.zip").write_bytes(zipped({"slides.PPTX": "x", "style.css": "x"}))
    assert "3 indexed, 0 unchanged, 2 unreadable" in ingest(folder)
    reasons = dict(IngestionFile.objects.filter(state="failed").values_list("path", "reason"))
    assert list(reasons) == ["more.zip/slides.PPTX", "prices.xlsx"]
    assert reasons["prices.xlsx"] == "no reader for .xlsx: save it as DOCX, PDF, HTML or CSV"


def test_what_was_not_read_in_full_is_told(folder: Path) -> None:
    ingest(folder)
    run = IngestionRun.objects.get()
    warning = {"code": "pages_without_text", "message": "3 of 9 pages are pictures."}
    SourceFile.objects.update(warnings=[warning])
    said = ingest(folder)
    assert "3 unchanged, 0 unreadable, 3 with warnings in" in said
    assert "warning: b.md: 3 of 9 pages are pictures." in said
    for number in range(4):
        (folder / f"{number}.md").write_text(f"Page {number}.")
    SourceFile.objects.update(warnings=[warning] * 2)
    ingest(folder)
    SourceFile.objects.update(warnings=[warning] * 2)
    said = ingest(folder)
    assert said.count("pictures. (and 1 more of this file)") == 5 and "... and more in 2 other files" in said
    report = json.loads(ingest(folder, "--json"))
    assert report["run"] > run.pk and report["counts"]["warned"] == report["counts"]["unchanged"] == 7
    assert report["files"][0]["warnings"] == [warning] * 2
    with pytest.raises(CommandError, match="--dry-run makes none"):
        ingest(folder, "--json", "--dry-run")


def test_what_has_not_changed_is_not_even_read(folder: Path) -> None:
    """The reader's text changes with each reading, so that a document tells when its file was read."""
    importlib.import_module("tests.retrieval.noted_reader")
    try:
        for name in "abc":
            (folder / f"{name}.noted").write_text(f"Text of {name}.")
        ingest(folder)
        first = dict(Document.objects.filter(entity_id__endswith=".noted").values_list("entity_id", "version__text"))
        assert set(first) == {"a.noted", "b.noted", "c.noted"}
        (folder / "b.noted").write_text("Another text.")
        ingest(folder)
        second = dict(Document.objects.filter(entity_id__endswith=".noted").values_list("entity_id", "version__text"))
        assert {name for name in second if second[name] != first[name]} == {"b.noted"}
    finally:
        del SUFFIXES[".noted"]


def test_what_somebody_else_changed_is_put_right_again(folder: Path) -> None:
    ingest(folder)
    index_document("docs", "a", "Edited elsewhere.")
    delete_document("docs", "b")
    assert "2 indexed, 1 unchanged" in ingest(folder)
    assert Chunk.objects.get(document__entity_id="a").text == "# Page a\n\nText of a."
    assert live() == {"a", "b", "c"}


def test_other_options_read_a_file_again(folder: Path) -> None:
    ingest(folder)
    assert "3 indexed" in ingest(folder, "--base-url", "https://docs.test")
    assert Document.objects.get(entity_id="a").metadata["url"] == "https://docs.test/a"
    assert "3 indexed" in ingest(folder, "--audience", "premium")
    assert Document.objects.get(entity_id="a").audience == ["premium"]


def test_pruning_removes_what_is_gone_from_this_source_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "o.md").write_text("Other.")
    index_document("docs", "by-code", "Kept.")
    ingest(other, "--source", "others")
    (folder / "t.csv").write_text("id,text\n1,One.\n2,Two.\n")
    ingest(folder, "--source", "pages")
    (folder / "a.md").unlink()
    (folder / "t.csv").write_text("id,text\n2,Two.\n")
    assert "pruned" not in ingest(folder, "--source", "pages")
    assert "a" in live()
    assert "2 pruned" in ingest(folder, "--source", "pages", "--prune")
    assert live() == {"b", "c", "t/2", "o", "by-code"}
    assert not Chunk.objects.filter(document__entity_id="a").exists()
    pruned = IngestionFile.objects.filter(state="pruned")
    assert {file.path for file in pruned} == {"a.md (gone)", "t.csv (gone)"}
    assert "0 pruned" in ingest(folder, "--source", "pages", "--prune")


def test_pruning_keeps_what_somebody_else_has_taken_over(folder: Path) -> None:
    ingest(folder)
    index_document("docs", "a", "Now written by the API.")
    (folder / "a.md").unlink()
    ingest(folder, "--prune")
    assert live() == {"a", "b", "c"}


def test_pruning_is_refused_where_it_looks_like_a_mistake(folder: Path, tmp_path: Path) -> None:
    for number in range(20):
        (folder / f"n{number}.md").write_text(f"Page {number}.")
    ingest(folder, "--source", "s")
    for number in range(15):
        (folder / f"n{number}.md").unlink()
    with pytest.raises(CommandError, match="15 of the source's 23 documents would go"):
        ingest(folder, "--source", "s", "--prune")
    assert len(live()) == 23
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CommandError):
        ingest(empty, "--source", "s", "--prune")
    assert len(live()) == 23
    assert "15 pruned" in ingest(folder, "--source", "s", "--prune", "--force")


def test_an_archive_that_broke_takes_none_of_its_documents_along(folder: Path) -> None:
    archive = folder / "more.zip"
    archive.write_bytes(zipped({"z.md": "# Zipped"}))
    ingest(folder)
    archive.write_bytes(b"PK\x03\x04broken")
    said = ingest(folder, "--prune")
    assert "archive is broken" in said and "0 pruned" in said
    assert "more.zip/z" in live()


def test_a_folder_that_cannot_be_read_takes_none_of_its_documents_along(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "d.md").write_text("Text of d.")
    ingest(folder, "--source", "s")
    (folder / "a.md").unlink()
    inner.chmod(0)
    with modes_hold():
        said = ingest(folder, "--source", "s", "--prune", "--dry-run")
        assert "unreadable: inner: a folder that cannot be read: Permission denied" in said and "1 gone" in said
        said = ingest(folder, "--source", "s", "--prune")
        assert "inner: a folder that cannot be read: Permission denied" in said and "1 pruned" in said
        assert live() == {"b", "c", "inner/d"}
        inner.chmod(0o400)  # its files can be listed, and not be read
        assert "inner/d.md: Permission denied" in ingest(folder, "--source", "s", "--prune")
        folder.chmod(0)
        with pytest.raises(CommandError, match="cannot be read: Permission denied"):
            ingest(folder, "--source", "s", "--prune")
    folder.chmod(0o700)
    assert live() == {"b", "c", "inner/d"}


def test_a_broken_archive_among_uploads_is_named_and_the_others_are_read(embedder: Any) -> None:
    files = [("good.zip", zipped({"a.md": "# A"})), ("bad.zip", b"PK\x03\x04broken"), ("b.md", b"# B")]
    run = open_upload("docs", files, RunOptions(), source="up", started_by="t")
    assert execute_run(run.pk)
    run.refresh_from_db()
    assert run.state == IngestionRun.State.DONE and live() == {"good.zip/a", "b"}
    failed = run.files.get(state=IngestionFile.State.FAILED)
    assert failed.path == "bad.zip" and "broken" in failed.reason
    run = open_upload("docs", files[1:2], RunOptions(), source="up", started_by="t")
    assert execute_run(run.pk)
    run.refresh_from_db()
    assert run.state == IngestionRun.State.FAILED and run.error.startswith("bad.zip: ")


@pytest.mark.parametrize(
    "line", ['{"a\\u0000b": "x"}', '{"a\\ud800": "x"}', '{"body": "a\\u0000b"}', '{"body": "x", "k\\u0000": 1}']
)
def test_what_a_file_has_that_cannot_be_stored_ends_no_run(tmp_path: Path, line: str, embedder: Any) -> None:
    (tmp_path / "t.jsonl").write_text(line)
    (tmp_path / "good.md").write_text("# Good")
    assert "1 indexed, 0 unchanged, 1 unreadable" in ingest(tmp_path, "--map", "text=body")
    assert "good" in live()
    assert "unreadable" in ingest(tmp_path, "--map", "text=body", "--dry-run")


class _Named:
    """A source of files whose names have signs that cannot be stored."""

    is_partial = False
    location = "names"

    def entries(self) -> Iterator[Entry]:
        yield from (Entry(path="a.md\x00"), Entry(path="b\ud800.md"), Entry(path="c.md", refused="no\x00\udfff"))
        yield from (Entry(path="d" * 3000), Entry(path="good.md"))

    def fetch(self, path: str, validators: dict[str, str] | None = None) -> FetchedFile:
        return FetchedFile(path=path, content=b"# Good")


def test_names_and_reasons_that_cannot_be_stored_are_failed_files(embedder: Any, tmp_path: Path) -> None:
    run = open_run("docs", str(tmp_path), RunOptions(), source="names")
    list_files(run, _Named())
    failed = run.files.filter(state=IngestionFile.State.FAILED).values_list("path", "reason")
    assert [path[:5] for path, _ in failed.order_by("pk")] == ["a.md", "b\ufffd.md", "c.md", "ddddd"]
    assert dict(failed)["c.md"].startswith("no") and run.is_listed
    assert run.files.get(state=IngestionFile.State.WAITING).path == "good.md"


def test_two_files_of_one_name_are_two_documents(folder: Path) -> None:
    (folder / "a.html").write_text("<h1>Page a</h1><p>As HTML.")
    assert "4 indexed, 0 unchanged, 0 unreadable" in ingest(folder)
    assert {"a", "a.md"} < live() or {"a", "a.html"} < live()


def test_a_dry_run_says_what_would_change_and_changes_nothing(folder: Path) -> None:
    ingest(folder, "--source", "s")
    (folder / "a.md").unlink()
    (folder / "b.md").write_text("Changed.")
    (folder / "d.md").write_text("New.")
    said = ingest(folder, "--source", "s", "--prune", "--dry-run")
    assert {"gone: a", "changed: b", "new: d"} <= set(said.splitlines())
    assert "1 new, 1 changed, 1 unchanged, 0 unreadable, 1 gone" in said
    assert live() == {"a", "b", "c"} and IngestionRun.objects.count() == 1


def lines_of(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_dry_run_goes_on_behind_a_row_that_would_be_refused(tmp_path: Path, suffix: str, settings: Any) -> None:
    settings.FABRA_DOCUMENT_MAX_BYTES = 100
    index_document("docs", "2", "Written by the shop.")
    rows = [{"id": str(number), "text": "long " * 50 if number in (3, 5) else "Short."} for number in range(1, 7)]
    table = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        table.write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows))
    else:
        lines_of(table, rows)
    planned = ingest(tmp_path, "--map", "id=id", "--dry-run").splitlines()
    assert [line.split(": ")[:2] for line in planned[:-1]] == [
        ["new", "1"], ["refused", "2"], ["refused", "3"], ["new", "4"], ["refused", "5"], ["new", "6"],
    ]  # fmt: skip
    assert "written by code" in planned[1] and "at most 100 bytes" in planned[2]
    assert planned[-1].startswith("3 new, 0 changed, 0 unchanged, 1 unreadable, 0 gone")
    assert "1 unreadable" in ingest(tmp_path, "--map", "id=id") and live() == {"1", "2", "4", "6"}


def test_a_dry_run_lists_the_first_rows_that_would_be_refused_and_counts_the_others(
    tmp_path: Path, settings: Any
) -> None:
    settings.FABRA_DOCUMENT_MAX_BYTES = 100
    lines_of(tmp_path / "t.jsonl", ({"id": number, "text": "long " * 50} for number in range(1000)))
    planned = ingest(tmp_path, "--map", "id=id", "--dry-run").splitlines()
    assert len(planned) == 22 and planned[-2] == "refused: 980 more documents of t.jsonl"


def test_a_dry_run_tells_two_tables_of_one_source_apart(tmp_path: Path) -> None:
    for name in "ab":
        lines_of(tmp_path / f"{name}.jsonl", [{"id": "same", "text": f"Of {name}."}, {"id": name, "text": "Own."}])
    planned = ingest(tmp_path, "--map", "id=id", "--dry-run")
    assert "refused: same: a.jsonl of the source" in planned and "3 new, 0 changed, 0 unchanged, 1 unread" in planned
    ingest(tmp_path, "--map", "id=id")
    assert live() == {"a", "b", "same"}
    lines_of(tmp_path / "a.jsonl", [{"id": "a", "text": "Own."}])
    planned = ingest(tmp_path, "--map", "id=id", "--prune", "--dry-run")
    assert "gone: same" in planned, "a row that moved to another table is pruned by the run that refuses it"
    ingest(tmp_path, "--map", "id=id", "--prune", "--force")
    assert live() == {"a", "b"}


def test_a_line_that_is_broken_says_so_and_leaves_what_it_was(tmp_path: Path) -> None:
    rows = [{"id": name, "text": f"Text of {name}."} for name in "abc"]
    lines_of(tmp_path / "t.jsonl", rows)
    ingest(tmp_path, "--map", "id=id")
    (tmp_path / "t.jsonl").write_text('{"id": "a", "text": "Text of a."}\n{"id": "b", "text": "New.\n')
    said = "t.jsonl: line 2 is no JSON (JSONDecodeError); the other 1 were read; 2 documents that it had were not read"
    assert said in ingest(tmp_path, "--map", "id=id", "--prune", "--dry-run")
    assert f"{said}, and are found as before" in ingest(tmp_path, "--map", "id=id", "--prune")
    assert live() == {"a", "b", "c"}


@pytest.mark.parametrize("stray", ['"a stray quote', '"one that ends\nb,text,2\nd,further,3\ne,down"'])
def test_rows_that_a_stray_quote_hides_are_not_pruned(tmp_path: Path, stray: str) -> None:
    table = "id,text,note\n" + "".join(f"{name},Text of {name}.,1\n" for name in "abc")
    (tmp_path / "t.csv").write_text(table)
    ingest(tmp_path, "--map", "id=id", "--prune")
    (tmp_path / "t.csv").write_text(table.replace("Text of a.", stray))
    assert "gone:" not in ingest(tmp_path, "--map", "id=id", "--prune", "--dry-run")
    for _ in range(2):
        assert "no row that is missing is known to be gone" in ingest(tmp_path, "--map", "id=id", "--prune")
        assert live() == {"a", "b", "c"}
    (tmp_path / "t.csv").write_text("id,text,note\na,Text of a.,1\n")
    assert "2 pruned" in ingest(tmp_path, "--map", "id=id", "--prune", "--force") and live() == {"a"}


def test_what_a_broken_line_may_have_restricted_is_withdrawn(tmp_path: Path) -> None:
    lines_of(tmp_path / "t.jsonl", [{"id": name, "text": f"Text of {name}."} for name in "abc"])
    ingest(tmp_path, "--map", "id=id")
    kept = '{"id": "a", "text": "Text of a."}\n{"id": "c", "text": "Text of c."}\n'
    (tmp_path / "t.jsonl").write_text(f'{kept}{{"id": "b", "text": "Secret.", "audience": ["staff"],}}\n')
    assert "gone: b\n" in ingest(tmp_path, "--map", "id=id", "--dry-run") and live() == {"a", "b", "c"}
    assert "1 document withdrawn" in ingest(tmp_path, "--map", "id=id") and live() == {"a", "c"}
    lines_of(tmp_path / "t.jsonl", [{"id": name, "text": f"Text of {name}."} for name in "abc"])
    ingest(tmp_path, "--map", "id=id")
    assert live() == {"a", "b", "c"}


def test_a_mapping_is_checked(folder: Path) -> None:
    for mapping in ("text", "words=body", "text="):
        with pytest.raises(CommandError):
            ingest(folder, "--map", mapping)


def test_a_batch_gives_what_one_by_one_gives(put: Any) -> None:
    long = "\n\n".join(f"## Part {n}\n\n" + f"Sentence {n} about topic {n}. " * 20 for n in range(6))
    texts = {"a": "One.", "b": long, "c": "Three.", "d": long}
    for name, text in texts.items():
        put(name, text)
    drafts = [Draft(entity_id=name, text=text) for name, text in texts.items()]
    outcomes = [outcome for batch in index_in_bulk("bulk", [drafts[:2], drafts[2:]]) for outcome in batch]
    results = [outcome for outcome in outcomes if isinstance(outcome, IndexResult)]
    assert [(result.document_id, result.is_changed) for result in results] == [(name, True) for name in texts]

    def rows(index: str) -> list[Any]:
        found = Chunk.objects.filter(document__index__name=index).order_by("document__entity_id", "position")
        return list(found.values_list("document__entity_id", "position", "text", "content_hash", "lexemes"))

    assert rows("bulk") == rows("docs")
    assert Index.objects.get(name="bulk").chunk_count == len(rows("bulk"))


def test_a_failing_document_does_not_fail_its_batch() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE retrieval_documentversion ADD CHECK (text <> 'Text b.')")
    drafts = [Draft(entity_id=name, text=f"Text {name}.") for name in "abc"] + [
        Draft(entity_id="d", text="a\x00b"),
        Draft(entity_id="\ud800", text="An id that is no text."),
    ]
    ((a, b, c, d, e),) = index_in_bulk("docs", [drafts])
    assert live() == {"a", "c"}
    assert "IntegrityError" in str(b) and "NUL" in str(d) and "surrogate" in str(e)
    assert (a.version, c.version) == (1, 1)


def test_an_embedder_that_is_down_leaves_the_run_for_later(folder: Path, embedder: Any) -> None:
    embedder.failure = EmbedderUnavailable
    with pytest.raises(CommandError, match="0 of 3 files are done; run it again"):
        ingest(folder)
    embedder.mend()
    assert IngestionRun.objects.get().state == "running"
    assert "3 indexed" in ingest(folder)
    assert IngestionRun.objects.get().state == "done"


HELD_UP = {"FABRA_INGESTION_BATCH_CHARS": "8000", SLOWNESS: "0.1"}
"""The environment of a process that has much left to do when it is ended."""


@pytest.fixture
def many(tmp_path: Path, settings: Any) -> Path:
    """A folder of 120 files, for which the model takes some seconds."""
    settings.FABRA_EMBEDDER = SLOW_PATH
    for number in range(120):
        words = " ".join(f"word{number}x{n} is one of many." for n in range(40))
        (tmp_path / f"{number:03}.md").write_text(f"# Page {number}\n\n{words}")
    return tmp_path


@pytest.mark.django_db(transaction=True)
def test_a_killed_run_goes_on_where_it_was(many: Path, tmp_path_factory: Any) -> None:
    with Processes(
        tmp_path_factory.mktemp("logs"), FABRA_INGESTION_BATCH_CHARS="8000", **{SLOWNESS: "0.1"}
    ) as processes:
        processes.start("first", "manage.py", "index_documents", str(many), "--index", "docs")
        done = IngestionFile.objects.filter(state="indexed")
        wait_until(lambda: done.count() >= 5)
        processes.kill("first")
    before = set(done.values_list("path", "finished_at"))
    assert 5 <= len(before) < 120
    counts = re.search(r"(\d+) indexed, (\d+) unchanged, 0 unreadable", ingest(many))
    # What was written but not yet noted when it died is found to be there.
    assert counts and int(counts[1]) + int(counts[2]) == 120 and int(counts[2]) < 30
    assert before <= set(done.values_list("path", "finished_at"))  # none was done again
    assert IngestionRun.objects.count() == 1
    assert set(Document.objects.values_list("version__number", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_a_command_that_is_stopped_takes_its_workers_along_and_goes_on_the_next_time(
    many: Path, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    with Processes(folder, **HELD_UP) as processes:
        command = ("manage.py", "index_documents", str(many), "--index", "docs", "--workers", "2")
        first = processes.start("first", *command)
        wait_until(lambda: IngestionFile.objects.filter(state="indexed").count() >= 5)
        helpers = psutil.Process(first.pid).children(recursive=True)
        assert sum("continue_ingestion" in helper.cmdline() for helper in helpers) == 1
        first.terminate()
        assert first.wait(120) == 130
        assert not psutil.wait_procs(helpers, timeout=60)[1]  # neither the worker nor the processes that read files
        said = (folder / "first.log").read_text()
        assert "of 120 files are done; run it again to go on." in said and "Traceback" not in said
    done = set(IngestionFile.objects.filter(state="indexed").values_list("path", "finished_at"))
    assert 5 <= len(done) < 120 and not IngestionFile.objects.filter(state="taken").exists()
    ingest(many)
    assert done <= set(IngestionFile.objects.filter(state="indexed").values_list("path", "finished_at"))
    assert len(live()) == 120 and set(Document.objects.values_list("version__number", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_workers_share_a_run(many: Path) -> None:
    run = open_run("docs", str(many), RunOptions())

    def work(_: int) -> set[str]:
        try:
            mine: set[str] = set()
            execute_run(run.pk, on_file=lambda file: mine.add(file.path))
            return mine
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(work, range(3)))
    while not execute_run(run.pk):
        pass
    assert sum(map(len, shares)) == 120 and len(set.union(*shares)) == 120
    assert sum(bool(share) for share in shares) > 1
    run.refresh_from_db()
    assert (run.state, run.counts()["indexed"], SourceDocument.objects.count()) == ("done", 120, 120)


@pytest.mark.django_db(transaction=True)
def test_celery_does_a_run(folder: Path, tmp_path_factory: Any) -> None:
    with Processes(tmp_path_factory.mktemp("logs")) as processes:
        processes.start_worker(2)
        assert "3 indexed" in ingest(folder, "--celery")
    assert live() == {"a", "b", "c"}


def test_all_pages_of_real_documentation_are_indexed(shared_data: Any) -> None:
    source = shared_data("npm_docs") / "content"
    assert len(list(Folder(source).entries())) == 226


def test_front_matter_says_who_may_find_a_page(folder: Path) -> None:
    (folder / "a.md").write_text("---\naudience: premium, staff\ncolour: red\n---\n# Page a\n\nText of a.")
    (folder / "b.md").write_text("---\naudience: [staff]\n---\n# Page b\n\nText of b.")
    (folder / "c.md").write_text("---\naudience: 3\n---\n# Page c\n\nText of c.")
    assert "2 indexed, 0 unchanged, 1 unreadable" in ingest(folder, "--audience", "public")
    audiences = dict(Document.objects.values_list("entity_id", "audience"))
    assert audiences == {"a": ["premium", "staff"], "b": ["staff"]}
    assert Document.objects.get(entity_id="a").metadata["colour"] == "red"
    assert "audience" not in Document.objects.get(entity_id="a").metadata


UNUSABLE = ["3", "{a: b}", "'*'", f"[{'x' * 200}]", "[premium", "premium\nAudience: staff"]
"""What front matter may say of an audience that no document can have."""


@pytest.mark.parametrize("said", UNUSABLE)
def test_a_page_with_an_audience_that_cannot_be_used_is_found_by_nobody(said: str, folder: Path) -> None:
    """Neither its text nor the one before, which others may find than may read the page now."""
    assert "3 indexed" in ingest(folder)
    for name in ("a", "new"):
        (folder / f"{name}.md").write_text(f"---\naudience: {said}\n---\n# Page\n\nOther text.")
    planned = ingest(folder, "--dry-run")
    assert "gone: a\n" in planned and "0 changed, 2 unchanged, 2 unreadable, 1 gone" in planned
    assert "0 indexed, 2 unchanged, 2 unreadable" in ingest(folder)
    assert live() == {"b", "c"} and not Chunk.objects.filter(document__entity_id="a").exists()
    reasons = dict(IngestionFile.objects.filter(state="failed").values_list("path", "reason"))
    assert reasons["a.md"].endswith("; 1 document withdrawn, found until now by others than may read it")
    assert "withdrawn" not in reasons["new.md"]
    (folder / "a.md").write_text("# Page a\n\nText of a.")
    assert "1 indexed" in ingest(folder) and live() == {"a", "b", "c"}


def test_a_page_that_fails_stays_for_those_who_may_read_it(folder: Path, settings: Any) -> None:
    settings.FABRA_DOCUMENT_MAX_BYTES = 200
    ingest(folder, "--audience", "staff")
    for name, said in (("a", "[staff]"), ("b", "[staff, premium]"), ("c", "[premium]")):
        (folder / f"{name}.md").write_text(f"---\naudience: {said}\n---\n{'Text. ' * 100}")
    index_document("docs", "other", "Of nobody's file.")
    assert "3 unreadable" in ingest(folder)
    assert live() == {"a", "b", "other"}


def test_a_row_with_an_audience_that_cannot_be_used_is_found_by_nobody(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("id,text,audience\na,Text of a.,\nb,Text of b.,\nc,Text of c.,\n")
    ingest(tmp_path)
    table.write_text(f"id,text,audience\na,Text of a.,\nb,Text of b.,{'x' * 200}\nc,Text, with a comma,staff\n")
    assert "1 unreadable" in ingest(tmp_path)
    assert live() == {"table/a"}
    table.write_text("id,text,audience,Audience\na,Text of a.,,staff\n")
    assert "1 unreadable" in ingest(tmp_path)
    assert live() == set()


def test_an_upload_that_waited_takes_nothing_newer_back(embedder: Any) -> None:
    run = open_upload("docs", [("a.md", b"Uploaded text.")], RunOptions(), source="upload", started_by="ann")
    embedder.failure = EmbedderUnavailable
    with pytest.raises(EmbedderUnavailable):
        execute_run(run.pk)
    embedder.failure = None
    index_document("docs", "a", "Newer text.", audience=["staff"], occurred_at=timezone.now())
    assert execute_run(run.pk)
    document = Document.objects.get()
    assert (document.text, document.audience) == ("Newer text.", ["staff"])
    assert not SourceDocument.objects.exists()


def test_pruning_keeps_what_a_file_gave_whose_other_rows_failed(tmp_path: Path, embedder: Any, settings: Any) -> None:
    settings.FABRA_DOCUMENT_MAX_BYTES = 100
    table = tmp_path / "table.csv"
    table.write_text("id,text\na,Text of a.\nb,Text of b.\n")
    ingest(tmp_path)
    table.write_text(f"id,text\na,Newer text of a.\nb,{'x ' * 100}\n")
    assert "1 unreadable" in ingest(tmp_path, "--prune")
    table.write_text("id,text\na,Text of a.\nb,Text of b.\n")
    ingest(tmp_path, "--prune")
    assert live() == {"table/a", "table/b"}
