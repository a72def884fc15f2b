"""The parts of a spec by themselves: what they take, what follows from it, what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sweep.spec.sections import AuditSpec, Resources, SearchSpec, SeedRange, Span
from trainables.errors import UserError


def test_seeds_begin_at_the_first_and_their_rule_says_nothing_of_how_many() -> None:
    some, more = SeedRange(seeds=4, first=6), SeedRange(seeds=8)
    assert list(some.range) == [6, 7, 8, 9]
    assert some.rule == more.rule
    assert SeedRange(scheme="fraction", fraction=0.7, seeds=3, first=1).rule != more.rule


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": 3}, "subsets.seeds: 3 is odd"),
        ({"seeds": 4, "first": 1}, "subsets.first: 1 is odd"),
        ({"seeds": 0}, "greater than or equal to 1"),
        ({"scheme": "fraction", "seeds": 3}, "needs 'fraction'"),
    ],
)
def test_halves_come_in_pairs(values: dict[str, Any], message: str) -> None:
    with pytest.raises((ValidationError, UserError), match=message):
        SeedRange.model_validate(values)


@pytest.mark.parametrize(
    ("values", "demand"),
    [
        ({}, {"cpu": 1}),
        ({"cpu": 2, "gpu": 0.25}, {"cpu": 2, "gpu": 0.25}),
        ({"gpu": "auto"}, {"cpu": 1, "gpu": 1}),
        ({"gpu": 2, "node:h100": 0.01}, {"cpu": 1, "gpu": 2, "node:h100": 0.01}),
    ],
    ids=str,
)
def test_a_trial_demands_what_is_not_zero(values: dict[str, Any], demand: dict[str, float]) -> None:
    assert Resources.model_validate(values).demand == demand


@pytest.mark.parametrize(
    "values",
    [{"cpu": 0}, {"gpu": 1.5}, {"gpu": -1}, {"gpu": True}, {"gpu": "all"}, {"tpu": 0}, {"tpu": "one"}],
    ids=str,
)
def test_amounts_that_ray_could_not_give_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Resources.model_validate(values)


def test_an_empty_list_of_attacks_is_refused() -> None:
    assert AuditSpec().attacks is None
    assert AuditSpec(attacks=["lira"]).attacks == ["lira"]
    with pytest.raises(ValidationError, match="is empty; expected at least one attack"):
        AuditSpec(attacks=[])


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ({"low": 0.1, "high": 1}, True),
        ({"low": 1e-3, "high": 1, "log": True}, True),
        ({"low": 1, "high": 1}, False),
        ({"low": 2, "high": 1}, False),
        ({"low": 0, "high": 1, "log": True}, False),
    ],
)
def test_a_span_rises_and_is_above_zero_on_a_log_scale(values: dict[str, Any], taken: bool) -> None:
    if taken:
        Span.model_validate(values)
    else:
        with pytest.raises(ValidationError, match="expected low < high, and low > 0 with log"):
            Span.model_validate(values)


def test_a_search_tries_both_ends_of_every_entry() -> None:
    entry = {"optimizer": ["sam", "asam", "gsam"], "rho": {"low": 0.01, "high": 1.0, "log": True}, "noise": 2}
    search = SearchSpec(space=[{"optimizer": "sgd"}, entry])
    assert list(search.corners()) == [
        ("search.space[0]", {"optimizer": "sgd"}),
        ("search.space[0]", {"optimizer": "sgd"}),
        ("search.space[1]", {"optimizer": "sam", "rho": 0.01, "noise": 2}),
        ("search.space[1]", {"optimizer": "gsam", "rho": 1.0, "noise": 2}),
    ]
    wrong = SearchSpec(space=[{"optimizer": "sam", "rho": {"low": 1, "hihg": 2}}])
    with pytest.raises(UserError, match=r"search\.space\[0\]\.rho\.h"):
        list(wrong.corners())


@pytest.mark.parametrize("replicas", [[32, 16], [16, 16]])
def test_a_search_goes_on_with_more_replicas(replicas: list[int]) -> None:
    with pytest.raises(ValidationError, match="expected growing numbers"):
        SearchSpec(space=[{}], replicas=replicas)
