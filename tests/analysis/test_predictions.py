"""Bring your own: a file of predictions is audited like a sweep, and each thing wrong with it is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from analysis.metrics import auc
from analysis.predictions import _Given, audit_predictions, read_predictions
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
    as_large = given["logits"][..., ::-1].copy()
    changed = audit_predictions(save(tmp_path, logits=as_large), tmp_path / "out", resamples=100)
    assert len(changed.audited) == 1
    fresh = audit_predictions(path, tmp_path / "fresh", resamples=100)
    assert changed.recipes["lira_auc"][0] == fresh.recipes["lira_auc"][0] != row["lira_auc"]
    with pytest.raises(UserError, match="holds another sweep"):
        audit_predictions(save(tmp_path, labels=np.zeros(N, int)), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not a sweep directory: it holds files"):
        audit_predictions(path, tmp_path / "full")


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
    with pytest.raises(UserError, match=r"text\.npz: is no \.npz archive"):
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
    with pytest.raises(UserError, match=r"array\.npy: is no \.npz archive"):
        read_predictions(tmp_path / "array.npy")


def probabilities(**changes: Any) -> dict[str, Any]:
    given = arrays()
    p, test = (softmax(given[name], axis=-1) for name in ("logits", "test_logits"))
    return {"logits": None, "test_logits": None, "probabilities": p, "test_probabilities": test} | changes


def warned(path: Path) -> list[str]:
    audit_predictions(path, path.parent / "out", resamples=20)
    return list(json.loads((path.parent / "out/manifest.json").read_text())["data"].get("warnings", []))


@pytest.mark.parametrize("decimals", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rounded_probabilities_are_warned_of(tmp_path: Path, decimals: int, dtype: type) -> None:
    p = probabilities()["probabilities"].round(decimals).astype(dtype)
    p[..., 0] += (1 - p.sum(axis=-1)).round(decimals)
    given = _Given(save(tmp_path, **probabilities(probabilities=p.clip(0, 1))))
    given.outputs("")
    if dtype == np.float64 or decimals < 5:  # single precision has hardly more
        (warning,) = given.warnings
        assert f"rounded to {decimals} decimals" in warning


def test_the_audit_and_the_page_warn_of_certain_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from analysis.report.payload import left_out
    from analysis.results import Tables
    from sweep.cli import main

    p = probabilities()["probabilities"]
    p[:, :6] = np.eye(C)[p[:, :6].argmax(axis=-1)]
    path = save(tmp_path, **probabilities(probabilities=p))
    monkeypatch.setattr("sys.argv", ["flatleak", "audit", str(path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr().err
    assert "warning: 'probabilities' are exactly 0 and 1 in 10 % of all answers" in printed
    assert "come out too weak; give logits" in printed
    notes = left_out(Tables.of(tmp_path / "out"))
    assert notes[0]["note"].startswith("'probabilities' are exactly 0 and 1")


def test_full_precision_and_logits_are_not_warned_of(tmp_path: Path) -> None:
    assert warned(save(tmp_path, **probabilities())) == []
    single = {k: v.astype(np.float32) for k, v in probabilities().items() if v is not None}
    for changes in (probabilities() | single, {"logits": arrays()["logits"].round(2)}):
        given = _Given(save(tmp_path, **changes))
        given.outputs("")
        assert given.warnings == []


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (0, 2, 1), (1, 2, 0), (2, 1, 0)])
def test_swapped_axes_are_said_with_the_remedy(tmp_path: Path, order: tuple[int, ...]) -> None:
    logits = arrays()["logits"]
    swapped = logits.transpose(order)
    with pytest.raises(UserError, match=r"'logits' has shape .*, its axes in another order") as error:
        read_predictions(save(tmp_path, logits=swapped))
    remedy = re.search(r"logits\.transpose\((.*)\) would", str(error.value))
    assert remedy
    np.testing.assert_array_equal(swapped.transpose([int(i) for i in remedy[1].split(",")]), logits)


def test_swapped_members_and_test_outputs_are_said(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"'members' has shape \(60, 10\), its axes swapped; expected \(10, 60\)"
    ):
        read_predictions(save(tmp_path, members=arrays()["members"].T))
    with pytest.raises(UserError, match=r"'test_logits' has shape .*test_logits\.transpose"):
        read_predictions(save(tmp_path, test_logits=arrays()["test_logits"].swapaxes(0, 1)))


@pytest.mark.parametrize("name", ["x.csv", "x.npz", "x.npy"])
def test_files_of_another_kind_are_said_to_be_no_predictions(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sweep.cli import main

    (tmp_path / name).write_text("label,member\n1,0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["flatleak", "audit", name])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed == f"error: {name}: is no .npz archive; expected predictions as numpy.savez writes them\n"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
