import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize

from analysis.studies.theory import (
    Setting,
    gaussian_advantages,
    interpolate,
    predict,
    relative_table,
    simulate,
    theory_table,
)

ETAS = (0.0, 0.3, 3.0)


def test_interpolation_is_the_constrained_minimum() -> None:
    rng = np.random.default_rng(0)
    data, g = rng.normal(size=(5, 4)), np.array([1.0, 2.0, 0.5, 3.0])
    members = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 1]], bool)
    for mask, w in zip(members, interpolate(data, members, g), strict=True):
        on_margin = {"type": "eq", "fun": lambda v, a=data[mask]: a @ v - 1}
        found = minimize(lambda v: v @ (g * v), np.zeros(4), constraints=on_margin, tol=1e-12)
        np.testing.assert_allclose(w, found.x, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 15), low=st.floats(0, 5), step=st.floats(0.01, 5))
def test_theorem_variance_falls_for_any_data(seed: int, n: int, low: float, step: float) -> None:
    rng = np.random.default_rng(seed)
    variances = rng.exponential(size=20)
    data, members = rng.standard_t(3, size=(15, 20)), np.zeros((1, 15), bool)
    members[0, :n] = True
    flat, flatter = (interpolate(data, members, 1 + eta * variances)[0] for eta in (low, low + step))
    assert flatter**2 @ variances <= flat**2 @ variances * (1 + 1e-9)


def test_without_classes_or_structure_the_variance_is_that_of_an_inverse_wishart() -> None:
    # E[1'(AA')^-1 1] = n / (d - n - 1) for A with n standard normal rows in d dimensions.
    setting = Setting(n=100, pool=200, d=400, decay=0.0, signal=0.0)
    assert predict(setting, 0.0).variance == pytest.approx(100 / 299, rel=0.01)


@pytest.mark.parametrize("setting", [Setting(), Setting(n=60, pool=240, d=600, decay=0.5, signal=0.5)])
def test_closed_form_agrees_with_simulation_and_the_attacks(setting: Setting) -> None:
    simulated = simulate(setting, ETAS, pools=10, replicas=48)
    for j, eta in enumerate(ETAS):
        expected = predict(setting, eta)
        for name, values in simulated._asdict().items():
            mean, se = values[:, j].mean(), values[:, j].std(ddof=1) / np.sqrt(len(values))
            # The closed form is for large n, and LiRA estimates its Gaussians: each costs about 1 %.
            assert mean == pytest.approx(getattr(expected, name), abs=4 * se + 0.01), (eta, name)


def test_flatter_minima_test_better_vary_less_and_leak_more() -> None:
    sgd, sam = (predict(Setting(), eta) for eta in (0.0, 1.0))
    assert sam.variance < sgd.variance
    assert sam.accuracy > sgd.accuracy
    assert sam.confidence_advantage > sgd.confidence_advantage
    assert sam.lr_advantage > sgd.lr_advantage


def test_contraction_does_not_help_every_attack_everywhere() -> None:
    sgd, sam = (predict(Setting(n=200, pool=400), eta) for eta in (0.0, 1.0))
    assert sam.variance < sgd.variance
    assert sam.confidence_advantage > sgd.confidence_advantage
    assert sam.lr_advantage < sgd.lr_advantage


@pytest.mark.parametrize(("m0", "s1", "s0"), [(0.0, 0.1, 0.6), (0.4, 0.5, 0.7), (-2.0, 1.0, 1.5)])
def test_gaussian_advantages_are_those_of_the_densities(m0: float, s1: float, s0: float) -> None:
    inside, outside = scipy.stats.norm(1, s1), scipy.stats.norm(m0, s0)
    found = gaussian_advantages(1, s1, m0, s0)
    distance = quad(lambda x: abs(inside.pdf(x) - outside.pdf(x)) / 2, -15, 15, limit=500, points=[1])[0]
    assert found.ratio == pytest.approx(distance, abs=1e-6)
    thresholds = np.linspace(-15, 15, 300_001)
    assert found.threshold == pytest.approx((inside.sf(thresholds) - outside.sf(thresholds)).max(), abs=1e-6)


def test_table_has_a_row_for_each_eta() -> None:
    table = theory_table(Setting(n=20, pool=40, d=80), (0, 1), pools=3, replicas=8)
    assert table["eta"].tolist() == [0, 1]
    assert (table.filter(like="_se") > 0).all().all()
    assert table["variance_simulated"].is_monotonic_decreasing


def test_the_pages_table_agrees_with_its_simulation() -> None:
    seen = relative_table().dropna()
    error = (seen["high"] - seen["low"]) / 2 / 1.96
    assert len(seen) == 12
    assert ((seen["simulated"] - seen["predicted"]).abs() < 5 * error + 0.02).all()
