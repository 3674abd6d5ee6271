"""Ids of documents from files: one for each file, the same in every run, and never taken from their owner."""

import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from threading import Barrier

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import DocumentOwned
from retrieval.indexing.bulk import Draft, index_in_bulk
from retrieval.indexing.document_input import DocumentOrigin
from retrieval.indexing.documents import delete_document, index_document
from retrieval.indexing.ownership import FileClaim
from retrieval.ingestion.naming import choose_names
from retrieval.ingestion.runs import RunOptions, open_run
from retrieval.ingestion.work import execute_run
from retrieval.models import Document, IngestionRun, SourceDocument, SourceFile
from tests.retrieval.files import zipped

pytestmark = pytest.mark.django_db


def ingest(path: Path, source: str, *arguments: str) -> str:
    said = StringIO()
    call_command(
        "index_documents", str(path), "--index", "docs", "--source", source, *arguments, stdout=said, stderr=said
    )
    return said.getvalue()


def texts() -> dict[str, str]:
    return dict(Document.objects.live().filter(index__name="docs").values_list("entity_id", "version__text"))


def folder_of(path: Path, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def test_two_files_of_one_stem_are_two_documents_in_every_run(tmp_path: Path) -> None:
    folder_of(tmp_path, refunds__md="Refunds take a week.", refunds__txt="Refunds of tickets.")
    for _ in range(3):
        assert "0 unreadable" in ingest(tmp_path, "s", "--prune")
        assert texts() == {"refunds": "Refunds take a week.", "refunds.txt": "Refunds of tickets."}
    assert set(Document.objects.values_list("version__number", flat=True)) == {1}


def test_a_file_keeps_its_id_whatever_comes_and_goes_beside_it(tmp_path: Path) -> None:
    folder_of(tmp_path, refunds__txt="Of tickets.")
    ingest(tmp_path, "s")
    folder_of(tmp_path, refunds__md="Of orders.", refunds__html="<p>As a page.")
    ingest(tmp_path, "s")
    assert texts() == {"refunds": "Of tickets.", "refunds.md": "Of orders.", "refunds.html": "As a page."}
    (tmp_path / "refunds.txt").unlink()
    ingest(tmp_path, "s", "--prune")
    assert texts() == {"refunds.md": "Of orders.", "refunds.html": "As a page."}


def test_a_file_that_is_converted_inherits_the_id_of_the_one_that_it_replaces(tmp_path: Path) -> None:
    folder_of(tmp_path, a__html="<p>Old a.", b__html="<p>Old b.", c__md="Text of c.")
    ingest(tmp_path, "s")
    for name in "ab":
        (tmp_path / f"{name}.html").unlink()
    folder_of(tmp_path, a__md="New a.", b__md="New b.")
    assert "0 pruned" in ingest(tmp_path, "s", "--prune")
    assert texts() == {"a": "New a.", "b": "New b.", "c": "Text of c."}


@given(st.lists(st.text("ab./?é\u0301A", min_size=1, max_size=8), unique=True, max_size=12), st.data())
def test_no_two_paths_share_an_id_and_none_changes_it(paths: list[str], data: st.DataObject) -> None:
    known: dict[str, str] = {}
    left = list(paths)
    while left:
        listed = data.draw(st.permutations(paths))[: data.draw(st.integers(1, len(paths)))]
        chosen = choose_names(listed, known)
        assert not chosen.keys() & known.keys()
        known |= chosen
        left = [path for path in left if path not in known]
        assert len(set(known.values())) == len(known)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.html", "a/index.html", "A.html"], ["a", "a/index", "A"]),
        (["v1.3.md", "v1.4.md", "v1.md"], ["v1.3", "v1.4", "v1"]),
        (["faq.csv", "faq.md", "faq.tsv"], ["faq", "faq", "faq.tsv"]),  # rows are faq/1, ...
        (["one.zip/a.md", "two.zip/a.md"], ["one.zip/a", "two.zip/a"]),
        (["http://h/kb?id=1", "http://h/kb?id=2", "http://h/kb"], ["kb?id=1", "kb?id=2", "kb"]),
        (["http://h/guide", "http://h/guide.pdf", "http://h/guide/"], ["guide", "guide.pdf", "guide/"]),
        (["http://h/v1.3", "http://h/v1.4"], ["v1.3", "v1.4"]),
        (["http://h/", "http://h/index.html", "http://h/index"], ["index", "index.html", "http://h/index"]),
        (["http://h/a", "HTTP://h/a", "http://H/a"], ["a", "HTTP://h/a", "http://H/a"]),
    ],
)
def test_ids_are_short_where_they_are_unique(paths: list[str], names: list[str]) -> None:
    assert list(choose_names(paths, {}).values()) == names


def test_names_that_differ_in_case_or_normalisation_only_are_two(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    for number, name in enumerate(["a", "A", *forms]):
        (tmp_path / f"{name}.md").write_text(f"Text {number}.")
    ingest(tmp_path, "s")
    assert texts() == {"a": "Text 0.", "A": "Text 1.", forms[0]: "Text 2.", forms[1]: "Text 3."}


def test_a_long_path_has_an_id_of_its_own(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200) / ("e" * 100)
    deep.mkdir(parents=True)
    for name in "ab":
        (deep / f"{name}.md").write_text(f"Text of {name}.")
    ingest(tmp_path, "s")
    assert sorted(texts().values()) == ["Text of a.", "Text of b."]
    assert all(len(name) <= 255 and name.startswith("d" * 200) for name in texts())


def test_a_name_that_is_no_text_fails_alone(tmp_path: Path) -> None:
    folder_of(tmp_path, a__md="Text of a.")
    (tmp_path / "b\udcff.md").write_text("Text of b.")
    assert "b\ufffd.md: its name is no UTF-8" in ingest(tmp_path, "s")
    assert list(texts()) == ["a"]


def test_two_sources_do_not_replace_each_others_documents(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", index__md="Of one.")
    two = folder_of(tmp_path / "two", index__md="Of two.", other__md="Other.")
    ingest(one, "one")
    for _ in range(2):
        said = ingest(two, "two", "--prune")
        assert "index.md of the source one is the document 'index' already, so that index.md of the source two" in said
        assert "1 unreadable" in said
        ingest(one, "one", "--prune")
        assert texts() == {"index": "Of one.", "other": "Other."}
    (one / "index.md").unlink()
    folder_of(one, more__md="More.")
    ingest(one, "one", "--prune")
    assert texts() == {"more": "More.", "other": "Other."}
    ingest(two, "two")
    assert texts()["index"] == "Of two."


def test_a_prefix_tells_sources_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ingest(
            folder_of(tmp_path / name, index__md=f"Of {name}.", faq__csv="id,text\n1,So.\n"),
            name,
            "--id-prefix",
            f"{name}/",
        )
    assert set(texts()) == {"one/index", "two/index", "one/faq/1", "two/faq/1"}


def test_pruning_never_deletes_what_another_source_has(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", a__md="Of one.", b__md="B.")
    two = folder_of(tmp_path / "two", a__md="Of one.", c__md="C.")  # the same text as that of the other source
    ingest(one, "one")
    ingest(two, "two")
    (two / "a.md").unlink()
    ingest(two, "two", "--prune")
    assert texts() == {"a": "Of one.", "b": "B.", "c": "C."}


def test_members_of_two_archives_do_not_replace_each_other(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.zip").write_bytes(zipped({"a.md": f"Of {name}.", f"{name}.md": name}))
    ingest(tmp_path, "both")
    assert {"one.zip/a": "Of one.", "two.zip/a": "Of two."}.items() < texts().items()
    ingest(tmp_path / "one.zip", "one")
    assert "a.md of the source one is the document 'a' already" in ingest(tmp_path / "two.zip", "two")
    assert texts()["a"] == "Of one." and texts()["two"] == "two"


def test_a_document_that_did_not_come_from_a_file_stays_its_writers(tmp_path: Path) -> None:
    index_document("docs", "pay", "Written over REST.", source="api", author="cms")
    folder_of(tmp_path, pay__md="From a file.")
    for arguments in ((), ("--dry-run",), ("--prune",)):
        said = ingest(tmp_path, "s", *arguments)
        assert "The document 'pay' was written by api (cms), and not from pay.md of the source s." in said
    assert texts() == {"pay": "Written over REST."}
    delete_document("docs", "pay")
    ingest(tmp_path, "s")
    assert texts() == {"pay": "From a file."}


def test_an_edit_that_waits_to_be_indexed_is_not_taken_over(tmp_path: Path) -> None:
    index_document("docs", "other", "So that there is an index.")
    Document(index=Document.objects.get().index, entity_id="pay", text="Saved in the admin.").save()
    assert "was written by other means" in ingest(folder_of(tmp_path, pay__md="From a file."), "s")


def test_what_others_changed_after_its_file_went_is_theirs(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", a__md="Of a file.", b__md="B.")
    ingest(one, "one")
    index_document("docs", "a", "By code.")
    (one / "a.md").unlink()
    ingest(one, "one", "--prune")
    assert "was written by code" in ingest(folder_of(tmp_path / "two", a__md="Of another."), "two")
    assert texts()["a"] == "By code."


def test_a_row_does_not_replace_a_page_nor_a_page_a_row(tmp_path: Path) -> None:
    folder_of(tmp_path, faq__csv="id,text\n1,Row one.\n2,Row two.\n")
    (tmp_path / "faq").mkdir()
    (tmp_path / "faq" / "1.md").write_text("Page one.")
    for _ in range(2):
        assert "faq/1.md of the source s is the document 'faq/1' already, so that faq.csv" in ingest(tmp_path, "s")
        assert texts() == {"faq/1": "Page one.", "faq/2": "Row two."}


def test_an_id_that_comes_again_in_its_file_is_told(tmp_path: Path) -> None:
    folder_of(tmp_path, t__csv="sku,text\n1,One.\n1,Again.\n2,Two.\n")
    said = ingest(tmp_path, "s", "--map", "id=sku")
    assert "1" in said and texts() == {"1": "One.", "1#2": "Again.", "2": "Two."}


def test_a_file_that_was_read_before_another_wrote_its_document_is_refused() -> None:
    """It comes second to the document, although what it says is the older state."""
    index_document("docs", "other", "So that there is an index.")
    index = Document.objects.get().index
    one, two = (SourceFile.objects.create(index=index, source=name, path="a.md", name="a") for name in ("one", "two"))
    read_at = timezone.now()

    def batches() -> Iterator[list[Draft]]:
        yield [Draft(entity_id="a", text="One.", origin=DocumentOrigin(occurred_at=read_at, claim=FileClaim(file=one)))]
        list(
            index_in_bulk(
                "docs", [[Draft(entity_id="a", text="Two.", origin=DocumentOrigin(claim=FileClaim(file=two)))]]
            )
        )

    (outcomes,) = index_in_bulk("docs", batches())
    assert isinstance(outcomes[0], DocumentOwned)
    assert texts()["a"] == "Two."


def test_the_owner_is_stored_in_the_commit_that_writes_the_document(tmp_path: Path) -> None:
    """Otherwise a worker that is killed between the two leaves a document that nobody may write again."""
    index_document("docs", "other", "So that there is an index.")
    run = open_run("docs", str(folder_of(tmp_path, a__md="A.")), RunOptions(), source="s")
    file = SourceFile.objects.create(index=run.index, source="s", path="a.md", name="a")
    (outcomes,) = index_in_bulk(
        "docs", [[Draft(entity_id="a", text="A.", origin=DocumentOrigin(claim=FileClaim(file=file, run=run)))]]
    )
    assert SourceDocument.objects.get().file == file and len(outcomes) == 1
    assert "0 unreadable" in ingest(tmp_path, "s")


@pytest.mark.django_db(transaction=True)
def test_of_workers_and_sources_that_want_one_id_at_once_one_gets_it(tmp_path: Path) -> None:
    """Four sources and two tables of one source; whoever is second gets an error, whatever the timing."""
    runs: list[IngestionRun] = []
    for name in ("one", "two", "three"):
        many = {f"page{n}__md": f"Page {n} of {name}." for n in range(12)}
        runs.append(open_run("docs", str(folder_of(tmp_path / name, **many)), RunOptions(), source=name))
    tables = {f"t{n}__csv": "sku,text\n" + "".join(f"{row},Row {row} of {n}.\n" for row in range(8)) for n in range(2)}
    tabled = open_run("docs", str(folder_of(tmp_path / "t", **tables)), RunOptions(mapping={"id": "sku"}), source="t")
    barrier = Barrier(4)

    def work(run: IngestionRun) -> None:
        try:
            barrier.wait(30)
            while not execute_run(run.pk):
                pass
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [*runs, tabled]))
    assert len(texts()) == 20 and set(Document.objects.values_list("version__number", flat=True)) == {1}
    owners = dict(SourceDocument.objects.values_list("document__entity_id", "file__source"))
    assert all(text.endswith(f"of {owners[key]}.") for key, text in texts().items() if key.startswith("page"))
    failed = sum(run.files.filter(state="failed").count() for run in runs)
    assert failed == 24 and tabled.files.filter(state="failed", reason__contains="is the document").count() == 1
    before = texts()
    for run in runs:
        ingest(Path(run.location), run.source, "--prune")
    assert texts() == before
