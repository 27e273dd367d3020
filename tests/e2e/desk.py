"""A signed-in browser before a furnished console."""

import re
from dataclasses import dataclass

from playwright.sync_api import Browser, BrowserContext

from tests.integration.web.house import House

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
"""What axe-core checks."""


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
