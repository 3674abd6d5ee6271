"""What most pages of a source begin and end with is read on one of them only; between the two ends nothing goes."""

from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from retrieval.indexing.documents import delete_document
from retrieval.indexing.purge import purge_document
from retrieval.ingestion.page_ends import files_of, repeated_ends
from retrieval.ingestion.runs import RunOptions, open_run, open_upload
from retrieval.ingestion.work import execute_run
from retrieval.models import Document, DocumentVersion, IngestionRun, SourceFile
from retrieval.readers.repeated import Ends
from tests.retrieval.reading import read_all

pytestmark = pytest.mark.django_db

TOP, END = "Acme help, made with care.", "Ask our people at 555-0100."
PREMIUM = "This is for premium customers only."


def html(name: str, *, top: str = f"<div>{TOP}</div>", end: str = f"<div>{END}</div>") -> str:
    middle = f"<h1>About {name}</h1><p>Text of {name}.</p><p>{PREMIUM}</p><p>The end of {name}.</p>"
    return f"<title>{name}, Acme</title>{top}{middle}{end}"


def read_without(content: str, *others: str) -> tuple[Any, list[str]]:
    """Return a page without what these have at their ends, and the codes of its warnings."""
    ends = [read_all("other.html", other)[0][0].ends for other in others]
    repeated = {digest for found in ends for digest in Ends(**found).digests}
    [found], warnings, _ = read_all("page.html", content, repeated=sorted(repeated))
    return found, [warning.code for warning in warnings]


def test_whole_blocks_at_the_two_ends_go_and_are_told() -> None:
    found, warnings = read_without(html("a"), html("b"))
    assert found.text == f"# About a\n\nText of a.\n\n{PREMIUM}\n\nThe end of a." and found.ends["left_out"] == [1, 1]
    assert warnings == ["surroundings_left_out"]
    longer = f"<div>{TOP} And more.</div>"
    assert read_without(html("a", top=longer), html("b"))[0].text.startswith(f"{TOP} And more.\n\n# About a")


def test_a_link_is_the_same_from_another_folder() -> None:
    one, other = (f"<div>The <a href='{up}index.html'>Acme</a> help.</div>" for up in ("", "../"))
    assert read_without(html("a", top=one), html("b", top=other))[0].text.startswith("# About a")


def test_the_heading_of_a_text_stays_and_the_heading_of_the_site_is_no_title() -> None:
    def page(heading: str, text: str) -> str:
        return f"<title>{text} – Acme</title><div><h1>{heading}</h1><h2>{text}</h2><p>It is {text}.</p></div>"

    found, _ = read_without(page("Acme manual", "gzip"), page("Acme manual", "tar"))
    assert (found.title, found.text) == ("gzip – Acme", "## gzip\n\nIt is gzip.")
    synopsis = [f"<h2>Synopsis</h2><p>{name} in all its beauty.</p>" for name in ("gzip", "tar")]
    assert read_without(*synopsis)[0].text.startswith("## Synopsis\n\ngzip")


@pytest.mark.parametrize(
    "sentence",
    [
        "Members see the change at their next sign-in, and administrators find it in the log.",
        "Prices are without tax, which is added where the customer's country asks for it (<a href='t.html'>tax</a>).",
    ],
)
def test_a_sentence_that_each_page_says_of_its_subject_stays(sentence: str) -> None:
    end = f"<p>{sentence}</p><div>{END}</div>"
    found, _ = read_without(html("a", end=end), html("b", end=end))
    assert sentence[:40] in found.text and END not in found.text


def test_a_page_of_nothing_else_stays() -> None:
    text = f"{TOP}\n\n{END}"
    assert read_without(f"<div>{TOP}</div><div>{END}</div>", html("b"))[0].text == text


def write(root: Path, names: Iterable[str], **parts: str) -> Path:
    root.mkdir(exist_ok=True)
    for name in names:
        (root / f"{name}.html").write_text(html(name, **parts))
    return root


def ingest(root: Path, *arguments: str) -> tuple[IngestionRun, str]:
    out = StringIO()
    call_command("index_documents", str(root), "--index", "docs", "--source", "s", *arguments, stdout=out, stderr=out)
    return IngestionRun.objects.first(), out.getvalue()


def having(words: str) -> str:
    """Return the ids of the documents that have these words, as one word."""
    found = Document.objects.live().filter(version__text__contains=words)
    return "".join(found.order_by("entity_id").values_list("entity_id", flat=True))


def test_what_most_pages_have_stays_on_the_first_and_what_is_between_on_all(tmp_path: Path, admin_client: Any) -> None:
    root = write(tmp_path / "site", "abcdefgh")
    run, said = ingest(root)
    assert (having(TOP), having(END), having(PREMIUM)) == ("a", "a", "abcdefgh")
    assert (run.state, run.reread) == ("done", 7) and "8 indexed, 0 unchanged" in said
    page = admin_client.get(f"/admin/retrieval/ingestionrun/{run.pk}/change/").content.decode()
    assert "7 pages of this source without what most" in page and "read 7 again" in page
    assert set(run.files.values_list("state", "documents", "chunks")) == {("indexed", 1, 1)}
    run, said = ingest(root)
    assert run.reread == 0 and "0 indexed, 8 unchanged" in said
    assert "0 new, 0 changed, 8 unchanged" in ingest(root, "--dry-run")[1]


def test_few_pages_have_no_frame(tmp_path: Path) -> None:
    root = write(tmp_path / "site", "abcd")
    write(root, "efgh", top="", end="")
    run, _ = ingest(root)
    assert (having(TOP), having(END), run.reread) == ("abcd", "abcd", 0)
    for name in "abcdefgh":
        (root / f"{name}.md").write_text(f"{TOP}\n\n# {name}\n\nMarkdown of {name}.\n\n{END}\n")
    ingest(root)
    assert Document.objects.live().filter(version__text__contains=TOP).count() == 12, "a text has no frame"


def test_what_is_repeated_no_longer_comes_back_also_on_pages_that_have_not_changed(tmp_path: Path) -> None:
    root = write(tmp_path / "site", "abcdefgh")
    ingest(root)
    write(root, "aefgh", top="", end="")
    run, _ = ingest(root)
    assert (having(TOP), having(END)) == ("bcd", "bcd") and run.reread == 3
    write(root, "aefgh")
    assert ingest(root)[0].reread and having(TOP) == "a"


def test_the_page_that_keeps_it_may_go(tmp_path: Path) -> None:
    root = write(tmp_path / "site", "abcdefgh")
    ingest(root)
    write(root, "a", top="", end="")
    ingest(root)
    assert (having(TOP), having(END)) == ("b", "b")


def test_the_page_that_keeps_it_may_leave_the_source(tmp_path: Path) -> None:
    root = write(tmp_path / "site", "abcdefgh")
    ingest(root)
    (root / "a.html").unlink()
    assert "0 new, 1 changed, 6 unchanged, 0 unreadable, 1 gone" in ingest(root, "--prune", "--dry-run")[1]
    ingest(root)
    assert having(TOP) == "a", "it is found until it is pruned"
    ingest(root, "--prune")
    assert (having(TOP), having(END)) == ("b", "b")


def test_a_page_that_is_withdrawn_keeps_nothing_for_the_others(tmp_path: Path) -> None:
    root = write(tmp_path / "site", "abcdefgh")
    ingest(root)
    (root / "a.html").write_text(f"---\naudience: [staff\n---\n{html('a')}")
    for _ in range(2):
        ingest(root)
        assert (having(TOP), having("Text of a")) == ("b", "")
    write(root, "a")
    ingest(root)
    assert having(TOP) == "a"
    delete_document("docs", "a")
    ingest(root)
    assert (having(TOP), having("Text of a")) == ("a", "a"), "the source has it still"


def test_pages_behind_the_first_ones_are_read_once(tmp_path: Path, settings: Any) -> None:
    settings.FABRA_INGESTION_BATCH_CHARS = 1
    names = [f"page-{number:02}" for number in range(60)]
    run, _ = ingest(write(tmp_path / "site", names))
    assert having(TOP) == "page-00" and 0 < (run.reread or 0) < 40
    assert DocumentVersion.objects.count() == 60 + (run.reread or 0)


def test_a_run_that_is_interrupted_goes_on_with_the_pages_to_be_read_again(tmp_path: Path) -> None:
    root = write(tmp_path / "site", "abcdefgh")
    run = open_run("docs", str(root), RunOptions(), source="s")
    seen: list[int | None] = []
    while len(seen) < 40:
        calls = iter(range(100))
        is_finished = execute_run(run.pk, until=lambda calls=calls: next(calls) > 2)  # type: ignore[misc]
        run.refresh_from_db()
        seen.append(run.reread)
        if is_finished:
            break
    assert is_finished and having(TOP) == "a"
    assert len(set(seen)) == 2 and seen.count(None) > 1 and seen[-2] == seen[-1] != 0, "the second pass has slices, too"


def test_a_page_that_is_gone_when_it_is_to_be_read_again_fails_and_the_run_ends(tmp_path: Path) -> None:
    root = write(tmp_path / "site", "abcdefgh")
    run = open_run("docs", str(root), RunOptions(), source="s")
    assert execute_run(run.pk, on_file=lambda file: (root / "c.html").unlink(missing_ok=True))
    assert list(run.files.filter(state="failed").values_list("path", flat=True)) == ["c.html"]
    assert having("Text of c") == "c" and having(TOP) == "ac"


def test_an_upload_reads_its_own_pages_again_and_leaves_those_of_earlier_ones(tmp_path: Path) -> None:
    for names in ("abc", "defgh"):
        files = [(f"{name}.html", html(name).encode()) for name in names]
        assert execute_run(open_upload("docs", files, RunOptions(), source="up", started_by="x").pk)
    assert having(TOP) == "abc"


def test_half_of_all_pages_have_it_however_they_are_spread_over_a_large_source() -> None:
    run, rows = open_upload("docs", [], RunOptions(), source="large", started_by="x"), []
    for number in range(2500):
        ends = {"first": ["most" if number >= 1200 else "less"], "last": [str(number)], "blocks": 9}
        rows.append(SourceFile(index=run.index, source="large", path=str(number), ends=ends))
    SourceFile.objects.bulk_create(rows)
    assert repeated_ends(files_of(run)) == {"most": SourceFile.objects.get(path="1200").pk}


def test_a_purge_erases_the_digests_of_how_a_page_begins_and_ends(tmp_path: Path) -> None:
    ingest(write(tmp_path / "site", "ab"))
    assert SourceFile.objects.exclude(ends={}).count() == 2
    assert purge_document("docs", "a") == []
    assert [file.path for file in SourceFile.objects.exclude(ends={})] == ["b.html"]
