"""The examples of docs/extending.md, run as a reader would."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

from sweep import SweepSpec
from trainables import train_replicas
from trainables.optimizers import update_rule

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "extending.md").read_text()


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.S)
    assert found
    return found[1]


@pytest.fixture
def relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "relative.py").write_text(_block("python"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "relative", raising=False)


@pytest.mark.usefixtures("relative")
def test_an_optimizer_of_ones_own_is_crossed_named_and_trained() -> None:
    spec = SweepSpec.of({"name": "own", "dataset": "digits", **yaml.safe_load(_block("yaml"))})
    labels = [recipe.label for recipe in spec.recipes]
    assert labels == ["sgd", "relative:relative_sam rho=0.002", "relative:relative_sam rho=0.005"]
    own = spec.recipes[2].model_copy(update={"epochs": 1})
    record = train_replicas(own, "digits", {"name": "mlp", "hidden": [8]}, [0, 1])
    assert record.recipe["options"] == {"rho": 0.005}
    assert record.test_accuracy.shape == (2,)


@pytest.mark.usefixtures("relative")
def test_the_rule_of_the_page_is_what_it_says() -> None:
    spec = SweepSpec.of({"name": "own", "dataset": "digits", **yaml.safe_load(_block("yaml"))})
    recipe = spec.recipes[2].model_copy(update={"momentum": 0.0, "weight_decay": 0.0})
    w, scale = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([1.0, 2.0])
    rule = update_rule(recipe)
    after, _ = rule.step({"w": w}, rule.init({"w": w}), lambda p: {"w": scale * p["w"] ** 2}, lr=0.1)
    for before, now in zip(w, after["w"], strict=True):  # replica by replica, in plain vectors
        g = scale * before**2
        ahead = before + 0.005 * before.norm() * g / g.norm()
        torch.testing.assert_close(now, before - 0.1 * scale * ahead**2)
