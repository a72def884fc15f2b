"""The report page in a real Chromium: its size, how soon it can be read, how fast it answers.

    PYTHONPATH=. python benchmarks/report.py [RECIPES ...]     # default 12 500 5000

Sweeps are made up, with 12 attacks and 300 training examples. ``text``: the tables are on the screen;
``front``: so is the front (the first view); ``select``: from one more recipe selected until the front and the
first panel have it. Milliseconds from the start of navigation, medians of a few fresh browser contexts. The
figures depend on what else the machine does; ``BROWSER_PATH`` may name the browser.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from analysis.report.html import write_report
from tests.helpers.simulated_results import simulate

RECIPES, RUNS = (12, 500, 5_000), 3
MARKS = "() => Object.fromEntries(performance.getEntriesByType('mark').map((m) => [m.name, m.startTime]))"
SELECT = """async () => {
  document.getElementById('panel-roc').scrollIntoView();
  while (!document.querySelector('#panel-roc .main-svg')) await new Promise((wake) => setTimeout(wake, 20));
  const started = performance.now(), frame = () => new Promise(requestAnimationFrame);
  select(data.ids.find((id) => !state.selected.includes(id)));
  await Promise.all([drawPanel('roc'), drawPanel('memorization')]);
  await frame().then(frame);
  return performance.now() - started;
}"""


def main() -> None:
    """Write pages of growing sweeps and open each in a browser."""
    counts = [int(text) for text in sys.argv[1:]] or RECIPES
    path = os.environ.get("BROWSER_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        print("recipes  written s  MB    text ms  front ms  select ms  heap MB")
        for count in counts:
            directory = simulate(Path(folder) / str(count), count)
            start = time.perf_counter()
            page = Path(write_report(directory))
            written, size = time.perf_counter() - start, page.stat().st_size / 1e6
            runs = [visit(browser, page.as_uri()) for _ in range(RUNS)]
            text, front, select, heap = (statistics.median(r[name] for r in runs) for name in runs[0])
            print(f"{count:7}  {written:9.1f}  {size:5.2f} {text:7.0f}  {front:8.0f}", end="")
            print(f"  {select:9.0f}  {heap:7.0f}")
        browser.close()


def visit(browser: Browser, address: str) -> dict[str, Any]:
    """Be one reader who has never seen the page: milliseconds, and megabytes of its JavaScript heap."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    page = context.new_page()
    page.goto(address, wait_until="commit")
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    marks = page.evaluate(MARKS)
    heap = page.evaluate("performance.memory.usedJSHeapSize / 1e6")
    found = {"text": marks["text"], "front": marks["figures"], "select": page.evaluate(SELECT), "heap": heap}
    context.close()
    return found


if __name__ == "__main__":
    main()
