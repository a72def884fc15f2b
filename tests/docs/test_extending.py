"""The examples of docs/extending.md, run as a reader would."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

from analysis.attacks.registry import run, select
from analysis.ensemble import ensemble_of
from sweep import SweepSpec
from tests.helpers.simulated_records import simulate
from trainables import train_replicas
from trainables.optimizers import update_rule

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "extending.md").read_text()
MODULES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.S))
SPEC = {
    key: value
    for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    for key, value in yaml.safe_load(text).items()
}


@pytest.fixture(autouse=True)
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)


def own_spec() -> SweepSpec:
    return SweepSpec.of({"name": "own", **SPEC})


def test_every_example_stands_in_one_spec() -> None:
    assert set(MODULES) == {"relative", "nets", "rings", "gap"}
    assert set(SPEC) == {"grid", "model", "dataset", "audit"}
    labels = [recipe.label for recipe in own_spec().recipes]
    assert labels == ["sgd", "relative:relative_sam rho=0.002", "relative:relative_sam rho=0.005"]


def test_an_optimizer_a_model_and_data_of_ones_own_are_trained() -> None:
    spec = own_spec()
    own = spec.recipes[2].model_copy(update={"epochs": 30})
    record = train_replicas(own, spec.dataset, spec.model, range(4))
    assert record.recipe["options"] == {"rho": 0.005}
    assert record.context.model == {"name": "nets:small", "width": 64}
    assert record.test_accuracy.min() > 0.7  # the rings overlap: the best rule errs where the noise crosses


def test_the_rule_of_the_page_is_what_it_says() -> None:
    recipe = own_spec().recipes[2].model_copy(update={"momentum": 0.0, "weight_decay": 0.0})
    w, scale = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([1.0, 2.0])
    rule = update_rule(recipe)
    after, _ = rule.step({"w": w}, rule.init({"w": w}), lambda p: {"w": scale * p["w"] ** 2}, lr=0.1)
    for before, now in zip(w, after["w"], strict=True):  # replica by replica, in plain vectors
        g = scale * before**2
        ahead = before + 0.005 * before.norm() * g / g.norm()
        torch.testing.assert_close(now, before - 0.1 * scale * ahead**2)


def test_an_attack_of_ones_own_is_selected_and_run() -> None:
    ensemble = ensemble_of(simulate(range(8)))
    chosen = select(own_spec().audit.attacks)
    assert {"lira", "margin_gap"} <= set(chosen)
    scores = run("margin_gap", chosen["margin_gap"], ensemble)
    margin, members = ensemble.signal("train", "margin")[:, 0], ensemble.members
    for replica, example in [(0, 0), (3, 7), (7, 119)]:
        without = [margin[other, example] for other in range(8) if not members[other, example]]
        expected = margin[replica, example] - sum(without) / len(without)
        assert scores[replica, example] == pytest.approx(expected, abs=1e-5)
