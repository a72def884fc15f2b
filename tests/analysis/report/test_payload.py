"""What the page is told, and how it is packed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.report.figures import FIGURES, Panel, draw
from analysis.report.payload import chunks, failures, packed, snippet, summary
from analysis.results import Tables
from tests.helpers.pages import unpacked
from tests.helpers.simulated_results import simulate
from trainables.storage import Store


def test_risk_chunks_carry_intervals_and_the_front(sweep: Path) -> None:
    told = dict(chunks(Tables.of(sweep)))
    table = pd.read_parquet(sweep / "results/recipes.parquet")
    risk = told["risk/lira_tpr_at_0.1pct"]
    assert risk["low"] == pytest.approx(table["lira_tpr_at_0.1pct_low"].tolist(), rel=1e-4)
    assert risk["front"] == np.flatnonzero(table["on_front"]).tolist()


def test_packing_refuses_what_json_cannot_say() -> None:
    assert unpacked(packed({"a": [1, None, "é"]})) == {"a": [1, None, "é"]}
    with pytest.raises(ValueError, match="JSON"):
        packed([float("nan")])


def test_a_snippet_is_a_grid_block_of_a_spec() -> None:
    knobs = {"optimizer": "sam", "rho": 0.1, "augment": ["flip"]}
    assert yaml.safe_load(snippet(knobs)) == [knobs]


def test_notes_are_told_once_with_their_recipes(sweep: Path) -> None:
    left_out = dict(chunks(Tables.of(sweep)))["summary"]["leftOut"]
    assert len(left_out) == 1
    assert len(left_out[0]["recipes"]) == 12


def test_a_report_does_not_tell_of_the_machines_that_failed(tmp_path: Path) -> None:
    store = Store.at(simulate(tmp_path / "sweep", 2))
    failure = {"block": "sgd seeds 0-3", "error": "KeyError: 'x'", "attempts": 3}
    machine = {"host": "node-7", "log": "/logs/worker-1.out on node-7", "traceback": "File /home/me/x.py"}
    store.write("failures/block.json", json.dumps(failure | machine).encode())
    assert failures(Tables.of(store)) == [{"file": "failures/block.json", **failure}]


def test_who_names_the_most_memorized_and_whom_they_help(sweep: Path) -> None:
    tables = Tables.of(sweep)
    recipe = tables.recipes.index[0]
    told = dict(chunks(tables))[f"recipe/{recipe}"]["who"]["memorized"]
    examples = tables.examples(recipe).set_index("index")["memorization"]
    assert [e["index"] for e in told] == examples.sort_values(ascending=False).index[:12].tolist()
    pairs = tables.of_recipe("influence", recipe)
    for example in told:
        helped = set(pairs[(pairs["train"] == example["index"]) & (pairs["kind"] == "helper")]["test"])
        assert {p["test"] for p in example.get("helps", [])} <= helped


def test_a_new_figure_is_one_line_of_the_registry(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dots = {"type": "scatter", "x": [1, 2], "y": [3, 4]}
    panel = Panel("mine", "Mine", "Two dots.", {}, section="how", backdrop=lambda *_: [dots])
    monkeypatch.setitem(FIGURES, "mine", panel)
    (told,) = (p for p in summary(Tables.of(sweep))["panels"] if p["name"] == "mine")
    assert told["backdrop"] == [dots]
    assert draw("mine", sweep).data[0].y == (3, 4)
