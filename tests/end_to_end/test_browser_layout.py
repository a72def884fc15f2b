"""The page in a real headless Chromium: how it looks, folds, prints and explains itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from analysis import load_results
from analysis.report.glossary import TERMS
from tests.helpers.chromium import Opener
from tests.helpers.pages import recipes


def test_captions_are_short_on_the_screen_and_whole_when_copied(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri(), permissions=["clipboard-read", "clipboard-write"])
    page.wait_for_selector("body[data-drawn]", timeout=120_000)
    caption = page.locator("figure[data-panel=roc] figcaption")
    assert "simulated" not in caption.inner_text()
    caption.locator("button").click()
    page.wait_for_function("document.querySelector('[data-panel=roc] .copy').textContent === 'Copied'")
    chosen = page.evaluate("state.selected")
    expected = load_results(report.parent).caption("roc", *chosen)
    assert page.evaluate("navigator.clipboard.readText()") == expected.replace(" TPR at 0.1 % FPR", "")
    page.emulate_media(media="print")
    assert "Sweep simulated" in caption.inner_text()


def test_light_and_dark(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri(), color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    assert (
        page.evaluate("document.getElementById('panel-front').layout.template.layout.font.color") == "#1b2430"
    )


def test_a_phone_folds_sections_until_a_link_leads_into_them(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri(), width=390)
    height = "document.documentElement.scrollHeight"
    assert page.evaluate(height) < 5000
    assert page.locator("#by-risk").is_visible()
    assert not page.locator("#why-panels").is_visible()
    page.locator("nav a", has_text="Why").click()
    page.wait_for_function(
        "document.getElementById('panel-roc').querySelector('.main-svg')?.clientWidth > 200"
    )
    small = page.evaluate(
        """() => [...document.querySelectorAll('#why figcaption, #why .note, #why text')].filter(e =>
        e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 12).map(e => e.textContent)"""
    )
    assert small == []
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".fold:not([open])").count() == 0
    assert page.locator("#compare th span:visible").count() == 2
    assert page.locator("#recipes .link:visible").count() == len(recipes(report))
    assert broken_names(page) == []
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    opened_now = page.evaluate("[...document.querySelectorAll('.fold[open]')].map(f => f.parentElement.id)")
    assert opened_now == ["decide", "why"]
    page.evaluate("document.querySelectorAll('.fold').forEach(fold => { fold.open = true; })")
    page.locator("#how-body").scroll_into_view_if_needed()
    assert overflows(page) == []


def overflows(page: Any) -> list[str]:
    return list(
        page.evaluate(
            """() => ['html', '#recipes .scroll'].filter(name => {
            const e = document.querySelector(name);
            return e.scrollWidth > e.clientWidth;
            })"""
        )
    )


def broken_names(page: Any) -> list[str]:
    """Words of labels that a narrow window breaks in two lines."""
    return list(
        page.evaluate(
            """() => [...document.querySelectorAll('#compare th span, #recipes .link')].flatMap(e =>
        [...e.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).flatMap(n =>
        [...n.data.matchAll(/\\S+/g)].filter(m => {
          const word = document.createRange();
          word.setStart(n, m.index);
          word.setEnd(n, m.index + m[0].length);
          return new Set([...word.getClientRects()].map(r => Math.round(r.top))).size > 1;
        }).map(m => m[0])))"""
        )
    )


def test_fits_a_wide_window(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri(), width=1600)
    page.locator("#how-body").scroll_into_view_if_needed()
    assert overflows(page) == []


def test_figures_and_controls_have_names(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('.plot, button, select, input, img')]
        .filter(e => !(e.ariaLabel || e.textContent.trim() || e.alt || e.labels?.length)).map(e => e.id)"""
    )
    assert unnamed == []


def test_a_printed_page_has_every_figure_and_recipe(report: Path, tmp_path: Path) -> None:
    """Printed by a browser that never shows it, whose only sign of readiness is the load event."""
    path = os.environ.get("BROWSER_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None or shutil.which("pdftotext") is None:
        pytest.skip("needs a Chromium and pdftotext (poppler-utils)")
    command = [path, "--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={tmp_path / 'page.pdf'}"]
    subprocess.run([*command, report.as_uri()], capture_output=True, check=True, timeout=120)
    pages = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True
    )
    words = " ".join(pages.stdout.split())
    assert 4 < pages.stdout.count("\f") < 20
    for axis in (
        "False-positive rate",
        "Attack score",
        "By the reference",
        "Share of examples",
        "Hypervolume",
    ):
        assert axis in words, "every figure is drawn"
    for label in recipes(report)["label"]:
        assert label.split()[0] in words
    assert f"Recipes ({len(recipes(report))})" in words


def test_the_words_are_explained(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    page.locator("#words summary").click()
    assert TERMS["replica"] in page.locator("#words").inner_text()


def test_each_word_is_explained_where_it_is_first_used(report: Path, opened: Opener) -> None:
    page = opened(report.as_uri())
    marked = page.locator(".word").evaluate_all("all => all.map(e => [e.dataset.word, e.title])")
    assert len(marked) == len(dict(marked)), "once each"
    assert all(TERMS[word] == meaning for word, meaning in marked)
    assert {"recipe", "replica", "LiRA", "reference", "memorization", "front"} <= dict(marked).keys()
    assert page.locator("#lead .word").all_inner_texts() == ["recipes", "replicas"]
    page.select_option("#risk-menu", "rmia_auc")
    page.wait_for_function("document.querySelector('#tiles').innerText.includes('RMIA')")
    assert page.locator("#tiles .word[data-word=RMIA]").count() == 1
    assert page.locator(".word[data-word=RMIA]").count() == 1
    page.locator("button.word[data-word=replica]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.textContent === 'replica'")
    assert page.locator("#words dt", has_text="replica").first.is_visible()
