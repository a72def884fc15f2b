import pandas as pd
import pytest

from analysis.recommend import parse_bound, recommend
from trainables.errors import UserError


@pytest.fixture
def results() -> pd.DataFrame:
    rows = [  # label, accuracy, advantage: SAM is accurate and leaks; noise trades one for the other
        ("sgd", 0.960, 0.16),
        ("sam rho=0.2", 0.970, 0.18),
        ("sam rho=0.2 noise=2", 0.966, 0.13),
        ("sam rho=0.2 noise=3", 0.958, 0.10),
        ("broken", 0.990, float("nan")),
    ]
    table = pd.DataFrame(rows, columns=["label", "test_accuracy", "lira_advantage"])
    table.insert(0, "recipe_id", [f"id{i}" for i in range(len(table))])
    for column, half in (("test_accuracy", 0.002), ("lira_advantage", 0.02)):
        table[f"{column}_low"], table[f"{column}_high"] = table[column] - half, table[column] + half
    return table


def test_the_most_accurate_within_the_risk(results: pd.DataFrame) -> None:
    found = recommend(results, max_risk={"lira_advantage": 0.17})
    assert found.choice.label == "sam rho=0.2 noise=2"
    assert [c.label for c in found.following] == ["sgd", "sam rho=0.2 noise=3"]
    assert found.choice.sure
    assert found.safest == found.choice
    assert found.choice.risk == pytest.approx((0.13, 0.11, 0.15))


def test_an_interval_that_reaches_over_the_bound_is_said(results: pd.DataFrame) -> None:
    found = recommend(results, max_risk={"lira_advantage": 0.14})
    assert found.choice.label == "sam rho=0.2 noise=2"
    assert not found.choice.sure
    assert found.safest is not None
    assert found.safest.label == "sam rho=0.2 noise=3"
    assert "sam rho=0.2 noise=3" in found.why[1]


def test_the_least_risky_with_enough_accuracy(results: pd.DataFrame) -> None:
    found = recommend(results, min_accuracy=0.96)
    assert found.choice.label == "sam rho=0.2 noise=2"
    assert found.risk == "lira_advantage"


def test_without_a_named_risk_the_page_s_default_is_compared(results: pd.DataFrame) -> None:
    rate = [0.020, 0.030, 0.010, 0.015, 0.001]
    for end, shift in (("", 0), ("_low", -0.005), ("_high", 0.005)):
        results[f"lira_tpr_at_0.1pct{end}"] = [r + shift for r in rate]
    found = recommend(results, min_accuracy=0.95)
    assert found.risk == "lira_tpr_at_0.1pct"
    assert [found.choice.label, found.following[0].label] == ["broken", "sam rho=0.2 noise=2"]
    unresolved = results.assign(**{"lira_tpr_at_0.1pct": float("nan")})
    assert recommend(unresolved, min_accuracy=0.95).risk == "lira_advantage"
    with pytest.raises(UserError, match="no attack's figures"):
        recommend(results[["recipe_id", "label", "test_accuracy"]], min_accuracy=0.95)


def test_both_bounds(results: pd.DataFrame) -> None:
    found = recommend(results, max_risk={"lira_advantage": 0.17}, min_accuracy=0.962)
    assert [found.choice.label, *(c.label for c in found.following)] == ["sam rho=0.2 noise=2"]


def test_what_to_mind_of_a_recipe_is_said_with_it(results: pd.DataFrame) -> None:
    results["caveat"] = ["", "", "8 replicas: LiRA is biased, take 32 or more", "", ""]
    found = recommend(results, max_risk={"lira_advantage": 0.17})
    assert str(found.choice).endswith("(mind: 8 replicas: LiRA is biased, take 32 or more)")
    assert "mind" not in str(found.following[0])


def test_a_recipe_without_intervals_is_not_sure(results: pd.DataFrame) -> None:
    ends = [name for name in results if name.endswith(("_low", "_high"))]
    found = recommend(results.assign(**dict.fromkeys(ends, float("nan"))), min_accuracy=0.96)
    assert str(found.choice) == "sam rho=0.2 noise=2: test accuracy 0.966, lira_advantage 0.13"
    assert found.why[1].startswith("it has no interval")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"max_risk": {"lira_advantage": 0.05}}, r"the lowest lira_advantage is 0.1 \(sam rho=0.2 noise=3\)"),
        ({"min_accuracy": 0.98}, r"the best test_accuracy is 0.97 \(sam rho=0.2\)"),
        ({"max_risk": {"lira_advantge": 0.1}}, "did you mean 'lira_advantage'"),
        ({"max_risk": {"lira_adv": 0.1}}, "did you mean 'lira_advantage'"),
        ({"min_accuracy": 97}, "expected a fraction; write 0.97"),
        ({}, "needs a bound"),
    ],
)
def test_what_cannot_be_met_says_what_can(results: pd.DataFrame, bounds: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        recommend(results, **bounds)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("lira_tpr@0.1%fpr=0.01", ("lira_tpr_at_0.1pct", 0.01)),
        ("rmia_tpr@1%FPR=0.2", ("rmia_tpr_at_1pct", 0.2)),
        ("lira_advantage=0.1", ("lira_advantage", 0.1)),
    ],
)
def test_bounds_are_spelt_as_people_say_them(text: str, bound: tuple[str, float]) -> None:
    assert parse_bound(text) == bound


@pytest.mark.parametrize("text", ["lira_auc", "lira_auc=low", "=0.5", "lira_auc=nan"])
def test_malformed_bounds_are_named(text: str) -> None:
    with pytest.raises(UserError, match="expected COLUMN=NUMBER"):
        parse_bound(text)
