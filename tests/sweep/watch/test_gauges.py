"""The figures of a running sweep, against counting by hand; Ray's gauges are ones that remember."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from sweep.watch import gauges
from sweep.watch.gauges import BY_REASON, BY_RECIPE, BY_SWEEP, Figures
from sweep.watch.tally import Tally
from trainables import Recipe
from trainables.block import Block
from trainables.records import Address

SGD, SAM = Recipe(), Recipe(optimizer="sam", rho=0.1)
RECIPES = {recipe.recipe_id: recipe for recipe in (SGD, SAM)}


class Remembering:
    """A gauge that keeps what it was set to, by its name and tags."""

    values: ClassVar[dict[tuple[str, ...], float]] = {}

    def __init__(self, name: str, _: str, tag_keys: tuple[str, ...]) -> None:
        self.name, self.keys = name, tag_keys

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert tuple(tags) == self.keys
        self.values[self.name, *tags.values()] = value


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> tuple[Figures, Tally, list[dict[str, Any]]]:
    """Two recipes of 8 seeds in blocks of two; four replicas of SGD were there before."""
    monkeypatch.setattr(gauges, "Gauge", Remembering)
    Remembering.values.clear()
    blocks = [Block(SGD.knobs, Address(SGD.recipe_id, "0" * 10, k, k + 1), "sgd") for k in (4, 6)]
    blocks += [Block(SAM.knobs, Address(SAM.recipe_id, "0" * 10, k, k + 1), "sam") for k in (0, 2, 4, 6)]
    tally = Tally(blocks, dict.fromkeys(RECIPES, 1.0))
    stock = SimpleNamespace(
        recipe_ids=list(RECIPES), done=np.array([[True] * 4 + [False] * 4, [False] * 8]), seeds=range(8)
    )
    told = {
        "gpu_seconds": 12.0,
        "retries": {"node lost": 1},
        "failures": {"Diverged": 2},
        "nodes_left_out": 1,
    }
    events: Any = SimpleNamespace(figures=lambda: told)
    published: list[dict[str, Any]] = []
    return Figures("mine", RECIPES, stock, tally, events, published.append), tally, published  # type: ignore[arg-type]


def event(block: int, **result: float) -> dict[str, Any]:
    return {"trial": SimpleNamespace(config={"block": block}), "result": result}


def test_every_replica_is_done_running_failed_or_missing(watched: Any) -> None:
    figures, tally, _ = watched
    for block in (0, 2, 3, 4):
        figures.on_trial_start(**event(block))
    figures.on_trial_result(**event(0, loss=0.5, test_accuracy=0.75, replicas=2))
    figures.on_trial_result(**event(2, loss=0.9))
    tally.finished |= {0, 3}
    tally.failed.add(3)
    figures.on_trial_recover(**event(4))
    recipes = figures.figures()["recipes"]
    assert recipes[SGD.recipe_id] == {
        **{"done": 6, "running": 0, "failed": 0, "missing": 2},
        **{"loss": 0.5, "test_accuracy": 0.75},
    }
    assert recipes[SAM.recipe_id] == {"done": 0, "running": 2, "failed": 2, "missing": 4, "loss": 0.9}
    assert all(sum(list(r.values())[:4]) == 8 for r in recipes.values())


def test_gauges_are_set_by_recipe_sweep_and_reason(watched: Any) -> None:
    figures, _, published = watched
    figures.on_trial_start(**event(1))
    figures.publish()
    values = Remembering.values
    assert values[BY_RECIPE["running"][0], "mine", "sgd"] == 2
    assert values[BY_RECIPE["missing"][0], "mine", "sam rho=0.1"] == 8
    assert values[BY_SWEEP["gpu_seconds"][0], "mine"] == 12
    assert values[BY_REASON["retries"][0], "mine", "node lost"] == 1
    assert values[BY_REASON["failures"][0], "mine", "Diverged"] == 2
    assert (BY_SWEEP["time_left"][0], "mine") not in values, "nothing is known of it yet"
    assert published == [figures.figures()]


def test_figures_come_now_and_then_and_at_the_end(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, _, published = watched
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(gauges, "time", SimpleNamespace(monotonic=lambda: clock.now))
    counts = []
    for now in (100.0, 101.0, 101.9, 102.1, 103.0, 104.2):
        clock.now = now
        figures.on_step_end()
        counts.append(len(published))
    assert counts == [1, 1, 1, 2, 2, 3]
    figures.on_experiment_end()
    assert len(published) == 4
