"""Make the pictures of the documentation from a running bot: `make screenshots`.

It asks a question on the chat page, signs in to the admin and opens the question's trace. The bot is the one of
FABRA_PORT and FABRA_DATA_DIR; `make screenshots ARGS="--url http://127.0.0.1:8000"` names another one.
"""

import argparse
import os
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

PROJECT = Path(__file__).resolve().parent.parent
IMAGES = PROJECT / "docs" / "images"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
USER_ID = "user_123"
QUESTION = "I lost my phone and have no recovery codes. How do I sign in?"
MAX_BYTES = 200_000
_COLOURS = 256


def main() -> None:
    options = _options()
    if not options.password:
        sys.exit("The admin's password is not known: give --password, or set FABRA_ADMIN_PASSWORD or FABRA_DATA_DIR.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": 1000, "height": 1000}, color_scheme="light")
        page = context.new_page()
        _sign_in(page, options.url, options.username, options.password)
        trace_url = _chat(page, options.url)
        _trace(page, trace_url)
        browser.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation from a running bot.")
    port = os.environ.get("FABRA_PORT") or "8000"
    parser.add_argument("--url", default=f"http://127.0.0.1:{port}", help="where the bot runs")
    parser.add_argument("--username", default="admin")
    parser.add_argument("--password", default=_known_password(), help="default: what `make up` generated")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    return options


def _known_password() -> str:
    """Return FABRA_ADMIN_PASSWORD, else the password that `make up` keeps in the data folder, else ""."""
    if password := os.environ.get("FABRA_ADMIN_PASSWORD"):
        return password
    data = Path(os.environ.get("FABRA_DATA_DIR") or PROJECT / ".data")
    path = data / "secrets" / "admin_password"
    return path.read_text().strip() if path.exists() else ""


def _sign_in(page: Page, url: str, username: str, password: str) -> None:
    page.goto(f"{url}/admin/login/?next=/admin/")
    page.fill("#id_username", username)
    page.fill("#id_password", password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/admin/")


def _chat(page: Page, url: str) -> str:
    """Ask the question, take the picture, and return the address of the answer's trace."""
    page.goto(f"{url}/")
    page.select_option("#user", USER_ID)
    page.fill("#message", QUESTION)
    page.keyboard.press("Enter")
    saw = page.locator("#log .foot [aria-haspopup]").last
    expect(saw).to_be_visible(timeout=60_000)
    page.locator("#log details.more").last.evaluate("passages => { passages.open = true }")
    page.wait_for_timeout(600)  # the page scrolls smoothly to the question
    _save(page, "chat.png")
    saw.click()
    return f"{url}{page.locator('dialog a').last.get_attribute('href')}"


def _trace(page: Page, url: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1240})
    page.goto(url, wait_until="networkidle")
    _save(page, "trace.png")


def _save(page: Page, name: str) -> None:
    """Save what is in the window as a PNG with a palette, which is a third of the size."""
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    path = IMAGES / name
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.relative_to(PROJECT)}: {size // 1000} kB")
    if size > MAX_BYTES:
        sys.exit(f"{name} has more than {MAX_BYTES // 1000} kB.")


if __name__ == "__main__":
    main()
