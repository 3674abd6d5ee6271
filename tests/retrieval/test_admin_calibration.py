"""Calibrations in the admin: drawn, and the threshold set by a run or by hand, or cleared."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from retrieval.models import CalibrationRun, Index
from tests.factories import CalibrationRunFactory

RUN = "admin:retrieval_calibrationrun_change"
SET = "admin:retrieval_calibrationrun_set"
CLEAR = "admin:retrieval_calibrationrun_clear"
INDEX = "admin:retrieval_index_change"

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> CalibrationRun:
    made: CalibrationRun = CalibrationRunFactory.create()
    return made


def page_of(client: Client, run: CalibrationRun) -> str:
    return client.get(reverse(RUN, args=[run.pk])).content.decode()


def post(client: Client, name: str, run: CalibrationRun, **data: Any) -> str:
    response = client.post(reverse(name, args=[run.pk]), data)
    assert response.status_code == 302
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def test_the_page_draws_the_scores_and_lists_the_wrong_side(run: CalibrationRun, admin_client: Client) -> None:
    page = page_of(admin_client, run)
    assert page.count('<svg class="fb-chart fb-over-time"') == 2 and page.count("fb-mark") == 2
    assert "0.8750" in page and "0.5000" in page
    assert "Two?" in page and "Four?" in page  # below and above the threshold
    assert "One?" not in page and "Three?" not in page
    assert "every search is answered" in page


def test_the_threshold_of_a_run_is_used(run: CalibrationRun, admin_client: Client) -> None:
    version = run.index.version
    assert "is set" in post(admin_client, SET, run)
    index = Index.objects.get()
    assert (index.threshold, index.threshold_run, index.threshold_set_by) == (0.5, run, "admin")
    assert (index.threshold_basis, index.version) == (run.basis, version + 1)
    assert "in use" in page_of(admin_client, run)
    shown = admin_client.get(reverse(INDEX, args=[index.pk])).content.decode()
    assert f"calibration #{run.pk}" in shown and "0.5000" in shown


def test_it_is_set_by_hand_and_cleared(run: CalibrationRun, admin_client: Client) -> None:
    assert "by hand" in post(admin_client, SET, run, threshold="0.7")
    index = Index.objects.select_related("generation").get()
    assert (index.threshold, index.threshold_run) == (0.7, None)
    assert index.threshold_basis == index.score_basis()
    page = page_of(admin_client, run)
    assert "by hand, set by admin" in page and "in use: 0.700" in page
    assert "One?" not in page and "Four?" not in page  # 0.75 and 0.625: the lists are about the threshold in use
    assert "Cleared" in post(admin_client, CLEAR, run)
    index.refresh_from_db()
    assert (index.threshold, index.threshold_basis, index.threshold_run) == (None, {}, None)


@pytest.mark.parametrize("threshold", ["", "0", "-1", "nan", "inf", "12", "much"])
def test_what_is_no_threshold_is_refused(run: CalibrationRun, admin_client: Client, threshold: str) -> None:
    assert post(admin_client, SET, run, threshold=threshold)
    assert Index.objects.get().threshold is None


def test_a_run_of_another_ranking_cannot_be_used(run: CalibrationRun, admin_client: Client) -> None:
    post(admin_client, SET, run)
    Index.objects.update(lexical_weight=0.5)
    page = page_of(admin_client, run)
    assert "not applied" in page and "lexical weight 0.75, now 0.5" in page and "of another ranking" in page
    assert "lexical weight 0.75, now 0.5" in admin_client.get(reverse(INDEX, args=[run.index_id])).content.decode()
    post(admin_client, CLEAR, run)
    assert "ranks otherwise now" in post(admin_client, SET, run)
    assert Index.objects.get().threshold is None
    Index.objects.update(fusion="rrf")
    assert "Reciprocal ranks" in post(admin_client, SET, run, threshold="0.5")
    assert Index.objects.get().threshold is None


def test_a_run_without_a_threshold_has_none_to_use(admin_client: Client) -> None:
    run = CalibrationRunFactory.create(threshold=None)
    assert "No threshold tells these questions apart" in page_of(admin_client, run)
    assert "required" in post(admin_client, SET, run)
    assert Index.objects.get().threshold is None


def test_who_may_only_see_sets_nothing(run: CalibrationRun) -> None:
    reader = staff("view_calibrationrun", "view_index")
    assert "By hand" not in page_of(reader, run)
    for name in (SET, CLEAR):
        assert reader.post(reverse(name, args=[run.pk])).status_code == 403
    assert Index.objects.get().threshold is None


def test_an_index_without_a_calibration_says_how_to_make_one(run: CalibrationRun, admin_client: Client) -> None:
    run.delete()
    shown = admin_client.get(reverse(INDEX, args=[run.index_id])).content.decode()
    assert f"manage.py calibrate {run.index.name}" in shown


def test_the_threshold_stays_when_its_run_is_deleted(run: CalibrationRun, admin_client: Client) -> None:
    post(admin_client, SET, run)
    run.delete()
    index = Index.objects.get()
    assert (index.threshold, index.threshold_run) == (0.5, None)
