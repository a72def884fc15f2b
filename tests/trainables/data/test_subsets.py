"""Membership masks: balance, complements, independence of block and of how many seeds are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainables.data.subsets import Subsets, draw_members

HALF = Subsets()
CANARIES = Subsets(scheme="canaries")


@given(n=st.integers(2, 300), pairs=st.integers(1, 6), sweep_seed=st.integers(0, 2**31))
def test_half_puts_every_example_in_exactly_half_of_the_replicas(n: int, pairs: int, sweep_seed: int) -> None:
    members = draw_members(HALF, range(2 * pairs), n, sweep_seed)
    assert (members.sum(axis=0) == pairs).all()
    assert (members[0::2] == ~members[1::2]).all()
    assert (abs(members.sum(axis=1) - n / 2) <= 0.5).all()


@given(n=st.integers(2, 300), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 10**6))
def test_fraction_draws_the_rounded_share(n: int, fraction: float, seed: int) -> None:
    subsets = Subsets(scheme="fraction", fraction=fraction)
    assert draw_members(subsets, [seed], n).sum() == subsets.size(n) == max(1, round(fraction * n))


@pytest.mark.parametrize("subsets", [HALF, Subsets(scheme="fraction", fraction=0.7)])
def test_a_mask_depends_on_its_own_seed_alone(subsets: Subsets) -> None:
    together = draw_members(subsets, range(10), 50, sweep_seed=3)
    for seed in range(10):
        assert (draw_members(subsets, [seed], 50, sweep_seed=3)[0] == together[seed]).all()
    assert (draw_members(subsets, range(10), 50, sweep_seed=4) != together).any()


def test_every_canary_has_a_fair_coin_and_all_others_are_in() -> None:
    canaries = [3, 7, 8, 30]
    members = draw_members(CANARIES, range(4000), 40, canaries=canaries)
    others = np.delete(members, canaries, axis=1)
    assert others.all()
    coins = members[:, canaries]
    assert (abs(coins.mean(axis=0) - 0.5) < 4 * 0.5 / np.sqrt(4000)).all()
    assert (abs(np.corrcoef(coins.T)[np.triu_indices(4, 1)]) < 4 / np.sqrt(4000)).all()
    assert CANARIES.size(40, 4) == 38
    np.testing.assert_array_equal(draw_members(CANARIES, [17], 40, canaries=canaries)[0], members[17])


def test_inclusion_is_uniform_over_examples() -> None:
    members = draw_members(Subsets(scheme="fraction", fraction=0.7), range(4000), 40)
    deviation = abs(members.mean(axis=0) - 0.7)
    assert deviation.max() < 5 * np.sqrt(0.7 * 0.3 / 4000)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"scheme": "fraction"}, "needs 'fraction'"),
        ({"scheme": "half", "fraction": 0.5}, "belongs to scheme"),
        ({"scheme": "fraction", "fraction": 1.0}, "less than 1"),
        ({"scheme": "canaries", "fraction": 0.5}, "belongs to scheme 'fraction', not to 'canaries'"),
        ({"scheme": "thirds"}, "'half', 'fraction' or 'canaries'"),
    ],
)
def test_bad_schemes_are_refused(options: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        Subsets.model_validate(options)
