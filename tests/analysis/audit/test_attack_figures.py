"""Every figure of one attack: levels that cannot be resolved, epsilon, and attacks that do not work."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from analysis import audit
from analysis.ensemble import Ensemble, ensemble_of
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets
from trainables.errors import UserError

FAST = {"attacks": ["lira", "confidence"], "resamples": 200}


def test_levels_that_cannot_be_resolved_are_nan_and_said_once() -> None:
    found = audit(ensemble_of(simulate(range(32))), **FAST)  # 1,920 non-member scores
    assert found.row["lira_tpr_at_0.1pct"] >= 0
    assert np.isnan(found.row["lira_tpr_at_0.01pct"])
    assert np.isnan(found.row["confidence_tpr_at_0.01pct_high"])
    assert [n for n in found.notes if "0.01pct" in n] == [
        "tpr_at_0.01pct: 1920 non-member scores cannot resolve this level"
    ]


def test_few_replicas_prove_no_epsilon() -> None:
    """With four, leaving one out tells members from non-members without any leakage."""
    few = audit(ensemble_of(simulate(range(4), n=1000, leak=0)), resamples=20)
    assert not [n for n, v in few.row.items() if n.endswith("_epsilon") and not np.isnan(v)]
    assert any(note.startswith("only 4 replicas") and "epsilon" in note for note in few.notes)
    rare = simulate(range(32), leak=0, subsets=Subsets(scheme="fraction", fraction=0.7))
    assert np.isnan(audit(ensemble_of(rare), **FAST).row["lira_epsilon"])
    enough = audit(ensemble_of(simulate(range(32), n=1000, leak=0)), resamples=20)
    found = {n: v for n, v in enough.row.items() if n.endswith("_epsilon")}
    assert len(found) > 10
    assert set(found.values()) == {0.0}


def coin(_: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that is right with probability 3/4."""
    return members ^ (np.random.default_rng(0).random(members.shape) < 0.25)


def test_epsilon_is_at_the_delta_asked_for() -> None:
    """Kairouz et al. 2015, at SciPy's Clopper-Pearson ends of the attack's false and missed calls."""
    ensemble = ensemble_of(simulate(range(32), n=1000))
    members = ensemble.members
    wrong = coin(ensemble, members) ^ members
    false, missed = (
        binomtest(int(wrong[side].sum()), int(side.sum())).proportion_ci(0.95).high
        for side in (~members, members)
    )
    for delta in (0, 0.2, 0.6):
        least = max(np.log((1 - delta - false) / missed), np.log((1 - delta - missed) / false), 0)
        found = audit(ensemble, attacks=[f"{__name__}:coin"], resamples=20, delta=delta)
        assert found.row["coin_epsilon"] == pytest.approx(least)
    with pytest.raises(UserError, match=r"audit: delta 1\.0: expected at least 0 and below 1"):
        audit(ensemble, delta=1.0)


def test_without_leakage_the_advantage_is_not_above_chance() -> None:
    ensemble = ensemble_of(simulate(range(64), leak=0, classes=2))
    found = audit(ensemble, attacks=["loss", "confidence", "attack_p"], resamples=300)
    for name in ("loss", "confidence", "attack_p"):
        assert found.row[f"{name}_advantage_low"] <= 0 < found.row[f"{name}_advantage"]
        assert found.row[f"{name}_balanced_accuracy_low"] <= 0.5
    assert (found.metrics.set_index("metric").loc["advantage", "examples_low"] <= 0).all()


def fails(_: Ensemble, __: np.ndarray) -> np.ndarray:
    """An attack that does not work."""
    raise IndexError("no such thing")


def no_number(_: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that finds nothing."""
    return np.full(members.shape, np.nan)


def too_short(_: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that gives one score a replica."""
    return np.zeros(len(members))


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        ("fails", "it raised IndexError: no such thing"),
        ("no_number", "no member or no non-member has a score"),
        ("too_short", "attack 'too_short' returned float64 (32,); expected real scores (32, 120)"),
    ],
)
def test_an_attack_of_ones_own_that_does_not_work_is_left_out_by_name(attack: str, why: str) -> None:
    ensemble = ensemble_of(simulate(range(32)))
    found = audit(ensemble, attacks=["confidence", f"{__name__}:{attack}"], resamples=50)
    alone = audit(ensemble, attacks=["confidence"], resamples=50)
    assert f"{attack}: left out, {why}" in found.notes
    assert found.row == pytest.approx(alone.row, nan_ok=True)
