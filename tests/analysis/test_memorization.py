import numpy as np
import pytest

from analysis.memorization import memorization, memorization_figures, memorization_se, nonmember_variance

MEMBERS = np.array([[1, 0, 1, 1], [1, 0, 1, 0], [0, 1, 1, 1], [0, 1, 1, 0]], bool)
CORRECT = np.array([[1, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1]], bool)
# By hand, example by example:  IN      OUT     difference
#   0                           2/2     0/2     1
#   1                           1/2     1/2     0
#   2                           3/4     none    NaN
#   3                           2/2     1/2     1/2
BY_HAND = np.array([1.0, 0.0, np.nan, 0.5])


def random_ensemble(seed: int = 0, replicas: int = 24, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, n)) < 0.5
    return rng.random((replicas, n)) < np.where(members, 0.95, rng.random(n)), members


def test_the_table_worked_by_hand() -> None:
    np.testing.assert_array_equal(memorization(CORRECT, MEMBERS), BY_HAND)


def test_standard_error_covers_repeated_ensembles() -> None:
    p_in, p_out, replicas = 0.9, 0.4, 40
    rng = np.random.default_rng(1)
    members = np.zeros((replicas, 20_000), bool)
    members[::2] = True
    correct = rng.random(members.shape) < np.where(members, p_in, p_out)
    spread = memorization(correct, members).std()
    assert memorization_se(correct, members).mean() == pytest.approx(spread, rel=0.05)


def test_agreement_of_few_replicas_is_not_certainty() -> None:
    se = memorization_se(np.ones((4, 1)), np.array([[1], [1], [0], [0]]))
    assert se[0] == pytest.approx(np.sqrt(2 * (3 / 4) * (1 / 4) / 4))
    assert np.isnan(memorization_se(CORRECT, MEMBERS)[2])


def test_figures_are_shares_of_the_examples_that_have_a_score() -> None:
    figures = memorization_figures(CORRECT, MEMBERS)
    assert figures.mean[0] == pytest.approx(0.5)
    assert figures.rate[0] == pytest.approx(2 / 3)
    assert figures.middle[0] == 0.0


def test_figures_of_no_example_are_nan() -> None:
    same = np.tile(MEMBERS[0], (4, 1))
    assert np.isnan(memorization_figures(CORRECT, same)).all()
    redrawn = memorization_figures(CORRECT, MEMBERS, [[4, 0, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_allclose(redrawn.rate, [np.nan, 2 / 3])


def test_weights_are_repeated_replicas() -> None:
    correct, members = random_ensemble()
    draw = np.random.default_rng(2).integers(0, 24, (5, 24))
    weights = np.stack([np.bincount(row, minlength=24) for row in draw])
    figures = memorization_figures(correct, members, weights)
    margin = np.random.default_rng(3).normal(size=members.shape)
    for b, row in enumerate(draw):
        scores = memorization(correct[row], members[row])
        known = scores[np.isfinite(scores)]
        assert figures.mean[b] == pytest.approx(known.mean())
        assert figures.rate[b] == pytest.approx((known > 0.25).mean())
        assert figures.middle[b] == pytest.approx(((known >= 0.6) & (known <= 0.85)).mean())
        expected = [x.var(ddof=1) for i in range(50) if len(x := margin[row, i][~members[row, i]]) > 1]
        assert nonmember_variance(margin, members, weights)[b] == pytest.approx(np.mean(expected))


def test_order_of_replicas_and_examples_does_not_matter() -> None:
    correct, members = random_ensemble()
    rng = np.random.default_rng(4)
    rows, columns = rng.permutation(24), rng.permutation(50)
    moved = memorization(correct[rows][:, columns], members[rows][:, columns])
    np.testing.assert_allclose(moved, memorization(correct, members)[columns])


def test_the_gap_of_margins_is_welchs_t() -> None:
    from scipy.stats import ttest_ind

    from analysis.memorization import margin_gap

    rng = np.random.default_rng(3)
    margin, members = rng.normal(size=(12, 7)), rng.random((12, 7)) < 0.5
    for gap, values, mask in zip(margin_gap(margin, members), margin.T, members.T, strict=True):
        assert gap == pytest.approx(ttest_ind(values[mask], values[~mask], equal_var=False).statistic)
