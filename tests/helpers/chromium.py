"""A real headless Chromium, and pages in it that must not log an error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, or the one that BROWSER_PATH names; a skip without one, a failure where CI=true."""
    path = os.environ.get("BROWSER_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        missing = "no Chromium on this machine: apt install chromium, or set BROWSER_PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Opens an address; the test fails if the page logs an error, throws, or asks for anything but itself."""
    contexts, troubles = [], []

    def open_page(address: str, *, width: int = 1300, allowed: str = "file:", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: troubles.append(str(e)))
        page.on(
            "request",
            lambda r: None if r.url.startswith((allowed, "data:", "blob:")) else troubles.append(r.url),
        )
        page.goto(address)
        page.wait_for_selector("body[data-ready]", timeout=120_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []
