"""The other attacks against plain loops, and the registry that holds them all."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from analysis.attacks.ranks import risk_by_example
from analysis.attacks.registry import ATTACKS, attack_p, attack_r, calibrated_loss, run, select
from analysis.ensemble import ensemble_of
from analysis.metrics import auc
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets, draw_members
from trainables.errors import UserError
from trainables.records import Signals


def values(seed: int, replicas: int = 7, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, n)) < 0.5
    return -rng.exponential(size=members.shape), members


def test_attack_r_ranks_the_target_among_out_shadows() -> None:
    x, members = values(0)
    scores = attack_r(x, members)
    for t, i in np.ndindex(x.shape):
        shadows = [x[r, i] for r in range(len(x)) if r != t and not members[r, i]]
        if not shadows:
            assert np.isnan(scores[t, i])
            continue
        worse = np.sum(np.array(shadows) < x[t, i])
        assert worse / (len(shadows) + 1) <= scores[t, i] <= (worse + 1) / (len(shadows) + 1)


def test_attack_r_is_uniform_without_leakage_and_breaks_ties_evenly() -> None:
    members = draw_members(Subsets(), range(16), 400)
    for x in (np.random.default_rng(0).normal(size=members.shape), np.zeros(members.shape)):
        scores = attack_r(x, members)
        for side in (members, ~members):
            assert kstest(scores[side], "uniform").pvalue > 0.001


def test_attack_p_is_the_share_of_worse_population_points() -> None:
    x, members = values(1)
    z = np.round(values(2)[0], 1)
    x = np.round(x, 1)
    scores = attack_p(x, z)
    for t, i in np.ndindex(x.shape):
        assert scores[t, i] == pytest.approx(np.mean((z[t] < x[t, i]) + 0.5 * (z[t] == x[t, i])))
    assert scores.shape == members.shape


def test_calibrated_loss_subtracts_the_out_mean() -> None:
    x, members = values(3)
    scores = calibrated_loss(x, members)
    for t, i in np.ndindex(x.shape):
        shadows = [x[r, i] for r in range(len(x)) if r != t and not members[r, i]]
        assert scores[t, i] == pytest.approx(x[t, i] - np.mean(shadows) if shadows else np.nan, nan_ok=True)


def test_risk_of_an_example_is_its_auc_over_targets() -> None:
    x, members = values(4, replicas=12)
    x = np.round(x, 1)
    x[3] = np.nan
    targets = np.stack([np.ones(12, bool), np.arange(12) % 3 > 0, np.zeros(12, bool)])
    risks = risk_by_example(x, members, targets)
    for (s, i), risk in np.ndenumerate(risks):
        known = ~np.isnan(x[:, i]) & targets[s]
        both = members[known, i].any() and not members[known, i].all()
        expected = roc_auc_score(members[known, i], x[known, i]) if both else np.nan
        assert risk == pytest.approx(expected, nan_ok=True)


def test_every_attack_sees_leakage_and_nothing_without() -> None:
    leaking = ensemble_of(simulate(range(48), n=200, m=150, leak=3, queries=2))
    silent = ensemble_of(simulate(range(48), n=200, m=150, leak=0, queries=2))
    for name, attack in ATTACKS.items():
        if name == "quantile":
            continue  # one regressor a target: its own test takes fewer
        floor = 0.55 if name in ("correctness", "label_only") else 0.7
        assert auc(run(name, attack, leaking), leaking.members) > floor, name
        assert auc(run(name, attack, silent), silent.members) == pytest.approx(0.5, abs=0.025), name


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_scores_go_with_their_examples_and_replicas(name: str) -> None:
    """In another order they are the same, but for rounding, whatever the attack."""
    record = simulate(range(12), queries=2)
    scores = run(name, ATTACKS[name], ensemble_of(record))
    rng = np.random.default_rng(0)
    order, others = rng.permutation(120), rng.permutation(90)
    shuffled = replace(
        record,
        members=record.members[:, order],
        labels_train=record.labels_train[order],
        labels_test=record.labels_test[others],
        train=Signals(*(values[..., order] for values in vars(record.train).values())),
        test=Signals(*(values[..., others] for values in vars(record.test).values())),
    )
    if name not in ("attack_r", "quantile"):  # draw by position from a fixed stream
        found = run(name, ATTACKS[name], ensemble_of(shuffled))
        np.testing.assert_allclose(found, scores[:, order], atol=1e-6)
    rows = rng.permutation(12)
    shuffled = replace(
        record,
        members=record.members[rows],
        train=Signals(*(values[rows] for values in vars(record.train).values())),
        test=Signals(*(values[rows] for values in vars(record.test).values())),
    )
    if name not in ("attack_r", "rmia_offline"):  # the latter tunes on the next pair of replicas
        found = run(name, ATTACKS[name], ensemble_of(shuffled))
        np.testing.assert_allclose(found, scores[rows], atol=1e-6)


def test_attacks_by_rank_see_no_more_than_order() -> None:
    x, members = values(5)
    z = values(6)[0]
    np.testing.assert_array_equal(attack_r(x, members), attack_r(np.exp(x), members))
    np.testing.assert_array_equal(attack_p(x, z), attack_p(np.exp(x), np.exp(z)))


def test_quantile_regression_holds_its_false_positive_rate() -> None:
    ensemble = ensemble_of(simulate(range(12), n=300, m=900, leak=3))
    scores = run("quantile", ATTACKS["quantile"], ensemble)
    assert auc(scores, ensemble.members) > 0.7
    assert (scores > 0)[~ensemble.members].mean() == pytest.approx(0.05, abs=0.04)


def test_quantile_regression_without_out_shadows_is_nan() -> None:
    record = simulate(range(4))
    for members in (np.ones_like(record.members), np.eye(4, 120, dtype=bool) | (np.arange(4) > 0)[:, None]):
        record.members[:] = members
        scores = run("quantile", ATTACKS["quantile"], ensemble_of(record))
        assert np.isnan(scores[0]).all()


def test_default_attacks_are_those_marked_so_and_names_are_checked() -> None:
    assert "lira" in select()
    assert "quantile" not in select()
    assert list(select(["rmia", "lira"])) == ["rmia", "lira"]
    assert list(select(["default", "quantile"])) == [*select(), "quantile"]
    with pytest.raises(UserError, match="attack 'lyra' is not known; did you mean 'lira'"):
        select(["lyra"])


def test_a_users_own_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_attacks.py").write_text(
        "def mine(signals, members):\n"
        "    return signals.signal('train', 'margin').mean(axis=1)\n"
        "def lira(signals, members):\n"
        "    return 0 * members\n"
        "def wrong(signals, members):\n"
        "    return members[0]\n"
        "constant = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ensemble = ensemble_of(simulate(range(4)))
    ((name, attack),) = select(["my_attacks:mine"]).items()
    assert name == "mine"
    np.testing.assert_allclose(run(name, attack, ensemble), ensemble.signal("train", "margin")[:, 0])
    ((name, attack),) = select(["my_attacks:wrong"]).items()
    with pytest.raises(UserError, match=r"attack 'wrong' returned bool \(120,\); expected .*\(4, 120\)"):
        run(name, attack, ensemble)
    with pytest.raises(UserError, match=r"attack 'my_attacks:lira': another is called 'lira', too"):
        select(["my_attacks:lira"])
    assert list(select(["my_attacks:mine", "my_attacks:mine", "lira"])) == ["mine", "lira"]
    with pytest.raises(UserError, match="expected a function"):
        select(["my_attacks:constant"])
    with pytest.raises(UserError, match="cannot be imported"):
        select(["my_attacks:absent"])
    sys.modules.pop("my_attacks", None)
