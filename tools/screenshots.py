"""Take the pictures of the console, light and dark, of an installation that runs: `make screenshots`.

It opens `RONDEL_URL` (http://127.0.0.1:8400 when not set) with the key in `RONDEL_API_KEY`, and writes
`docs/pictures/<page>-<theme>.png`. Run `make demo` first, so that there is something to see. Names of pages after
`python -m tools.screenshots` take only those.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Browser, expect, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = {"width": 1440, "height": 900}
TARGET = Path(__file__).parent.parent / "docs" / "pictures"


QUESTION = "My parcel says delivered, but it is not here. What can I do?"
ANSWERED_MS = 180_000
"""So long the playground's answers are waited for."""


def places(url: str, key: str) -> dict[str, str]:
    """The pages to take: the release that is live with the longest story, the newest answer that it gave, the route
    with the richest policy, and a question to two models."""
    found = {"loop": "/", "traces": "/traces?range=all", "gateway": "/gateway", "keys": "/gateway/keys"}
    with httpx.Client(base_url=f"{url}/api/v1", headers={"authorization": f"Bearer {key}"}, timeout=30) as client:

        def read(path: str, **asked: str | int) -> Any:
            return client.get(path, params=asked).raise_for_status().json()

        answers: list[Any] = []
        releases = read("/releases")
        live = [release["id"] for release in releases if release["stage"] == "live"]
        if not live:
            live = [release["id"] for release in releases]
        if live:
            shown = max(live, key=lambda release: len(read(f"/releases/{release}/lineage")))
            found["release"] = f"/releases/{shown}"
            answers = read("/traces", q=f"release:{shown} status:ok", limit=1)["items"]
        routes = read("/routes")
        if routes:
            shown = max(routes, key=lambda route: len(str(route)))
            found["route"] = f"/gateway/routes/{shown['name']}"
        targets = [target for route in routes for target in (route["target"], *route["spares"]) if target]
        models = list(dict.fromkeys(f"{target['connection']}/{target['model']}" for target in targets))
        asked = [("model", model) for model in models[:2]] + [("text", "Answer in one short sentence.")] * 2
        found["playground"] = f"/playground?{urlencode([*asked, ('input', QUESTION)])}"
        if traces := answers or read("/traces", limit=1)["items"]:
            found["trace"] = f"/traces/{traces[0]['trace_id']}"
    return found


def take(browser: Browser, url: str, key: str, theme: Literal["light", "dark"], pages: dict[str, str]) -> None:
    """One picture of each page in one theme."""
    context = browser.new_context(base_url=url, viewport=SIZE, color_scheme=theme)  # pyright: ignore[reportArgumentType]  a plain dict
    page = context.new_page()
    page.goto("/sign-in")
    page.fill("input[name=key]", key)
    page.click("button[type=submit]")
    for name, path in pages.items():
        page.goto(path, wait_until="networkidle")
        if name == "playground":
            page.keyboard.press("Control+Enter")
            for state in page.locator("[data-column] [data-figure=cost]").all():
                expect(state).not_to_have_text("–", timeout=ANSWERED_MS)
        page.screenshot(path=TARGET / f"{name}-{theme}.png")
    context.close()


def main() -> int:
    """Take them all; 1 when there is no key or no Chromium."""
    url, key = os.environ.get("RONDEL_URL", "http://127.0.0.1:8400"), os.environ.get("RONDEL_API_KEY", "")
    chromium = shutil.which("chromium")
    if not key or chromium is None:
        sys.stderr.write("Set RONDEL_API_KEY to a key of the installation, and install chromium.\n")
        return 1
    TARGET.mkdir(parents=True, exist_ok=True)
    pages = {name: path for name, path in places(url, key).items() if not sys.argv[1:] or name in sys.argv[1:]}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=list(FLAGS), headless=True)
        take(browser, url, key, "light", pages)
        take(browser, url, key, "dark", pages)
        browser.close()
    sys.stdout.write(f"{2 * len(pages)} pictures in {TARGET}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
