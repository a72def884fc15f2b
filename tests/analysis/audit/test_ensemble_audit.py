"""The audit of an ensemble and of a sweep: rows, tables, pairing and what is left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_rel

from analysis import audit, load_sweep
from analysis.attacks.registry import ATTACKS, lira
from analysis.audit.sweep_audit import audit_sweep
from analysis.ensemble import Block, Ensemble, ensemble_of
from analysis.epsilon import canary_guesses, one_run_epsilon
from analysis.metrics import auc, roc, tpr_at_fpr
from analysis.report.payload import summary
from analysis.results import Tables
from analysis.statistics.curves import visible
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


def test_the_row_holds_the_exact_figures_and_their_intervals() -> None:
    ensemble = ensemble_of(simulate(range(32)))
    found = audit(ensemble, attacks=["lira"], resamples=200)
    scores = lira(ensemble.signal("train", "margin"), ensemble.members, variance="auto")
    assert found.row["lira_auc"] == pytest.approx(auc(scores, ensemble.members))
    assert found.row["lira_tpr_at_1pct"] == tpr_at_fpr(scores, ensemble.members, 0.01)
    assert found.row["replicas"] == 32
    for figure in ("lira_auc", "lira_advantage", "test_accuracy", "memorization", "nonmember_variance"):
        low, estimate, high = (found.row[figure + end] for end in ("_low", "", "_high"))
        assert low < estimate < high, figure
    assert found.row["lira_advantage"] == pytest.approx(2 * found.row["lira_balanced_accuracy"] - 1)
    again = audit(ensemble, attacks=["lira"], resamples=200)
    assert again.row == found.row


def test_levels_that_cannot_be_resolved_are_nan_and_said_once() -> None:
    found = audit(ensemble_of(simulate(range(32))), **FAST)  # 1,920 non-member scores
    assert found.row["lira_tpr_at_0.1pct"] >= 0
    assert np.isnan(found.row["lira_tpr_at_0.01pct"])
    assert np.isnan(found.row["confidence_tpr_at_0.01pct_high"])
    assert [n for n in found.notes if "0.01pct" in n] == [
        "tpr_at_0.01pct: 1920 non-member scores cannot resolve this level"
    ]


def test_every_attack_of_the_registry_has_its_columns_and_notes_say_what_is_missing() -> None:
    found = audit(ensemble_of(simulate(range(8), queries=1)), resamples=50)
    expected = {name for name, attack in ATTACKS.items() if attack.default and attack.queries == 1}
    assert {name.removeprefix("risk_") for name in found.examples if name.startswith("risk_")} == expected
    assert set(found.metrics["attack"]) == expected
    assert any(note.startswith("label_only: left out, it needs 2 queries") for note in found.notes)
    assert any(note.startswith("only 8 replicas") for note in found.notes)
    assert "confidence_precision" in found.row
    assert "lira_precision" not in found.row


def test_examples_always_or_never_in_are_left_out_and_counted() -> None:
    record = simulate(range(12), subsets=Subsets(scheme="fraction", fraction=0.5))
    record.members[:, 0], record.members[:, 1] = True, False
    found = audit(ensemble_of(record), **FAST)
    assert found.examples["memorization"].isna().sum() == 2
    assert found.examples.loc[[0, 1], "risk_lira"].isna().all()
    assert any("2 examples without an IN or an OUT replica" in note for note in found.notes)
    missing = np.isnan(lira(record.train.margin, record.members, variance="auto")).sum()
    assert missing >= 24
    assert any(note.startswith(f"lira: {missing} of 1440 scores") for note in found.notes)
    assert np.isfinite(found.row["lira_auc"])


def test_two_replicas_and_a_constant_model_are_audited_without_a_crash() -> None:
    two = audit(ensemble_of(simulate(range(2))), resamples=20)
    assert np.isnan(two.row["confidence_auc_low"])
    assert "lira: left out, no member or no non-member has a score" in two.notes
    record = simulate(range(8), classes=2)
    for side in (record.train, record.test):
        for values in vars(side).values():
            values[...] = 1
    constant = audit(ensemble_of(record), resamples=50)
    assert constant.row["lira_auc"] == constant.row["rmia_auc"] == 0.5
    assert constant.row["lira_tpr_at_1pct"] == 0


def test_few_replicas_prove_no_epsilon() -> None:
    """With four, leaving one out tells members from non-members without any leakage."""
    few = audit(ensemble_of(simulate(range(4), n=1000, leak=0)), resamples=20)
    assert not [n for n, v in few.row.items() if n.endswith("_epsilon") and not np.isnan(v)]
    assert any(note.startswith("only 4 replicas") and "epsilon" in note for note in few.notes)
    rare = simulate(range(32), leak=0, subsets=Subsets(scheme="fraction", fraction=0.7))
    assert np.isnan(audit(ensemble_of(rare), **FAST).row["lira_epsilon"])
    enough = audit(ensemble_of(simulate(range(32), n=1000, leak=0)), resamples=20)
    found = {n: v for n, v in enough.row.items() if n.endswith("_epsilon")}
    assert len(found) > 10
    assert set(found.values()) == {0.0}


def coin(_: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that is right with probability 3/4."""
    return members ^ (np.random.default_rng(0).random(members.shape) < 0.25)


def test_epsilon_is_at_the_delta_asked_for() -> None:
    """Kairouz et al. 2015, at SciPy's Clopper-Pearson ends of the attack's false and missed calls."""
    ensemble = ensemble_of(simulate(range(32), n=1000))
    members = ensemble.members
    wrong = coin(ensemble, members) ^ members
    false, missed = (
        binomtest(int(wrong[side].sum()), int(side.sum())).proportion_ci(0.95).high
        for side in (~members, members)
    )
    for delta in (0, 0.2, 0.6):
        least = max(np.log((1 - delta - false) / missed), np.log((1 - delta - missed) / false), 0)
        found = audit(ensemble, attacks=[f"{__name__}:coin"], resamples=20, delta=delta)
        assert found.row["coin_epsilon"] == pytest.approx(least)
    with pytest.raises(UserError, match=r"audit: delta 1\.0: expected at least 0 and below 1"):
        audit(ensemble, delta=1.0)


def test_without_leakage_the_advantage_is_not_above_chance() -> None:
    ensemble = ensemble_of(simulate(range(64), leak=0, classes=2))
    found = audit(ensemble, attacks=["loss", "confidence", "attack_p"], resamples=300)
    for name in ("loss", "confidence", "attack_p"):
        assert found.row[f"{name}_advantage_low"] <= 0 < found.row[f"{name}_advantage"]
        assert found.row[f"{name}_balanced_accuracy_low"] <= 0.5
    assert (found.metrics.set_index("metric").loc["advantage", "examples_low"] <= 0).all()


def test_one_class_is_enough() -> None:
    record = simulate(range(16))
    record.labels_train[:], record.labels_test[:] = 0, 0
    assert np.isfinite(audit(ensemble_of(record), **FAST).row["confidence_auc"])


def test_canaries_are_audited_alone() -> None:
    ensemble = ensemble_of(simulate(range(32), canaries=20))
    found = audit(ensemble, attacks=["lira"], resamples=100)
    scores = lira(ensemble.signal("train", "margin"), ensemble.members, variance="auto")
    assert found.row["lira_canary_auc"] == pytest.approx(auc(scores[:, :20], ensemble.members[:, :20]))
    assert found.examples["canary"].sum() == 20
    assert set(found.metrics["attack"]) == {"lira", "lira_canary"}
    unresolved = [note for note in found.notes if "cannot resolve" in note and "0.1pct" in note]
    assert unresolved == ["canary_tpr_at_0.1pct: 320 non-member scores cannot resolve this level"]
    assert "lira_canary_auc" not in audit(ensemble_of(simulate(range(8))), **FAST).row


def test_canaries_by_coin_are_all_that_is_audited(tmp_path: Path) -> None:
    subsets = Subsets(scheme="canaries")
    record = simulate(range(24), n=150, canaries=60, subsets=subsets, leak=3)
    ensemble = ensemble_of(record)
    found = audit(ensemble, attacks=["lira", "confidence", "attack_p"], resamples=50)
    margin, members = record.train.margin[:, 0], record.members
    assert members[:, 60:].all()
    scores = lira(margin[:, :60], members[:, :60], variance="pooled")
    assert found.row["lira_auc"] == pytest.approx(auc(scores, members[:, :60]), abs=1e-9)
    assert any(note.startswith("only the 60 canaries are drawn") for note in found.notes)
    assert found.examples["index"].tolist() == list(range(150))
    assert found.examples["label"].tolist() == record.labels_train.tolist()
    for column in ("memorization", "risk_lira", "risk_confidence"):
        assert found.examples[column][:60].notna().all()
        assert found.examples[column][60:].isna().all()
    assert found.examples["canary"].tolist() == [True] * 60 + [False] * 90
    right, made = canary_guesses(margin[:, :60], members[:, :60])
    assert made == 24 * 30
    assert found.row["one_run_epsilon"] == one_run_epsilon(right, made, 24 * 60)
    assert found.row["one_run_epsilon"] > 0.3
    one = audit(ensemble.restrict(ensemble.seeds[:1]), attacks=["attack_p", "lira"], resamples=10).row
    assert one["one_run_epsilon"] >= 0
    assert "lira_auc" not in one

    address = Address(content_id(record.recipe), record.context.context_id, 0, 23)
    write_record(Store(str(tmp_path)), address, record)
    table = audit_sweep(tmp_path, attacks=["lira"], resamples=20).recipes
    assert table["one_run_epsilon"].tolist() == [found.row["one_run_epsilon"]]


def test_thinned_roc_moves_no_point() -> None:
    rng = np.random.default_rng(0)
    members = rng.random(20_000) < 0.5
    for scores in (rng.normal(size=20_000) + members, np.round(rng.normal(size=20_000) + members)):
        curve = roc(scores, members)
        kept = visible(curve)
        moved = np.abs(np.interp(curve.fpr, curve.fpr[kept], curve.tpr[kept]) - curve.tpr)
        # Vertical steps: interpolation reads their upper end, and all of them are kept.
        top = np.append(np.diff(curve.fpr) > 0, True)
        assert moved[top].max() <= 1e-3 + 1e-9
        assert len(kept) < 1500


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


def test_importing_the_analysis_is_light() -> None:
    import subprocess
    import sys

    code = (
        "import analysis, sys; print([m for m in ('torch', 'ray', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def fails(_: Ensemble, __: np.ndarray) -> np.ndarray:
    """An attack that does not work."""
    raise IndexError("no such thing")


def no_number(_: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that finds nothing."""
    return np.full(members.shape, np.nan)


def too_short(_: Ensemble, members: np.ndarray) -> np.ndarray:
    """An attack that gives one score a replica."""
    return np.zeros(len(members))


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        ("fails", "it raised IndexError: no such thing"),
        ("no_number", "no member or no non-member has a score"),
        ("too_short", "attack 'too_short' returned float64 (32,); expected real scores (32, 120)"),
    ],
)
def test_an_attack_of_ones_own_that_does_not_work_is_left_out_by_name(attack: str, why: str) -> None:
    ensemble = ensemble_of(simulate(range(32)))
    found = audit(ensemble, attacks=["confidence", f"{__name__}:{attack}"], resamples=50)
    alone = audit(ensemble, attacks=["confidence"], resamples=50)
    assert f"{attack}: left out, {why}" in found.notes
    assert found.row == pytest.approx(alone.row, nan_ok=True)


def test_attacks_side_by_side_give_the_same_figures() -> None:
    ensemble = ensemble_of(simulate(range(16)))
    one, two = (audit(ensemble, resamples=50, threads=threads) for threads in (1, 3))
    assert list(one.row) == list(two.row)
    assert one.row == pytest.approx(two.row, rel=0, abs=0, nan_ok=True)
    assert one.notes == two.notes
    for name in ("metrics", "examples", "roc", "scores"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)


class Reads(dict):  # type: ignore[type-arg]
    """A record that notes what it is asked for."""

    asked: set[str]

    def __getitem__(self, name: str) -> np.ndarray:
        self.asked.add(name)
        return super().__getitem__(name)


def test_memorization_alone_reads_correctness_alone() -> None:
    whole = ensemble_of(simulate(range(32)))
    source = Reads(whole.blocks[0].source)  # type: ignore[call-overload]
    source.asked = set()
    lean = replace(whole, blocks=[Block(source, whole.blocks[0].rows)])
    found = audit(lean, attacks=[], resamples=50)
    assert {name for name in source.asked if name.startswith("train_")} == {"train_correct", "train_accuracy"}
    expected = audit(whole, attacks=["confidence"], resamples=50)
    for figure in ("memorization", "memorization_rate", "test_accuracy"):
        assert found.row[figure] == expected.row[figure]
        assert found.row[f"{figure}_high"] == expected.row[f"{figure}_high"]
