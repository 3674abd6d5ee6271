"""Golden questions and evaluation runs in the admin: written, imported, exported, run, drawn and compared."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from common.locks import held, is_held
from retrieval.evaluation import runs
from retrieval.evaluation.golden import GoldenRecord, read_golden, save_golden
from retrieval.models import EvaluationRun, GoldenQuestion, Index
from tests.processes import Processes, wait_until

LIST = "admin:retrieval_goldenquestion_changelist"
ADD = "admin:retrieval_goldenquestion_add"
CHANGE = "admin:retrieval_goldenquestion_change"
IMPORT = "admin:retrieval_goldenquestion_import_file"
RUNS = "admin:retrieval_evaluationrun_changelist"
RUN = "admin:retrieval_evaluationrun_change"
START = "admin:retrieval_evaluationrun_start"
GO_ON = "admin:retrieval_evaluationrun_go_on"


@pytest.fixture
def index(put: Any) -> Index:
    put("password", "# Reset\n\nTo get a new password, click the link in the email.")
    put("billing", "# Pay\n\nInvoices are sent on the first of each month.")
    return Index.objects.get(name="docs")


def form(index: Index, **changes: Any) -> dict[str, Any]:
    return {
        "index": index.pk, "question": "How?", "expected_documents": "password\r\n billing \n\npassword",
        "expected_text": "", "filters": "{}", "audience": "", "tags": "first", "is_enabled": "on", **changes,
    }  # fmt: skip


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def run_of(index: Index, **options: Any) -> EvaluationRun:
    run = runs.open_run(index.name, started_by="test", **options)
    runs.execute_run(run.pk)
    run.refresh_from_db()
    return run


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db
def test_a_question_is_written_and_changed(index: Index, admin_client: Client) -> None:
    assert admin_client.post(reverse(ADD), form(index)).status_code == 302
    row = GoldenQuestion.objects.get()
    assert (row.expected_documents, row.tags, row.is_enabled) == (["password", "billing"], ["first"], True)
    changed = form(index, expected_documents="", expected_text="a <b>link</b>", filters='{"a": 1}', is_enabled="")
    assert admin_client.post(reverse(CHANGE, args=[row.pk]), changed).status_code == 302
    row.refresh_from_db()
    assert (row.expected_documents, row.expected_text, row.filters) == ([], "a <b>link</b>", {"a": 1})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"question": " "}, "question"),
        ({"question": "x" * 8001}, "question"),
        ({"question": "a\x00"}, "question"),
        ({"expected_documents": "x" * 256}, "expected_documents"),
        ({"expected_documents": " "}, "expected_documents"),
        ({"filters": "{"}, "filters"),
        ({"tags": "x" * 101}, "tags"),
        ({"question": "There already"}, "question"),
    ],
)
def test_what_cannot_be_asked_is_said_beside_its_field(
    index: Index, admin_client: Client, changes: dict[str, str], field: str
) -> None:
    save_golden(index, [GoldenRecord(question="There already", expected_text="a")])
    response = admin_client.post(reverse(ADD), form(index, **changes))
    assert response.status_code == 200
    assert list(response.context["adminform"].form.errors) == [field]


@pytest.mark.django_db
def test_a_file_comes_in_and_goes_out(index: Index, admin_client: Client) -> None:
    rows = [{"question": "One?", "expected_documents": ["password"]}, {"question": "Two?", "expected_text": "link"}]
    text = "\n".join(map(json.dumps, rows))
    upload = SimpleUploadedFile("golden.jsonl", text.encode())
    response = admin_client.post(reverse(IMPORT), {"index": index.pk, "file": upload})
    assert "2 added to docs, 0 changed" in said(response)
    for action, name in [("export_json_lines", "a.jsonl"), ("export_csv", "a.csv")]:
        chosen = {"action": action, "_selected_action": list(GoldenQuestion.objects.values_list("pk", flat=True))}
        out = admin_client.post(reverse(LIST), chosen)
        assert {golden.question for golden in read_golden(out.content, name)} == {"One?", "Two?"}


@pytest.mark.django_db
def test_a_bad_file_changes_nothing(index: Index, admin_client: Client) -> None:
    upload = SimpleUploadedFile("golden.csv", b"question,expected_text\nfine,a\n,b\n")
    response = admin_client.post(reverse(IMPORT), {"index": index.pk, "file": upload})
    assert response.status_code == 200
    assert "Line 3: question must not be empty" in response.content.decode()
    assert not GoldenQuestion.objects.exists()


@pytest.mark.django_db
def test_pages_need_their_permissions(index: Index) -> None:
    save_golden(index, [GoldenRecord(question="One?", expected_text="link")])
    run = runs.open_run("docs", started_by="test")
    reader = staff("view_goldenquestion", "view_evaluationrun")
    assert reader.get(reverse(LIST)).status_code == 200
    assert reader.get(reverse(RUN, args=[run.pk])).status_code == 200
    for url in [reverse(IMPORT), reverse(START), reverse(ADD)]:
        assert reader.get(url).status_code == 403
        assert Client().get(url).status_code == 302
    assert reader.post(reverse(GO_ON, args=[run.pk])).status_code == 403
    assert reader.get(reverse(GO_ON, args=[run.pk])).status_code == 405


@pytest.mark.django_db
def test_a_run_without_questions_is_refused_and_one_without_a_broker_waits(
    index: Index, admin_client: Client, broker_down: Any
) -> None:
    asked = {"index": index.pk, "mode": "hybrid", "tag": ""}
    assert "no enabled golden question" in admin_client.post(reverse(START), asked).content.decode()
    save_golden(index, [GoldenRecord(question="One?", expected_text="link")])
    response = admin_client.post(reverse(START), asked)
    assert "broker does not answer" in said(response)
    run = EvaluationRun.objects.get()
    assert (run.state, run.started_by) == ("queued", "admin")
    assert "No worker has taken it yet" in admin_client.get(reverse(RUN, args=[run.pk])).content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_worker_asks_the_questions_and_the_page_follows(index: Index, admin_client: Client, tmp_path: Path) -> None:
    save_golden(index, [GoldenRecord(question="new password?", expected_documents=["password"])])
    with Processes(tmp_path) as processes:
        processes.start_worker()
        response = admin_client.post(reverse(START), {"index": index.pk, "mode": "hybrid", "tag": ""})
        run = EvaluationRun.objects.get()
        assert response["Location"] == reverse(RUN, args=[run.pk])
        assert 'http-equiv="refresh"' in admin_client.get(response["Location"]).content.decode()
        wait_until(lambda: EvaluationRun.objects.get().state == "done")
    content = admin_client.get(response["Location"]).content.decode()
    assert 'http-equiv="refresh"' not in content
    assert "rank 1" in content


@pytest.mark.django_db
def test_a_run_that_lost_its_worker_says_so(index: Index, admin_client: Client) -> None:
    save_golden(index, [GoldenRecord(question="One?", expected_text="link")])
    run = runs.open_run("docs", started_by="test")
    EvaluationRun.objects.update(state="running")
    url = reverse(RUN, args=[run.pk])
    assert "Its worker is gone; 0 of 1" in admin_client.get(url).content.decode()
    with held(runs.lock_name(run.pk)):
        assert is_held(runs.lock_name(run.pk))
        assert "Its worker is gone" not in admin_client.get(url).content.decode()
    assert not is_held(runs.lock_name(run.pk))


@pytest.mark.django_db
def test_runs_are_drawn_over_time_and_compared(index: Index, admin_client: Client) -> None:
    save_golden(
        index,
        [
            GoldenRecord(question="How do I get a new password?", expected_documents=["password"]),
            GoldenRecord(question="When are invoices sent?", expected_documents=["billing"]),
        ],
    )
    first = run_of(index)
    worse = GoldenQuestion.objects.get(question__startswith="When")
    GoldenQuestion.objects.filter(pk=worse.pk).update(expected_documents=["nowhere"])
    second = run_of(index)
    content = admin_client.get(reverse(RUNS)).content.decode()
    assert content.count("<circle") == 2 * 3
    response = admin_client.post(
        reverse(RUNS), {"action": "compare_two", "_selected_action": [first.pk, second.pk]}, follow=True
    )
    page = response.context["page"]
    assert (page["before"], page["worse"], page["better"], page["missed"]) == (first, 1, 0, 1)
    assert page["questions"][0]["text"] == worse.question
    assert page["questions"][0]["found"][0]["document_id"] == "billing"
    alone = admin_client.get(reverse(RUN, args=[second.pk]), {"with": "none"}).context["page"]
    assert alone["before"] is None
    odd = admin_client.post(reverse(RUNS), {"action": "compare_two", "_selected_action": [first.pk]})
    assert "Choose two runs" in said(odd)
