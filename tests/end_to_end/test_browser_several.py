"""The page of several sweeps in a real headless Chromium."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis import load_results
from analysis.report.several import write_joint_report
from tests.helpers.chromium import Opener
from tests.helpers.simulated_results import simulate


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    names = ("digits", "fashion", "cifar10")
    return Path(
        write_joint_report(
            [str(simulate(folder / name, 12, seed=k, name=name)) for k, name in enumerate(names)],
            folder / "all",
        )
    )


def test_several_sweeps_share_colours_and_a_table_of_differences(several: Path, opened: Opener) -> None:
    page = opened(several.as_uri())
    colours = page.evaluate(
        """() => Object.fromEntries(data.sweeps.map((sweep, k) => {
          const [points] = document.getElementById(`front-${k}`).data;
          const colours = sweep.optimizers.map((o, i) => [o, points.marker.color[i]]);
          return [sweep.name, Object.fromEntries(colours)];
        }))"""
    )
    assert len(colours) == 3
    assert colours["digits"] == colours["fashion"] == colours["cifar10"]
    assert "SAM − SGD by sweep" in page.locator("#differences h3").inner_text()
    rows = page.locator("#differences tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["digits", "fashion", "cifar10"]
    page.select_option("#risk-menu", "rmia_auc")
    page.wait_for_function("document.querySelector('#differences thead').innerText.includes('RMIA AUC')")
    table = pd.read_parquet(several.parents[1] / "fashion/results/comparisons.parquet")
    recipe = load_results(several.parents[1] / "fashion").tables.recipe_id("sam rho=0.05")
    of = (table["recipe_id"] == recipe) & (table["figure"] == "rmia_auc")
    expected = table.loc[of, "difference"].item()
    shown = page.locator("#differences tbody tr").nth(1).locator("td").nth(3).inner_text()
    assert float(shown.split()[0].replace("−", "-")) == pytest.approx(expected, rel=0.02)
    again = opened(page.url)
    assert again.evaluate("state.risk") == "rmia_auc"


def test_the_keyboard_rings_a_recipe_in_every_front(several: Path, opened: Opener) -> None:
    page = opened(several.as_uri(), color_scheme="dark")
    page.locator("#front-1").focus()
    page.keyboard.press("ArrowRight")
    label = page.evaluate("state.selected[0]")
    assert label in page.locator("#chosen").inner_text()
    page.wait_for_function(
        "[0, 1, 2].every(k => document.getElementById(`front-${k}`).data.at(-1).x.length === 1)"
    )


@pytest.mark.parametrize("width", [390, 1600])
def test_several_sweeps_fit_the_window_and_the_paper(several: Path, opened: Opener, width: int) -> None:
    page = opened(several.as_uri(), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))")
    marked = page.locator(".word").evaluate_all("all => all.map(e => e.dataset.word)")
    assert {"recipe", "reference", "front"} <= set(marked), "words are explained at their first use"
    assert len(marked) == len(set(marked))
    text = page.evaluate(
        "() => { dispatchEvent(new Event('beforeprint')); return document.body.textContent; }"
    )
    assert "Sweep fashion" in text, "captions on paper say which sweep they are of"
