"""Intervals of the attacks whose scores are redrawn as they are, by simulation of whole ensembles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from analysis.attacks.registry import attack_p, attack_r, calibrated_loss, choose_a, lira, rmia
from analysis.statistics.intervals import resample
from analysis.statistics.pooled import Pooled
from tests.helpers.synthetic import covered_and_differing
from trainables.data.subsets import Subsets, draw_members

REPLICAS, N, PAIRS = 64, 100, 150
CLUSTERS = np.arange(REPLICAS) // 2
Attack = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

# (margins of the training examples, members, margins of the population) -> scores
ATTACKS: dict[str, Attack] = {
    "lira_offline": lambda x, members, _: lira(x, members, online=False),
    "rmia": lambda x, members, z: rmia(expit(x), members, expit(z)),
    "rmia_offline": lambda x, members, z: rmia(
        expit(x), members, expit(z), online=False, a=choose_a(expit(x), members)
    ),
    "attack_r": lambda x, members, _: attack_r(np.log(expit(x)), members),
    "attack_p": lambda x, _, z: attack_p(np.log(expit(x)), np.log(expit(z))),
    "calibrated_loss": lambda x, members, _: calibrated_loss(np.log(expit(x)), members),
}


@pytest.mark.parametrize("leak", [0.0, 0.7])
@pytest.mark.parametrize("name", ATTACKS)
def test_intervals_of_the_auc_cover_and_equal_recipes_do_not_differ(name: str, leak: float) -> None:
    """The truth is the mean over all ensembles: the same examples, other subsets and other trainings."""
    rng = np.random.default_rng(0)
    difficulty, others = rng.normal(1, 1.5, size=(2, N))
    leaks = leak * rng.exponential(size=N)
    weights = resample(CLUSTERS, 300, 0)
    pairs = []
    for k in range(PAIRS):
        members = draw_members(Subsets(), range(k * REPLICAS, (k + 1) * REPLICAS), N)
        pairs.append([])
        for _ in range(2):
            common = rng.normal(scale=0.2, size=(REPLICAS, 1))
            x = difficulty + common + rng.normal(size=members.shape) + leaks * members
            z = others + common + rng.normal(size=members.shape)
            pooled = Pooled(ATTACKS[name](x, members, z), members)
            draws = pooled.by_target.bootstrap(weights, pooled.figures)[0]["auc"]
            pairs[-1].append((pooled.figures["auc"], draws, draws))
    covered, differing = covered_and_differing(pairs, 1, REPLICAS // 2)
    assert 0.91 <= covered <= 0.98, covered
    assert differing <= 0.1, differing
