"""Bring your own: a file of predictions is audited like a sweep, and each thing wrong with it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from analysis.metrics import auc
from analysis.predictions import audit_predictions, read_predictions
from trainables.data.subsets import Subsets, draw_members
from trainables.errors import UserError
from trainables.signals import scaled_logit

R, N, M, C = 10, 60, 30, 3


def arrays(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    members = draw_members(Subsets(), range(R), N)
    labels, test_labels = rng.integers(0, C, N), rng.integers(0, C, M)
    logits = rng.normal(size=(R, N, C))
    logits[:, np.arange(N), labels] += 1 + 3 * members
    found = {
        "logits": logits,
        "labels": labels,
        "members": members,
        "test_logits": rng.normal(size=(R, M, C)),
        "test_labels": test_labels,
    }
    return {name: value for name, value in (found | changes).items() if value is not None}


def save(folder: Path, **changes: Any) -> Path:
    path = folder / "predictions.npz"
    np.savez(path, **arrays(**changes))
    return path


def test_the_whole_audit_of_a_file(tmp_path: Path) -> None:
    path = save(tmp_path)
    results = audit_predictions(path, tmp_path / "out", resamples=100)
    row = results.recipes.iloc[0]
    assert row["lira_auc"] > 0.8
    assert row["replicas"] == R
    assert pd.read_parquet(tmp_path / "out" / "results" / "recipes.parquet")["rmia_auc"].notna().all()
    given = arrays()
    assert row["test_accuracy"] == pytest.approx(
        (given["test_logits"].argmax(axis=-1) == given["test_labels"]).mean()
    )
    again = audit_predictions(path, tmp_path / "out", resamples=100)
    assert again.recipes["lira_auc"][0] == row["lira_auc"]
    with pytest.raises(UserError, match="holds another sweep"):
        audit_predictions(save(tmp_path, labels=np.zeros(N, int)), tmp_path / "out")


def test_without_test_examples_population_attacks_are_left_out(tmp_path: Path) -> None:
    path = save(tmp_path, test_logits=None, test_labels=None)
    results = audit_predictions(path, tmp_path / "out", resamples=50)
    assert "lira_auc" in results.recipes
    assert "rmia_auc" not in results.recipes
    assert results.recipes["test_accuracy"].isna().all()
    ((_, notes),) = results.notes["notes"].items()
    assert "rmia: left out, it needs test examples as a population" in notes


def test_logits_and_probabilities_mean_the_same(tmp_path: Path) -> None:
    given = arrays()
    record = read_predictions(save(tmp_path))
    np.testing.assert_allclose(
        record.train.margin[:, 0], scaled_logit(given["logits"], given["labels"]), rtol=1e-6
    )
    np.testing.assert_array_equal(record.members, given["members"])
    assert record.context.subsets.scheme == "half"
    probabilities = softmax(given["logits"], axis=-1)
    other = read_predictions(
        save(
            tmp_path,
            logits=None,
            probabilities=probabilities,
            test_logits=None,
            test_probabilities=softmax(given["test_logits"], axis=-1),
        )
    )
    np.testing.assert_allclose(other.train.margin, record.train.margin, rtol=1e-4, atol=1e-5)


def test_queries_and_certain_probabilities(tmp_path: Path) -> None:
    given = arrays()
    certain = np.eye(C, dtype=np.float16)[np.broadcast_to(given["labels"], (R, 2, N))]
    record = read_predictions(
        save(tmp_path, logits=None, probabilities=certain, test_logits=None, test_labels=None)
    )
    assert record.context.queries == 2
    assert np.isfinite(record.train.margin).all()
    assert record.train.correct.all()


def test_subsets_that_are_not_complements_are_independent(tmp_path: Path) -> None:
    members = np.random.default_rng(0).random((R, N)) < 0.3
    record = read_predictions(save(tmp_path, members=members.astype(np.uint8)))
    assert record.context.subsets.scheme == "fraction"
    assert auc(record.train.margin[:, 0], record.members) != 0.5


def bent(name: str, index: tuple[int, ...], value: float) -> dict[str, Any]:
    changed = np.array(arrays()[name])
    changed[index] = value
    return {name: changed}


def probabilities(scale: float = 1.0, **changes: Any) -> dict[str, Any]:
    p = softmax(arrays()["logits"], axis=-1)
    p[4, 7] *= scale
    return {"logits": None, "probabilities": p, "test_logits": None, "test_labels": None} | changes


def test_rounding_beyond_0_and_1_is_taken_for_them(tmp_path: Path) -> None:
    p = np.full((R, N, C), 0.0)
    p[..., 0] = 1
    rounded = p + np.array([1e-7, -1e-7, 0])
    found, exact = (
        read_predictions(save(tmp_path, logits=None, probabilities=values)) for values in (rounded, p)
    )
    np.testing.assert_array_equal(found.train.log_p_true, exact.train.log_p_true)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": None}, "'logits' and 'probabilities' are both missing"),
        ({"probabilities": np.ones((R, N, C)) / C}, "are both there; expected one of them"),
        ({"labels": None}, "'labels' is missing; expected integers"),
        ({"members": None}, r"'members' is missing; expected bool \(10, 60\)"),
        ({"lables": np.zeros(N, int)}, "array 'lables' is not known; did you mean 'labels'"),
        ({"logits": np.zeros((R, N))}, r"'logits' is float64 \(10, 60\); expected floats \[R, n, C\]"),
        ({"logits": np.zeros((R, N, C), int)}, "'logits' is int64"),
        ({"logits": np.zeros((1, N, C))}, "at least 2 models"),
        (bent("logits", (2, 3, 1), np.nan), r"'logits' holds nan at \[2, 0, 3, 1\]; expected finite"),
        (bent("test_logits", (0, 1, 2), np.inf), "'test_logits' holds inf"),
        (probabilities(0.5), r"'probabilities' sums to 0.5 at \[4, 0, 7\]; expected 1"),
        (probabilities(-1), "expected probabilities from 0 to 1"),
        (bent("labels", (5,), C), r"'labels' holds 3 at \[5\]; expected classes 0 to 2"),
        (bent("labels", (5,), -1), r"'labels' holds -1 at \[5\]"),
        ({"labels": np.zeros(N)}, r"'labels' is float64 \(60,\)"),
        ({"labels": np.zeros(N + 1, int)}, r"'labels' is int64 \(61,\); expected integers \(60,\)"),
        ({"members": np.ones((R, N - 1), bool)}, r"'members' is bool \(10, 59\)"),
        ({"members": np.full((R, N), 2)}, r"'members' holds 2 at \[0, 0\]; expected bool or 0/1"),
        ({"members": np.full((R, N), "a")}, r"'members' is <U1 \(10, 60\); expected bool or 0/1"),
        ({"members": np.full((R, N), np.nan)}, r"'members' holds nan at \[0, 0\]"),
        ({"members": np.tile(np.arange(N) < 9, (R, 1))}, "'members' is the same for every model; expected"),
        (bent("members", (6,), 0), "'members' gives model 6 no members"),
        (bent("members", (6,), 1), "'members' gives model 6 no non-members"),
        ({"test_labels": None}, "'test_labels' is missing"),
        ({"test_logits": None}, "'test_logits' and 'test_probabilities' are both missing"),
        ({"test_logits": np.zeros((R - 1, M, C))}, r"'test_logits' has shape \(9, 1, 30, 3\); expected"),
        (bent("test_labels", (0,), 7), r"'test_labels' holds 7 at \[0\]"),
    ],
)
def test_each_thing_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = save(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as error:
        read_predictions(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_predictions(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(UserError, match=r"text\.npz: cannot be read"):
        read_predictions(tmp_path / "text.npz")
    np.savez_compressed(tmp_path / "bent.npz", **arrays())
    whole = bytearray((tmp_path / "bent.npz").read_bytes())
    for start in (60, 200, 1000):  # a header, an array's head, its values
        damaged = whole.copy()
        damaged[start : start + 60] = bytes(b ^ 0xFF for b in whole[start : start + 60])
        (tmp_path / "bent.npz").write_bytes(damaged)
        with pytest.raises(UserError, match=r"bent\.npz: cannot be read"):
            read_predictions(tmp_path / "bent.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"array\.npy: cannot be read"):
        read_predictions(tmp_path / "array.npy")
