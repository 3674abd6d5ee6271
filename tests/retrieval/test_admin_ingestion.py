"""The upload page and the page of a run."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from retrieval import tasks
from retrieval.models import Document, Index, IngestionFile, IngestionRun, IngestionUpload
from tests.broker import messages
from tests.retrieval.files import pdf, zipped

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def one_worker(settings: Any) -> None:
    """Have a run shared by one task, so that each run that is started is one message."""
    settings.FABRA_INGESTION_WORKERS = 1


def started() -> list[int]:
    """Return the runs that a worker is asked for."""
    return [message.args[0] for message in messages("ingest")]


def upload(client: Any, *files: tuple[str, bytes], **fields: str) -> Any:
    sent = [SimpleUploadedFile(name, content) for name, content in files]
    data = {"documents": sent, "index": "docs", "source": "upload", "metadata": "{}", **fields}
    return client.post(reverse("admin:retrieval_ingestionrun_upload"), data)


def page(client: Any, run: IngestionRun) -> str:
    return str(client.get(reverse("admin:retrieval_ingestionrun_change", args=[run.pk])).content.decode())


def test_uploaded_files_are_indexed_by_a_worker_and_removed(admin_client: Any) -> None:
    answer = upload(
        admin_client, ("a.md", b"# A\n\nText."), ("m.pdf", pdf("Page one.")), ("t.csv", b"sku,body\nx-1,Lamp.\n"),
        ("bad.txt", b"\xff\xfe\x00"), mapping="text=body,id=sku", metadata='{"team": "x"}', audience="premium, team",
    )  # fmt: skip
    run = IngestionRun.objects.get()
    assert answer.url == reverse("admin:retrieval_ingestionrun_change", args=[run.pk])
    assert started() == [run.pk] and IngestionUpload.objects.count() == 4
    assert "refresh" in page(admin_client, run)
    tasks.ingest(run.pk)
    run.refresh_from_db()
    # The mapping is for tables: other files have no columns.
    assert (run.state, run.counts()["indexed"], run.counts()["failed"]) == ("done", 3, 1)
    lamp = Document.objects.get(entity_id="x-1")
    assert (lamp.text, lamp.metadata["team"], lamp.audience) == ("Lamp.", "x", ["premium", "team"])
    assert not IngestionUpload.objects.exists()
    shown = page(admin_client, run)
    assert "bad.txt" in shown and "binary, or no utf-16-le" in shown and "http-equiv" not in shown
    assert "3 indexed" in shown


def test_an_archive_is_uploaded_as_the_folder_it_is(admin_client: Any) -> None:
    upload(admin_client, ("docs.zip", zipped({"guide/a.md": "# A", "../x.md": "x"})))
    tasks.ingest(*started())
    assert [document.entity_id for document in Document.objects.all()] == ["guide/a"]
    assert "out of the archive" in page(admin_client, IngestionRun.objects.get())


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("a.exe", {}, "no reader"),
        ("a.md", {"mapping": "words=x"}, "mapping knows"),
        ("a.md", {"mapping": "text"}, "mapping is written as"),
        ("a.md", {"metadata": "["}, "no JSON"),
        ("a.md", {"index": ""}, "required"),
        ("a.md", {"base_url": "nonsense"}, "valid URL"),
    ],
)
def test_a_mistake_is_said_beside_its_field(admin_client: Any, name: str, fields: dict[str, str], said: str) -> None:
    answer = upload(admin_client, (name, b"x"), **fields)
    assert answer.status_code == 200 and said in answer.content.decode()
    assert not IngestionRun.objects.exists() and not started()


def test_too_much_is_refused(admin_client: Any, settings: Any) -> None:
    settings.FABRA_UPLOAD_MAX_BYTES = 10
    assert "the limit is 10" in upload(admin_client, ("a.md", b"x" * 11)).content.decode()


def test_only_who_may_add_runs_may_upload(client: Any, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("viewer", is_staff=True))
    assert client.get(reverse("admin:retrieval_ingestionrun_upload")).status_code in (302, 403)


@pytest.fixture
def warned() -> IngestionRun:
    """A run of three files: one read in full, one in part, and one that could not be read."""
    run = IngestionRun.objects.create(
        index=Index.objects.create(name="docs"), source="s", location="/s", state="done", is_listed=True, total=3,
        started_at=timezone.now(), finished_at=timezone.now(),
    )  # fmt: skip
    warning = {"code": "pages_without_text", "message": "3 of 9 pages <are> pictures."}
    for path, state, warnings in [
        ("whole.md", "indexed", []),
        ("part.pdf", "indexed", [warning]),
        ("no", "failed", []),
    ]:
        IngestionFile.objects.create(run=run, path=path, state=state, warnings=warnings, finished_at=timezone.now())
    return run


def test_a_run_shows_what_was_not_read_in_full(admin_client: Any, warned: IngestionRun) -> None:
    shown = page(admin_client, warned)
    assert "1 with warnings" in shown and "3 of 9 pages &lt;are&gt; pictures." in shown
    assert shown.index("part.pdf") < shown.index("whole.md")
    listed = admin_client.get(reverse("admin:retrieval_ingestionrun_changelist")).content.decode()
    assert "3 of 3, 1 failed" in listed and "1 file<" in listed


def test_the_files_with_warnings_can_be_seen_alone(admin_client: Any, warned: IngestionRun) -> None:
    url = reverse("admin:retrieval_ingestionrun_change", args=[warned.pk])
    shown = admin_client.get(url, {"state": "warned"}).content.decode()
    assert "part.pdf" in shown and "whole.md" not in shown and " more.</p>" not in shown
