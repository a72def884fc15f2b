"""Results in Python: tables with their columns explained, figures by name, and one import for all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import analysis
import flatleak
from analysis.report import figures
from tests.helpers.simulated_results import simulate
from trainables.errors import UserError


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> flatleak.Results:
    return flatleak.open(simulate(tmp_path_factory.mktemp("finished") / "sweep", 6))


def test_every_figure_is_a_method_and_takes_labels(results: flatleak.Results) -> None:
    label, recipe_id = results.recipes["label"].iloc[2], results.recipes.index[2]
    by_label, by_id = results.memorization(label), results.memorization(recipe_id)
    assert by_label == by_id
    assert by_label.data == figures.draw("memorization", results.tables, [recipe_id]).data
    shown = f"{by_label.layout.title.text}. {by_label.layout.title.subtitle.text.replace('<br>', ' ')}"
    assert shown == results.caption("memorization", label)
    assert results.front(risk="rmia_auc").layout.xaxis.title.text.startswith("RMIA AUC")
    assert set(figures.FIGURES) <= set(dir(results))


def test_every_column_has_a_line(results: flatleak.Results) -> None:
    assert list(results.columns.index) == list(results.recipes.columns)
    assert results.columns["lira_auc_low"] == "lower end of the interval of lira_auc"
    assert "guessing gives 0.5" in results.columns["lira_auc"]


def test_names_that_are_not_there_are_answered_with_the_nearest(results: flatleak.Results) -> None:
    with pytest.raises(AttributeError, match="did you mean 'front'"):
        _ = results.frnt
    with pytest.raises(UserError, match="did you mean 'lira_auc'"):
        results.front(risk="lira_acu")
    with pytest.raises(UserError, match="recipe 'sgdd' is not known; did you mean 'sgd'"):
        results.roc("sgdd")
    with pytest.raises(UserError, match="flatleak audit"):
        analysis.load_results("/nowhere")


def test_an_empty_figure_and_a_caption_say_what_they_are(results: flatleak.Results) -> None:
    reference = str(results.tables.reference)
    assert "reference itself" in results.pairs(reference).layout.annotations[0].text
    said = results.caption("roc", reference, risk="rmia_auc")
    assert said.startswith("How much the attack finds out. RMIA AUC. sgd")
    assert "64 replicas a recipe" in said
    assert "95 % bootstrap intervals" in said
    assert "2026-01-01" in said


def test_a_folder_of_the_same_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text("")
    root = Path(flatleak.__file__).parent
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; import flatleak"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert f"'analysis' is hidden by {tmp_path}/analysis/__init__.py" in run.stderr.splitlines()[-1]
