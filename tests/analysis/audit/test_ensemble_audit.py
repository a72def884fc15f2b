"""The audit of an ensemble: rows, intervals and what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import audit
from analysis.attacks.registry import ATTACKS, lira
from analysis.audit.sweep_audit import audit_sweep
from analysis.ensemble import Block, ensemble_of
from analysis.epsilon import canary_guesses, one_run_epsilon
from analysis.metrics import auc, tpr_at_fpr
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets
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
