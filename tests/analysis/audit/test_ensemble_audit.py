"""The audit of an ensemble: rows, intervals and what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from analysis import audit
from analysis.attacks.registry import ATTACKS, lira
from analysis.audit.sweep_audit import audit_sweep
from analysis.ensemble import Block, Ensemble, ensemble_of
from analysis.epsilon import canary_guesses, one_run_epsilon
from analysis.metrics import auc, tpr_at_fpr
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets
from trainables.errors import UserError
from trainables.records import Address, content_id, write_record
from trainables.storage import Store

FAST = {"attacks": ["lira", "confidence"], "resamples": 200}


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
