"""The page of a run in a real browser: its bar moves, and no reload is needed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from features.models import MaterializationRun
from tests.missing import require_browser, required
from tests.processes import Processes

playwright = required("playwright.sync_api")


def update(**changes: Any) -> None:
    """Write in a thread of its own: playwright has an event loop in this one."""

    def write() -> None:
        MaterializationRun.objects.update(**changes)
        connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(write).result()


def test_the_bar_moves_until_the_run_is_done(transactional_db: None, admin_client: Client, tmp_path: Path) -> None:
    chromium = require_browser()
    run = MaterializationRun.objects.create(
        feature="speed", state="running", total=10_000, done=1_000, started_at=timezone.now()
    )
    session = admin_client.cookies[settings.SESSION_COOKIE_NAME].value
    with Processes(tmp_path, SECRET_KEY=settings.SECRET_KEY) as processes, playwright.sync_playwright() as driver:
        processes.start_web()
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        context = browser.new_context()
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": processes.url}])
        page = context.new_page()
        page.set_default_timeout(60_000)
        playwright.expect.set_options(timeout=60_000)
        page.goto(f"{processes.url}/admin/features/materializationrun/{run.pk}/change/")
        loaded_at = page.evaluate("performance.timeOrigin")
        label, fill = page.locator(".fb-run .fb-bar-label"), page.locator(".fb-run .fb-bar-fill")
        playwright.expect(label).to_contain_text("1,000 of 10,000")
        update(done=7_500, failed=5)
        playwright.expect(label).to_contain_text("7,505 of 10,000, 5 failed")
        playwright.expect(fill).to_have_attribute("style", "width: 75.05%;")
        update(done=9_995, state="done", finished_at=timezone.now())
        playwright.expect(page.locator(".fb-badge", has_text="done")).to_be_visible()
        playwright.expect(label).to_have_text("10,000 of 10,000, 5 failed")
        assert page.evaluate("performance.timeOrigin") == loaded_at
        assert page.locator("[data-fb-run]").count() == 0  # nothing is asked for any more
        browser.close()
