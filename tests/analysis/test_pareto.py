import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.pareto import front_probability, hypervolume, knee, pareto_front

# Few distinct values, so that ties, copies and NaN are the rule.
coarse = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, np.nan])


def clouds(d: int, values: st.SearchStrategy[float] = coarse) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.just(d)), elements=values)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a >= b).all() and (a > b).any())


def front_by_definition(points: np.ndarray) -> list[bool]:
    return [not np.isnan(p).any() and not any(dominates(q, p) for q in points) for p in points]


def volume_by_inclusion_exclusion(points: np.ndarray, corner: np.ndarray) -> float:
    inside = [p for p in points if (p > corner).all()]
    terms = [
        (-1) ** (size + 1) * np.prod(np.min(chosen, axis=0) - corner)
        for size in range(1, len(inside) + 1)
        for chosen in itertools.combinations(inside, size)
    ]
    return float(sum(terms))


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@settings(deadline=None)
@given(data=st.data())
def test_the_front_is_what_no_point_dominates(d: int, data: st.DataObject) -> None:
    points = data.draw(clouds(d))
    assert pareto_front(points, maximize=(True,) * d).tolist() == front_by_definition(points)


def test_accuracy_is_maximised_and_risk_minimised_by_default() -> None:
    #  risk
    #  .3 |  .  C  .
    #  .2 |  .  .  A    A is best in accuracy, B in risk; C is worse than both.
    #  .1 |  .  B  .
    #        .8 .8 .9   accuracy
    assert pareto_front([[0.9, 0.2], [0.8, 0.1], [0.8, 0.3]]).tolist() == [True, True, False]


def test_copies_of_a_front_point_are_all_on_it() -> None:
    assert pareto_front([[1, 0], [1, 0], [1, 1]]).tolist() == [True, True, False]


def test_infinite_objectives_compare_as_numbers() -> None:
    assert pareto_front([[1.0, np.inf], [1.0, np.inf], [-np.inf, 0.0]]).all()


@settings(deadline=None)
@given(batch=hnp.arrays(np.float64, (5, 7, 2), elements=coarse))
def test_a_batch_is_its_rows(batch: np.ndarray) -> None:
    assert np.array_equal(pareto_front(batch), [pareto_front(points) for points in batch])


def test_front_probability_counts_replicates() -> None:
    replicates = np.array([[[0.9, 0.2], [0.8, 0.3]], [[0.9, 0.2], [0.8, 0.1]]])
    assert front_probability(replicates).tolist() == [1.0, 0.5]
    three = np.concatenate([replicates, np.zeros((2, 2, 1))], axis=-1)
    assert front_probability(three, maximize=(True, False, False)).tolist() == [1.0, 0.5]


def test_hypervolume_closed_forms() -> None:
    assert hypervolume([[0.9, 0.2]], [0.5, 0.5]) == pytest.approx(0.4 * 0.3)
    assert hypervolume([[0.9, 0.2], [0.8, 0.1]], [0.5, 0.5]) == pytest.approx(0.4 * 0.3 + 0.3 * 0.1)
    n = 200  # a linear front of n steps encloses (n-1)/2n of the unit square
    line = np.arange(1, n) / n
    assert hypervolume(np.c_[line, line], [0, 1]) == pytest.approx((n - 1) / (2 * n))
    corners = np.array([[1, 1, 0.5], [1, 0.5, 1], [0.5, 1, 1]])
    assert hypervolume(corners, [0, 0, 0], maximize=(True,) * 3) == pytest.approx(3 / 2 - 3 / 4 + 1 / 8)


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@settings(deadline=None)
@given(data=st.data())
def test_hypervolume_is_the_union_of_boxes(d: int, data: st.DataObject) -> None:
    points = data.draw(clouds(d))[:7]
    corner = np.full(d, 0.1)
    expected = volume_by_inclusion_exclusion(points, corner)
    assert hypervolume(points, corner, maximize=(True,) * d) == pytest.approx(expected, abs=1e-12)


def test_hypervolume_agrees_with_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(40, 3))
    darts = rng.uniform(size=(200_000, 3))
    hit = np.zeros(len(darts), bool)
    for point in points:
        hit |= (darts <= point).all(axis=1)
    error = 4 * np.sqrt(hit.mean() * (1 - hit.mean()) / len(darts))
    assert hypervolume(points, [0, 0, 0], maximize=(True,) * 3) == pytest.approx(hit.mean(), abs=error)


@settings(deadline=None)
@given(points=clouds(2), extra=hnp.arrays(np.float64, (1, 2), elements=coarse))
def test_a_further_recipe_never_shrinks_the_hypervolume(points: np.ndarray, extra: np.ndarray) -> None:
    before = hypervolume(points, [0.0, 1.0])
    assert hypervolume(np.concatenate([points, extra]), [0.0, 1.0]) >= before - 1e-12


def test_points_beyond_the_reference_add_nothing() -> None:
    assert hypervolume([[0.4, 0.1], [0.9, 0.6], [np.nan, 0.0]], [0.5, 0.5]) == 0.0


def test_the_knee_is_the_farthest_point_beyond_the_chord() -> None:
    points = [[0.5, 0.0], [0.9, 0.1], [0.92, 0.6], [1.0, 1.0], [0.6, 0.9]]
    assert knee(points) == 1
    assert knee(points[:1]) is None
    assert knee([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]) is None


def test_objectives_and_directions_must_match() -> None:
    with pytest.raises(ValueError, match="expected points"):
        pareto_front([[1, 2, 3]])
