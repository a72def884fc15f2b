"""Claims are found where they were put in, and nowhere else."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.audit.ensemble_audit import audit
from analysis.audit.outcome import Audit
from analysis.audit.proxies import rank_correlation
from analysis.ensemble import Ensemble
from analysis.studies.claims import claims_table
from tests.helpers.synthetic import make_ensemble
from trainables.data.subsets import Subsets, draw_members
from trainables.records import Signals

REPLICAS, N, M = 24, 120, 60


def trained(
    recipe: dict, accuracy: float, leak: float, spread: float, seed: int, hard: tuple[float, float] = (2, -1)
) -> Ensemble:
    """Replicas of two classes whose margins rise by ``leak`` on their members and vary by ``spread``.

    ``hard``: the margins of the easiest and of the hardest training example.
    """
    rng = np.random.default_rng(seed)
    members = draw_members(Subsets(), list(range(REPLICAS)), N)
    train = np.linspace(*hard, N) + leak * members + spread * rng.normal(size=members.shape)
    test = np.linspace(2, -1, M) + accuracy + rng.normal(size=(REPLICAS, M))
    arrays = {}
    for side, margin in (("train", train), ("test", test)):
        labels = np.zeros(margin.shape[1], int)
        signals = Signals.of(np.stack([margin, np.zeros_like(margin)], axis=-1), labels)
        arrays |= {f"{side}_{name}": value for name, value in vars(signals).items()}
    figures = {
        "test_accuracy": (test > 0).mean(axis=1),
        "train_accuracy": (train > 0).mean(axis=1),
        "seconds": np.ones(REPLICAS),
        "epsilon": np.full(REPLICAS, np.inf),
        "delta": np.zeros(REPLICAS),
    }
    return make_ensemble(recipe, REPLICAS, N, M, **arrays, **figures)


@pytest.fixture(scope="module")
def sweep() -> dict[str, Ensemble]:
    """SAM does all that is claimed, ASAM leaks less, one defence works for nothing, another costs a lot."""
    chosen = [
        trained({"optimizer": "sgd"}, 0.0, 1.0, 1.0, 0),
        trained({"optimizer": "sgd", "lr": 0.9}, -0.5, 9.0, 1.0, 1),
        trained({"optimizer": "sam", "rho": 0.1}, 1.0, 2.5, 0.7, 2),
        trained({"optimizer": "sam", "rho": 0.9}, 0.5, 9.0, 0.1, 3),
        trained({"optimizer": "asam", "rho": 0.5}, 1.0, 0.2, 1.0, 4),
        trained({"optimizer": "sam", "rho": 0.1, "grad_reg": 0.1, "noise": 2.0}, 1.3, 0.3, 1.0, 5),
        trained({"optimizer": "sam", "rho": 0.1, "noise": 2.0}, -1.0, 2.5, 0.7, 6),
    ]
    return {e.recipe_id: e for e in chosen}


@pytest.fixture(scope="module")
def audit_on(sweep: dict[str, Ensemble]) -> Callable[[str, np.ndarray], Audit]:
    done: dict[str, Audit] = {}

    def of(recipe_id: str, seeds: np.ndarray) -> Audit:
        if recipe_id not in done:
            restricted = sweep[recipe_id].restrict(seeds)
            done[recipe_id] = audit(restricted, attacks=["lira", "confidence"], resamples=200)
        return done[recipe_id]

    return of


@pytest.fixture(scope="module")
def table(sweep: dict[str, Ensemble], audit_on: Callable) -> pd.DataFrame:
    return claims_table(sweep, audit_on, resamples=200)


def verdict_of(table: pd.DataFrame, figure: str, recipe_id: str) -> str:
    rows = table[(table["figure"] == figure) & (table["recipe_id"] == recipe_id)]
    assert len(rows) == 1
    return str(rows["verdict"].iloc[0])


def test_the_best_plain_recipe_of_each_side_is_compared(table: pd.DataFrame) -> None:
    rows = table[table["claim"].str.startswith("SAM tests better")]
    assert set(rows["recipe_id"]) == {"sam rho=0.1"}
    assert set(rows["reference_id"]) == {"sgd"}
    assert rows["records"].iloc[0] == "sam rho=0.1, best test accuracy of 2, against sgd: 24 paired replicas"


def test_what_was_put_in_is_found(table: pd.DataFrame) -> None:
    sam = "sam rho=0.1"
    for figure in ("test_accuracy", "confidence_balanced_accuracy", "lira_auc", "nonmember_variance"):
        assert verdict_of(table, figure, sam) == "reproduced"
    assert verdict_of(table, "memorization", sam) == "reproduced"
    assert verdict_of(table, "test_accuracy", "asam rho=0.5") == "reproduced"
    assert verdict_of(table, "lira_advantage", "asam rho=0.5") == "contradicted"
    assert verdict_of(table, "theory_variance", "") == "reproduced"


def test_a_mitigation_is_judged_by_both_of_its_bars(table: pd.DataFrame) -> None:
    both, noise = "sam rho=0.1 grad_reg=0.1 noise=2.0", "sam rho=0.1 noise=2.0"
    assert verdict_of(table, "lira_advantage_reduction", both) == "reproduced"
    assert verdict_of(table, "accuracy_loss", both) == "reproduced"
    assert verdict_of(table, "lira_advantage_reduction", noise) == "contradicted"
    assert verdict_of(table, "accuracy_loss", noise) == "contradicted"
    assert set(table.loc[table["recipe_id"] == both, "reference_id"]) == {"sam rho=0.1"}


def test_estimates_are_the_audits_own(table: pd.DataFrame, audit_on: Callable) -> None:
    sam, sgd = (audit_on(r, np.arange(REPLICAS)).row for r in ("sam rho=0.1", "sgd"))
    row = table[(table["figure"] == "lira_auc") & (table["recipe_id"] == "sam rho=0.1")].iloc[0]
    assert row["estimate"] == pytest.approx(sam["lira_auc"] - sgd["lira_auc"])
    both = audit_on("sam rho=0.1 grad_reg=0.1 noise=2.0", np.arange(REPLICAS)).row
    row = table[table["figure"] == "lira_advantage_reduction"].iloc[0]
    assert row["estimate"] == pytest.approx(1 - both["lira_advantage"] / sam["lira_advantage"])
    assert (table["low"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["high"]).all()


def test_the_middle_is_compared_with_the_rest(table: pd.DataFrame, audit_on: Callable) -> None:
    sam, sgd = (audit_on(r, np.arange(REPLICAS)).examples["memorization"] for r in ("sam rho=0.1", "sgd"))
    edges = [np.nextafter(0.25, 1), 0.6, np.nextafter(0.85, 1), 1]
    low, middle, high = (np.histogram(sam, edges)[0] - np.histogram(sgd, edges)[0]) / N
    row = table[table["figure"] == "memorization_middle_surplus"].iloc[0]
    assert row["estimate"] == pytest.approx(middle / 0.25 - (low + high) / 0.5)


def test_a_definition_is_the_same_in_every_sweep(table: pd.DataFrame, sweep: dict) -> None:
    row = table[table["figure"] == "gain_bucket_1"].iloc[0]
    assert row["definition"] == "gain in bucket 1 of 5, the lowest influence entropy"
    # A pair of complementary halves that agree counts every example once IN and once OUT.
    agree = np.equal(*sweep["sgd"].signal("test", "correct").reshape(-1, 2, M).swapaxes(0, 1))
    share = np.mean([agree[::2].all(axis=0), agree[1::2].all(axis=0)])
    assert row["records"].endswith(f"; {share:.0%} of the test points have no influence and lie last")


def test_a_recipe_against_itself_tells_nothing(sweep: dict, audit_on: Callable) -> None:
    twin = {"sgd": sweep["sgd"], "sam": make_sam_of(sweep["sgd"])}
    same = claims_table(twin, lambda _, seeds: audit_on("sgd", seeds), resamples=50)
    measured = same[same["reference_id"] != ""]
    measured = measured[~measured["figure"].isin(["memorization_risk_correlation", "gain_bucket_5"])]
    assert (measured["estimate"] == 0).all()
    assert (measured["verdict"] == "cannot tell").all()


def test_memorization_and_risk_of_examples_that_are_all_alike_do_not_correlate() -> None:
    """On the same replicas they would: luck that looks like memorization looks like risk."""
    alike = [trained({"optimizer": "sgd"}, 0, 1, 1, 8, (0, 0))]
    alike.append(trained({"optimizer": "sam", "rho": 0.1}, 0, 1, 1, 9, (0, 0)))
    audits = {e.recipe_id: audit(e, attacks=["lira"], resamples=50) for e in alike}
    table = claims_table({e.recipe_id: e for e in alike}, lambda r, _: audits[r], resamples=300)
    (row,) = table[table["figure"] == "memorization_risk_correlation"].itertuples()
    assert row.verdict == "cannot tell"
    examples = audits[row.recipe_id].examples
    assert rank_correlation(examples["memorization"], examples["risk_lira"]).low > 0.3


def make_sam_of(ensemble: Ensemble) -> Ensemble:
    from dataclasses import replace

    return replace(ensemble, recipe_id="sam", recipe={"optimizer": "sam", "rho": 0.1})


def test_a_sweep_without_sam_has_only_the_theorem(sweep: dict, audit_on: Callable) -> None:
    alone = claims_table({"sgd": sweep["sgd"]}, audit_on, resamples=50)
    assert alone["figure"].tolist() == ["theory_variance"]
