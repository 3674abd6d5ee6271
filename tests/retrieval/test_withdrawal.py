"""Files that lost their text: what they said is withdrawn by a run that prunes, and told by one that does not."""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from common.locks import held
from common.redis import plain_redis, redis_key
from retrieval import tasks
from retrieval.indexing.documents import index_document
from retrieval.ingestion.prune import prune
from retrieval.ingestion.runs import RunOptions, open_run
from retrieval.ingestion.work import execute_run
from retrieval.models import Document, IngestionFile, IngestionRun
from tests.broker import messages
from tests.embedders import WorkerDied
from tests.retrieval.files import docx, paragraph, pdf, zipped

pytestmark = pytest.mark.django_db

EMPTY = {
    "no bytes": ("promo.md", b""),
    "white space": ("promo.md", b" \n\t\n"),
    "front matter only": ("promo.md", b"---\ntitle: Promo\n---\n"),
    "front matter of MDX only": ("promo.mdx", b"---\ntitle: Promo\n---\n"),
    "code of MDX only": ("promo.mdx", b"---\ntitle: Promo\n---\nimport A from 'a'\n\n{/* withdrawn */}\n"),
    "nothing that can be seen": ("promo.md", "\ufeff\u200b\u00a0\n".encode()),
    "a page without text": ("promo.html", b"<html><body><nav></nav></body></html>"),
    "a page with a title only": ("promo.html", b"<title>Promo</title><body></body>"),
    "a document with a title only": ("promo.docx", docx("<w:p/>")),
    "a page without bytes": ("promo.html", b""),
    "a table without rows": ("promo.csv", b"id,text\n"),
    "a table without bytes": ("promo.csv", b""),
    "lines without a row": ("promo.jsonl", b"\n\n"),
    "a byte order mark": ("promo.txt", b"\xef\xbb\xbf"),
    "what an editor leaves behind": ("promo.md", b"<p>&nbsp;</p>\n<div class='x'><br/></div>\n"),
    "a PDF without a drawing": ("promo.pdf", pdf("")),
    "a heading without a text": ("promo.md", b"# \n\n##\n"),
    "marks of Markdown": ("promo.md", b"- \n* \n> \n- [ ]\n\n```\n```\n\n****\n"),
    "a table without a cell": ("promo.md", b"| | |\n|---|:-:|\n| | |\n"),
    "a picture that says nothing": ("promo.md", b"![](promo.png)\n"),
    "a picture alone": ("promo.md", b"![](data:image/png;base64," + b"QUJD" * 90 + b")"),
}


def ingest(folder: Path, *arguments: str) -> str:
    said = StringIO()
    call_command(
        "index_documents", str(folder), "--index", "docs", "--source", "s", *arguments, stdout=said, stderr=said
    )
    return said.getvalue()


def live() -> set[str]:
    return set(Document.objects.live().values_list("entity_id", flat=True))


@pytest.mark.parametrize(("name", "content"), EMPTY.values(), ids=EMPTY)
def test_an_emptied_file_is_withdrawn(tmp_path: Path, name: str, content: bytes) -> None:
    texts = {".csv": "id,text\n1,Forty percent off.\n", ".jsonl": '{"id": 1, "text": "Forty percent off."}\n'}
    file = tmp_path / name
    said = "Forty percent off."
    made = {".pdf": pdf(said), ".docx": docx(paragraph(said))}
    full = made.get(file.suffix) or texts.get(file.suffix, said).encode()
    file.write_bytes(full)
    (tmp_path / "other.md").write_text("Other.")
    ingest(tmp_path)
    (promo,) = live() - {"other"}
    file.write_bytes(content)
    for _ in range(2):  # in every run, not only in the first that sees it
        said = ingest(tmp_path)
        assert f"{name}: empty, and the text that it had is still found as {promo!r}; run it with --prune" in said
        assert live() == {promo, "other"}
    said = ingest(tmp_path, "--prune", "--dry-run")
    assert f"gone: {promo}" in said.splitlines()
    said = ingest(tmp_path, "--prune")
    assert f"{name}: withdrawn: the file has no text now" in said and "0 unreadable, 1 pruned" in said
    assert live() == {"other"}
    assert re.search(f"could not read {name}: empty(, but for embedded .*)?\n", ingest(tmp_path, "--prune"))
    file.write_bytes(full)
    ingest(tmp_path, "--prune")
    assert live() == {promo, "other"}


def test_a_withdrawal_is_shown_on_the_runs_page_and_as_json(tmp_path: Path, admin_client: Any) -> None:
    (tmp_path / "promo.md").write_text("Forty percent off.")
    ingest(tmp_path)
    (tmp_path / "promo.md").write_text("")
    report = json.loads(ingest(tmp_path, "--json"))
    assert report["files"][0]["state"] == "failed" and "still found" in report["files"][0]["reason"]
    (tmp_path / "more.md").write_text("More.")
    report = json.loads(ingest(tmp_path, "--json", "--prune"))
    row = next(file for file in report["files"] if file["path"] == "promo.md")
    assert (row["state"], row["documents"], report["pruned"]) == ("pruned", 1, 1)
    assert row["reason"].startswith("withdrawn")
    url = reverse("admin:retrieval_ingestionrun_change", args=[IngestionRun.objects.latest("pk").pk])
    assert "withdrawn: the file has no text now" in admin_client.get(url).content.decode()


def test_what_cannot_be_read_withdraws_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("Text."))
    ingest(tmp_path)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 broken")
    assert "0 gone" in ingest(tmp_path, "--prune", "--dry-run")
    assert "1 unreadable, 0 pruned" in ingest(tmp_path, "--prune", "--force")
    assert live() == {"a"}


def test_what_others_wrote_since_is_not_withdrawn(tmp_path: Path) -> None:
    (tmp_path / "promo.md").write_text("Forty percent off.")
    ingest(tmp_path)
    index_document("docs", "promo", "Written by the shop.")
    (tmp_path / "promo.md").write_text("")
    assert "could not read promo.md: empty\n" in ingest(tmp_path, "--prune")
    assert live() == {"promo"}


def test_a_source_whose_files_are_all_empty_looks_like_a_mistake(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.md").write_text(f"Text {number}.")
    ingest(tmp_path)
    for number in range(12):
        (tmp_path / f"{number}.md").write_text("")
    with pytest.raises(CommandError, match="12 of the source's 12 documents would go"):
        ingest(tmp_path, "--prune")
    assert len(live()) == 12
    ingest(tmp_path, "--prune", "--force")
    assert not live()


def test_a_member_of_an_archive_is_withdrawn(tmp_path: Path) -> None:
    (tmp_path / "more.zip").write_bytes(zipped({"a.md": "A.", "b.md": "B."}))
    ingest(tmp_path)
    (tmp_path / "more.zip").write_bytes(zipped({"a.md": "A.", "b.md": ""}))
    assert "more.zip/b.md: withdrawn" in ingest(tmp_path, "--prune")
    assert live() == {"more.zip/a"}


def test_a_long_prune_goes_on_in_another_task(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.md").write_text(f"Text of {name}.")
    (tmp_path / "rows.csv").write_text("id,text\nx,One.\ny,Two.\nz,Three.\n")
    ingest(tmp_path)
    (tmp_path / "rows.csv").write_text("id,text\nz,Three.\n")
    (tmp_path / "a.md").unlink()
    run = open_run("docs", str(tmp_path), RunOptions(prune=True), source="s")
    left = []
    for _ in range(10):
        # Each call has time for all files, and then for one document.
        pruned_since = IngestionRun.objects.filter(pk=run.pk, pruned__gt=run.pruned)
        is_finished = execute_run(run.pk, until=pruned_since.exists)
        run.refresh_from_db()
        left.append(len(live()))
        if is_finished:
            break
    assert left == [5, 4, 3]
    assert (run.state, run.pruned) == ("done", 3)
    pruned_files = IngestionFile.objects.filter(run=run, state="pruned").values_list("path", "documents")
    assert ("a.md (gone)", 1) in pruned_files and sum(count for _, count in pruned_files) == 3


@pytest.mark.django_db(transaction=True)
def test_a_worker_waits_for_no_other_that_lists_or_ends_a_run(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Text.")
    run = open_run("docs", str(tmp_path), RunOptions(), source="s")
    for name in (f"ingestion-list-{run.pk}", f"ingestion-finish-{run.pk}"):
        before = timezone.now()
        with ThreadPoolExecutor(1) as pool, lock_of_another(pool, name):
            tasks.ingest(run.pk)
        [again] = messages("ingest")
        assert again.args == [run.pk] and again.eta and again.eta > before
        plain_redis().delete(redis_key("celery", "ingest"))
    tasks.ingest(run.pk)
    run.refresh_from_db()
    assert run.state == "done"


@contextmanager
def lock_of_another(pool: ThreadPoolExecutor, name: str) -> Iterator[None]:
    """Have another connection hold a lock during the block."""
    is_taken, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with held(name):
                is_taken.set()
                is_over.wait(120)
        finally:
            connection.close()

    holding = pool.submit(hold)
    assert is_taken.wait(120)
    try:
        yield
    finally:
        is_over.set()
        holding.result()


def test_a_prune_that_was_killed_goes_on(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.md").write_text(f"Text of {name}.")
    ingest(tmp_path)
    (tmp_path / "a.md").write_text("")
    (tmp_path / "b.md").unlink()

    run = open_run("docs", str(tmp_path), RunOptions(), source="s")
    assert execute_run(run.pk)
    IngestionRun.objects.filter(pk=run.pk).update(state="running", options=asdict(RunOptions(prune=True)))
    run.refresh_from_db()

    answers = iter([False])

    def die_at_the_second() -> bool:
        for answer in answers:
            return answer
        raise WorkerDied

    with pytest.raises(WorkerDied):
        prune(run, is_forced=False, until=die_at_the_second)
    assert len(live()) == 2
    assert execute_run(run.pk)
    assert live() == {"c"}
    pruned = IngestionFile.objects.filter(run=run, state="pruned").order_by("path")
    assert list(pruned.values_list("path", "documents")) == [("a.md", 1), ("b.md (gone)", 1)]
    run.refresh_from_db()
    assert (run.state, run.pruned) == ("done", 2)
