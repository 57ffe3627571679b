"""A headless Chromium for tests of pages; where none is installed such tests are skipped, and say so."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

ARGUMENTS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip

OWN_SCHEMES = ("about", "blob", "data", "file")  # of what needs no host


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium; the superuser must do without its sandbox."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed")
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *alone])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, **context: Any) -> Iterator[Page]:
    """Open a page, and fail afterwards if it wrote an error or a warning to the console, or asked another host."""
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def ask(request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme not in OWN_SCHEMES and asked.netloc != urlsplit(url).netloc:
            complaints.append(f"asks {asked.netloc}")

    with browser.new_context(**context) as session:
        page = session.new_page()
        page.on("console", hear)
        page.on("request", ask)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        yield page
    assert not complaints


PLAIN = "document.querySelectorAll('.scroll').forEach(each => { each.style.background = 'var(--under)'; })"


def serious(page: Page) -> list[str]:
    """Return what axe-core finds of serious or critical violations, and texts whose contrast it cannot tell.

    Names, with the elements. Tables are looked at without the shadows at their edges, which it cannot look through.
    """
    page.evaluate(PLAIN)
    answer = Axe().run(page).response
    found = [each for each in answer["violations"] if each["impact"] in ("serious", "critical")]
    found += [each for each in answer["incomplete"] if each["id"] == "color-contrast"]
    return [f"{each['id']}: {', '.join(str(node['target']) for node in each['nodes'][:3])}" for each in found]
