"""A signed-in browser before a furnished console."""

import re
from dataclasses import dataclass

from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.integration.web.house import House

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
"""What axe-core checks."""
PLAY = "/playground?model=main/gpt-5-mini&model=plain&prompt=support/answer@1&prompt=&text=&text=Be+brief.&input=hello"
"""Two columns: a prompt, and free text."""


@dataclass
class Desk:
    """A signed-in browser before the console."""

    browser: Browser
    house: House
    url: str

    def open(self, theme: str = "light") -> BrowserContext:
        """A fresh browser profile with a session."""
        context = self.browser.new_context(
            base_url=self.url,
            viewport={"width": 1440, "height": 900},
            color_scheme="dark" if theme == "dark" else "light",
        )
        context.set_default_timeout(60_000)  # a busy machine is no failure
        page = context.new_page()
        page.goto("/sign-in")
        page.fill("input[name=key]", self.house.secret)
        page.click("button[type=submit]")
        page.wait_for_url(re.compile("/$"))
        page.close()
        return context


@dataclass
class Bench:
    """A desk, and the gateway that the playground asks."""

    desk: Desk
    gateway: FastAPI


def go(page: Page, path: str) -> None:
    """Open a page and wait until it is ready."""
    page.goto(path)
    page.locator("html[data-ready]").wait_for()


def dialog(page: Page, button: str) -> Locator:
    """The dialog that a button opens."""
    page.get_by_role("button", name=button, exact=True).click()
    found = page.locator("dialog[open]")
    expect(found).to_be_visible()
    return found


def box(form: Locator, label: str) -> Locator:
    """The field whose label begins so."""
    return form.locator("label", has_text=re.compile(rf"^\s*{label}")).locator("input, textarea, select")
