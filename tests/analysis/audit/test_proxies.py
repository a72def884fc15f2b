from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis import audit
from analysis.audit.proxies import (
    proxy_table,
    rank_correlation,
    risk_correlations,
    tail_estimate,
    tail_ranking,
)
from analysis.ensemble import ensemble_of
from tests.helpers.simulated_records import simulate
from tests.helpers.synthetic import make_ensemble
from trainables.data.subsets import Subsets, draw_members


def test_several_measurements_are_ranked_apart_and_taken_together() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    a, b = x + rng.normal(size=(2, 400)), x + rng.normal(size=(2, 400))
    b[1] = 100 * b[1] - 7
    b[0, 5] = np.nan
    together = rank_correlation(a, b)
    kept = np.arange(400) != 5
    each = [scipy.stats.spearmanr(p[kept], q[kept]).statistic for p, q in zip(a, b, strict=True)]
    assert together.estimate == pytest.approx(np.mean(each))
    single = rank_correlation(a[0], b[0])
    assert together.high - together.low < single.high - single.low


def test_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, 200).astype(float)
    y = x + rng.integers(0, 4, 200)
    x[3], y[7] = np.nan, np.nan
    expected = scipy.stats.spearmanr(x, y, nan_policy="omit").statistic
    found = rank_correlation(x, y)
    assert found.estimate == pytest.approx(expected)
    assert found.low < expected < found.high


def test_interval_covers_the_truth() -> None:
    rho, hits = 0.6, 0
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's correlation of a bivariate normal
    for seed in range(200):
        x, y = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, rho], [rho, 1]], 150).T
        low, high = rank_correlation(x, y, resamples=300, seed=seed)[1:]
        hits += low <= truth <= high
    assert 0.91 <= hits / 200 <= 0.99


def test_groups_of_examples_vary_like_examples() -> None:
    rho, n = 0.6, 20_000
    x, y = np.random.default_rng(0).multivariate_normal([0, 0], [[1, rho], [rho, 1]], n).T
    found = rank_correlation(x, y)
    # Bonett and Wright 2000: the variance of Fisher's z of a rank correlation is (1 + rho^2 / 2) / (n - 3).
    half = 1.96 * np.sqrt((1 + found.estimate**2 / 2) / (n - 3)) * (1 - found.estimate**2)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)


def test_too_few_or_constant_values_have_no_correlation() -> None:
    assert np.isnan(rank_correlation([1, 2], [2, 1]).estimate)
    assert np.isnan(rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]).estimate)


def test_risks_are_found_by_name() -> None:
    x = np.arange(30.0)
    table = risk_correlations(pd.DataFrame({"memorization": x, "risk_lira": x**2, "risk_rmia": -x}))
    assert table["against"].tolist() == ["risk_lira", "risk_rmia"]
    assert table["correlation"].tolist() == pytest.approx([1, -1])


def test_a_loss_that_follows_memorization_is_a_good_proxy() -> None:
    rng = np.random.default_rng(0)
    replicas, n = 32, 80
    members = draw_members(Subsets(), list(range(replicas)), n)
    hardness = np.linspace(0, 1, n)
    correct = rng.random((replicas, n)) < np.where(members, 1.0, 1 - hardness)
    noise = rng.normal(size=(replicas, n))
    ensemble = make_ensemble(
        {"optimizer": "sgd"},
        replicas,
        n,
        1,
        train_correct=correct,
        train_log_p_true=-hardness + 0.05 * noise,
        train_margin=noise,
        train_entropy=np.ones((replicas, n)),
    )
    table = proxy_table(ensemble).set_index("against")
    assert table.loc["loss_of_one_replica", "low"] > 0.8
    assert table.loc["margin_of_one_replica", "low"] < 0 < table.loc["margin_of_one_replica", "high"]
    assert "entropy_of_one_replica" not in table.index


def test_the_tail_is_what_hardly_a_member_reaches() -> None:
    ensemble = ensemble_of(simulate(range(6), n=100, m=300))
    train, test = (ensemble.signal(side, "log_p_true")[:, 0] for side in ("train", "test"))
    for level in (0.001, 0.1):
        for found, x, z, own in zip(
            tail_estimate(ensemble, level=level), train, test, ensemble.members, strict=True
        ):
            at_most = level * own.sum()
            threshold = min(t for t in -x[own] if (-x[own] > t).sum() <= at_most)
            assert found == (-z > threshold).mean()


def test_the_tail_ranks_recipes_that_leak_more_and_more() -> None:
    leaks = (0.5, 1.0, 2.0, 4.0, 8.0)
    ensembles = {str(k): ensemble_of(simulate(range(12), leak=leak)) for k, leak in enumerate(leaks)}
    audits = {k: audit(e, attacks=["lira"], resamples=50) for k, e in ensembles.items()}
    table = tail_ranking(ensembles, audits, figure="lira_auc", resamples=50)
    assert table["against"].tolist() == ["tail_of_one_replica"]
    tails = [tail_estimate(e).mean() for e in ensembles.values()]
    expected = scipy.stats.spearmanr(tails, [a.row["lira_auc"] for a in audits.values()]).statistic
    assert table["correlation"][0] == pytest.approx(expected)
    assert table["low"][0] > 0.5
    assert table["high"][0] <= 1
    left_out = ensembles | {"single": ensembles["0"].restrict(ensembles["0"].seeds[:2])}
    without = audits | {"single": replace(audits["0"], row={})}
    pd.testing.assert_frame_equal(
        tail_ranking(left_out, without, figure="lira_auc", resamples=50), table, check_exact=True
    )
    few = {k: ensembles[k] for k in ("0", "1")}
    assert tail_ranking(few, audits, figure="lira_auc", resamples=50).empty
    assert tail_ranking(ensembles, audits, figure="rmia_auc", resamples=50).empty
