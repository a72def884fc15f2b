"""Figures as files, drawn by a real browser; a machine without one is told so at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from analysis.report.export import export
from tests.helpers.simulated_results import simulate
from trainables.errors import UserError


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("export") / "sweep", 6)


def test_a_front_as_svg_holds_its_text(sweep: Path) -> None:
    pytest.importorskip("kaleido", reason="the extra export is not installed")
    if not (os.environ.get("BROWSER_PATH") or shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("no Chromium on this machine")
    written = export(sweep, "svg", names=["front", "roc"], risk="lira_auc")
    assert written == [f"{sweep}/figures/front.svg", f"{sweep}/figures/roc.svg"]
    text = "".join(ElementTree.parse(written[0]).getroot().itertext())
    assert "LiRA AUC (less is better)" in text
    assert "reference" in text
    captions = (sweep / "figures/captions.txt").read_text().splitlines()
    assert captions[0].startswith("front.svg: Accuracy against risk. LiRA AUC. Sweep simulated")
    assert len(captions) == 2


def test_without_a_browser_it_says_what_it_needs(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido", reason="the extra export is not installed")
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    with pytest.raises(UserError, match=r"no browser at /nowhere/chrome; it needs .*flatleak\[export\]"):
        export(sweep, "png", names=["front"])
    assert not (sweep / "figures/front.png").exists()


def test_unknown_formats_and_figures_are_refused_before_a_browser_starts(sweep: Path) -> None:
    with pytest.raises(UserError, match="'png'"):
        export(sweep, "pngg")
    with pytest.raises(UserError, match="'front'"):
        export(sweep, "svg", names=["fornt"])
