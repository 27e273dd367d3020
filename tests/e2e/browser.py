"""A real Chromium, and a furnished console for it to open."""

import shutil
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from tests.requirements import missing

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Generator[Browser]:
    """The system's Chromium, headless, with nothing that calls home."""
    path = shutil.which("chromium")
    if path is None:
        missing("chromium", "there is no chromium on this machine")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS), headless=True)
        yield browser
        browser.close()


@contextmanager
def served(app: FastAPI) -> Generator[str]:
    """The application on a free port of loopback; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(5)


class Watched:
    """What a page did besides being shown: complaints of the browser, requests and bytes."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.sizes: list[tuple[str, str, int]] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("requestfinished", lambda request: self.sizes.append(_size(request)))


def _size(request: object) -> tuple[str, str, int]:
    url = str(getattr(request, "url"))  # noqa: B009  the type differs between the driver's two interfaces
    kind = str(getattr(request, "resource_type"))  # noqa: B009
    sizes = getattr(request, "sizes")()  # noqa: B009
    return url, kind, int(sizes["responseBodySize"])
