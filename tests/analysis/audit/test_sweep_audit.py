"""The audit of a sweep: its tables, pairing, and probabilities to be on the front."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from analysis import load_sweep
from analysis.attacks.registry import lira
from analysis.audit.sweep_audit import audit_sweep
from analysis.metrics import auc
from analysis.report.payload import summary
from analysis.results import Tables
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets
from trainables.errors import UserError
from trainables.records import Address, content_id, write_record
from trainables.storage import Store

FAST = {"attacks": ["lira", "confidence"], "resamples": 200}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recipes, the last with fewer replicas and more leakage."""
    directory = tmp_path_factory.mktemp("audited")
    store = Store.at(directory)
    recipes = {}
    for knobs, seeds, leak in (
        ({"optimizer": "sgd"}, 16, 1.0),
        ({"optimizer": "sam", "rho": 0.1}, 16, 1.0),
        ({"optimizer": "sam", "rho": 0.2}, 12, 2.5),
    ):
        recipe_id = content_id(knobs)
        recipes[recipe_id] = knobs
        record = simulate(range(seeds), leak=leak, recipe=knobs, canaries=6)  # type: ignore[arg-type]
        write_record(store, Address(recipe_id, record.context.context_id, 0, seeds - 1), record)
    manifest = {
        "context_id": record.context.context_id,
        "recipes": recipes,
        "seeds": 16,
        "reference": next(iter(recipes)),
        "audit": {**FAST, "delta": 0.01},
    }
    store.write("manifest.json", json.dumps(manifest).encode())
    audit_sweep(directory)
    return directory


def test_every_risk_has_its_probability_to_be_on_the_front(sweep: Path) -> None:
    """Of other risks than the default, too; a recipe ahead in both objectives is on that risk's front."""
    recipes = pd.read_parquet(sweep / "results" / "recipes.parquet")
    table = pd.read_parquet(sweep / "results" / "front_probabilities.parquet")
    by_risk = table.pivot(index="recipe_id", columns="risk", values="probability")
    notes = json.loads((sweep / "results/notes.json").read_text())
    expected = recipes.set_index("recipe_id")["front_probability"]
    pd.testing.assert_series_equal(by_risk[notes["risk"]].loc[expected.index], expected, check_names=False)
    for risk in ("lira_auc", "confidence_advantage"):
        assert by_risk[risk].between(0, 1).all()
        assert by_risk[risk].sum() >= 1, "in each resample some recipe is on the front"
    unresolved = recipes.set_index("recipe_id")["lira_tpr_at_0.01pct"].isna()
    assert by_risk["lira_tpr_at_0.01pct"].isna().sum() == unresolved.sum() > 0


def test_draws_of_shares_stay_within_0_and_1(sweep: Path) -> None:
    """What shared shadows and thresholds add to them may lead beyond."""
    ends = pd.read_parquet(sweep / "results" / "metrics.parquet").query("metric != 'advantage'")
    for name in ("low", "high", "examples_low", "examples_high"):
        assert ends[name].dropna().between(0, 1).all()
    assert (ends.loc[ends["metric"].str.startswith("tpr"), "low"] == 0).any(), "the case occurs"


def test_tables_of_a_sweep(sweep: Path) -> None:
    recipes = pd.read_parquet(sweep / "results" / "recipes.parquet")
    assert recipes.columns[:6].tolist() == ["recipe_id", "label", "optimizer", "rho", "noise", "grad_reg"]
    assert recipes["rho"].tolist() == [0, 0.1, 0.2]
    assert recipes["on_front"].any()
    assert recipes["front_probability"].between(0, 1).all()
    assert recipes["lira_auc"].between(recipes["lira_auc_low"], recipes["lira_auc_high"]).all()
    pd.testing.assert_frame_equal(
        pd.read_csv(sweep / "results" / "recipes.csv"), recipes, check_dtype=False, rtol=1e-12
    )
    for name in ("metrics", "roc", "scores", "vulnerable", "buckets", "influence", "history"):
        assert len(pd.read_parquet(sweep / "results" / f"{name}.parquet")), name
    curves = pd.read_parquet(sweep / "results" / "roc.parquet")
    one = curves[(curves["recipe_id"] == recipes["recipe_id"][0]) & (curves["attack"] == "lira")]
    assert (one["low"] <= one["high"]).all()
    assert one[["fpr", "tpr"]].iloc[-1].tolist() == [1, 1]
    scores = pd.read_parquet(sweep / "results" / "scores.parquet")
    mass = (scores["members"] * (scores["right"] - scores["left"])).groupby(
        [scores["recipe_id"], scores["attack"]]
    )
    assert mass.sum().between(0.98, 1.0001).all()


def test_the_page_says_at_which_delta_epsilon_is(sweep: Path) -> None:
    assert summary(Tables.of(sweep))["titles"]["lira_epsilon"] == "LiRA: epsilon at least, at delta 0.01"


def test_comparisons_are_paired_and_on_equal_numbers_of_shadows(sweep: Path) -> None:
    table = pd.read_parquet(sweep / "results" / "comparisons.parquet")
    ensembles = list(load_sweep(sweep).values())
    assert set(table["reference_id"]) == {ensembles[0].recipe_id}
    by = table.set_index(["recipe_id", "figure"])
    same = by.loc[(ensembles[1].recipe_id, "lira_auc")]
    assert same["difference"] == pytest.approx(0)  # the same replicas under another name
    assert same["p_value"] == 1
    fewer = by.loc[(ensembles[2].recipe_id, "lira_auc")]
    leaks = []
    for ensemble in (ensembles[2], ensembles[0]):
        part = ensemble.restrict(np.arange(12))
        scores = lira(part.signal("train", "margin"), part.members, variance="auto")
        leaks.append(auc(scores, part.members))
    assert fewer["difference"] == pytest.approx(leaks[0] - leaks[1])
    assert fewer["low"] > 0
    assert fewer["p_value"] < 0.01
    assert fewer["p_adjusted"] >= fewer["p_value"]


def test_accuracy_comparison_agrees_with_a_paired_t_test(tmp_path: Path) -> None:
    store, recipes = Store.at(tmp_path), {}
    for shift in (0.0, 0.01):
        knobs = {"optimizer": "sgd", "lr": 0.1 + shift}
        record = simulate(range(40), recipe=knobs, subsets=Subsets(scheme="fraction", fraction=0.5))
        record.test_accuracy[:] += shift * np.random.default_rng(0).random(40)
        recipes[content_id(knobs)] = record
        write_record(store, Address(content_id(knobs), record.context.context_id, 0, 39), record)
    results = audit_sweep(tmp_path, attacks=["confidence"], resamples=4000)
    row = results.comparisons.set_index("figure").loc["test_accuracy"]
    ordered = [recipes[row["recipe_id"]], recipes[row["reference_id"]]]
    expected = ttest_rel(ordered[0].test_accuracy, ordered[1].test_accuracy)
    assert np.log(row["p_value"]) == pytest.approx(np.log(expected.pvalue), rel=0.1)
    interval = expected.confidence_interval()
    assert [row["low"], row["high"]] == pytest.approx(list(interval), abs=4e-4)


def test_unknown_attacks_are_refused_before_any_work(sweep: Path) -> None:
    with pytest.raises(UserError, match="attack 'lyra'"):
        audit_sweep(sweep, attacks=["lyra"])
