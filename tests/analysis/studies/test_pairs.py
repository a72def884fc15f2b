"""Two recipes on the seeds that both have, and what an interval says of a claim."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.ensemble import Ensemble
from analysis.studies.pairs import Sweep, runs, verdict
from tests.helpers.synthetic import make_ensemble


@pytest.mark.parametrize(
    ("interval", "options", "expected"),
    [
        ((0.1, 0.3), {}, "reproduced"),
        ((-0.1, 0.3), {}, "cannot tell"),
        ((-0.3, -0.1), {}, "contradicted"),
        ((-0.3, -0.1), {"sign": -1}, "reproduced"),
        ((0.3, 0.5), {"above": 0.41}, "cannot tell"),
        ((0.42, 0.5), {"above": 0.41}, "reproduced"),
        ((-0.01, 0.005), {"above": 0.008, "sign": -1}, "reproduced"),
        ((np.nan, np.nan), {}, "cannot tell"),
    ],
)
def test_verdicts(interval: tuple[float, float], options: dict, expected: str) -> None:
    assert verdict((sum(interval) / 2, *interval), **options) == expected


def replicas(recipe: dict[str, Any], accuracy: float, seeds: range = range(16)) -> Ensemble:
    rng = np.random.default_rng(len(recipe))
    own = make_ensemble(recipe, 16, 4, 2, test_accuracy=accuracy + 0.01 * rng.normal(size=16))
    return own.restrict(np.array(seeds))


def sweep_of(*made: Ensemble, audits: dict[str, Any] | None = None) -> Sweep:
    def audit_on(recipe_id: str, seeds: np.ndarray) -> Any:
        found = (audits or {})[recipe_id]
        return SimpleNamespace(row=found.row, draws=found.draws, seeds=seeds)

    return Sweep({e.recipe_id: e for e in made}, audit_on, 0.9, 4000, 0)


SGD = {"optimizer": "sgd"}
SAM = {"optimizer": "sam", "rho": 0.1}


def test_plain_recipes_are_those_without_defences_best_first() -> None:
    made = [
        replicas({**SAM, "rho": rho, **more}, accuracy)
        for rho, accuracy, more in (
            (0.1, 0.7, {}),
            (0.2, 0.9, {}),
            (0.3, 0.99, {"noise": 2.0}),
            (0.4, 0.8, {}),
        )
    ]
    sweep = sweep_of(*made, replicas(SGD, 0.6), replicas({"optimizer": "mine:rule"}, 0.6))
    assert [sweep.ensembles[r].recipe["rho"] for r in sweep.plain("sam")] == [0.2, 0.4, 0.1]
    assert len(sweep.plain("sgd")) == 1
    assert runs({}, "sgd"), "a recipe that names no optimizer runs SGD"


def test_sharpness_aware_optimizers_are_known_by_the_registry() -> None:
    names = ("sgd", "sam", "asam", "swa", "gsam", "dpsam", "mine:rule")
    sweep = sweep_of(*(replicas({"optimizer": name, "eta": i}, 0.5) for i, name in enumerate(names)))
    assert sweep.sharp == ["asam", "gsam"], "SAM, private training and one's own rules left out"


def test_recipes_are_compared_on_the_seeds_that_both_have() -> None:
    own, other = replicas(SAM, 0.9, range(4, 16)), replicas(SGD, 0.8, range(12))
    pair = sweep_of(own, other).against_sgd("sam")
    assert pair is not None
    assert pair.seeds.tolist() == list(range(4, 12))
    assert [e.seeds.tolist() for e in pair.ensembles] == [list(range(4, 12))] * 2
    assert pair.clusters.tolist() == [0, 0, 1, 1, 2, 2, 3, 3], "complementary halves are redrawn together"
    assert pair.weights.shape == (4000, 8)
    np.testing.assert_array_equal(pair.weights[:, ::2], pair.weights[:, 1::2])
    assert pair.records == "sam rho=0.1, best test accuracy of 1, against sgd: 8 paired replicas"


def test_recipes_without_shared_seeds_are_not_compared() -> None:
    halves = replicas(SGD, 0.8, range(8)), replicas(SAM, 0.9, range(8, 16))
    assert sweep_of(*halves).against_sgd("sam") is None
    assert sweep_of(halves[0]).against_sgd("sam") is None


def test_a_difference_of_means_has_the_interval_of_a_paired_t_test() -> None:
    own, other = replicas(SAM, 0.9), replicas(SGD, 0.8)
    rng = np.random.default_rng(1)
    values = {e.recipe_id: rng.normal(size=8).repeat(2) for e in (own, other)}
    audits: dict[str, Any] = {}
    sweep = sweep_of(own, other, audits=audits)
    pair = sweep.pair(own.recipe_id, other.recipe_id)
    assert pair is not None
    for name, value in values.items():
        draws = {"risk": pair.weights @ value / pair.weights.sum(axis=1)}
        audits[name] = SimpleNamespace(row={"risk": value.mean(), "lost": np.nan}, draws=draws)
    found = pair.compare("risk")
    assert found is not None
    difference = (values[own.recipe_id] - values[other.recipe_id])[::2]
    expected = stats.ttest_1samp(difference, 0).confidence_interval(0.9)
    assert found[0] == pytest.approx(difference.mean())
    np.testing.assert_allclose(found[1:], expected, atol=0.1 * (expected.high - expected.low))
    assert pair.compare("lost") is None
    assert pair.compare("absent") is None
    ratio = pair.compare("risk", lambda a, b: a / b)
    assert ratio is not None
    assert ratio[0] == pytest.approx(values[own.recipe_id].mean() / values[other.recipe_id].mean())
