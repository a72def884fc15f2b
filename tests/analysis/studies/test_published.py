from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.studies.published import agreement, histogram_beside, published_scores
from tests.helpers.synthetic import make_ensemble
from trainables.data.dataset import load_dataset
from trainables.data.subsets import Subsets, draw_members
from trainables.errors import UserError


def ensemble(replicas: int = 64, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = np.random.default_rng(0).beta(0.5, 0.5, n)
    members = draw_members(Subsets(), list(range(replicas)), n)
    correct = np.random.default_rng(1).random(members.shape) < np.where(members, 1.0, 1 - truth)
    return correct, members, truth


def test_agreement_grows_with_replicas_up_to_its_ceiling() -> None:
    correct, members, truth = ensemble()
    table = agreement(correct, members, -truth, clusters=np.arange(64) // 2)
    assert table["replicas"].tolist() == [4, 8, 16, 32, 64]
    assert table["correlation"].is_monotonic_decreasing
    assert (table["low"] <= table["correlation"]).all()
    assert (table["correlation"] <= table["high"]).all()
    few = table.iloc[0]
    assert abs(few["correlation"]) == pytest.approx(few["ceiling"], abs=0.05)
    assert np.isnan(table["ceiling"].iloc[-1])


def test_examples_without_a_published_score_are_left_out() -> None:
    correct, members, truth = ensemble()
    truth[::2] = np.nan
    whole = agreement(correct, members, truth).iloc[-1]
    kept = agreement(correct[:, 1::2], members[:, 1::2], truth[1::2]).iloc[-1]
    assert whole["correlation"] == pytest.approx(kept["correlation"])


def test_histogram_counts_negative_memorization_in_the_first_bin() -> None:
    table = histogram_beside([-0.2, 0.1, 0.6, 1.0, np.nan], [30, 10], [0, 0.5, 1])
    assert table["here"].tolist() == [0.5, 0.5]
    assert table["published"].tolist() == [0.75, 0.25]


def test_published_archives_are_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", cscore=np.array([0.5, 1.0]))
    assert published_scores(tmp_path / "c.npz")[0].tolist() == [0.5, 1.0]
    np.savez(tmp_path / "fz.npz", tr_idx=[2], mem=[0.7], mem_cifar100_counts=[1, 2])
    np.testing.assert_array_equal(published_scores(tmp_path / "fz.npz")[0], [np.nan, np.nan, 0.7])
    np.savez(tmp_path / "other.npz", scores=np.zeros(2))
    with pytest.raises(UserError, match="expected 'cscore'"):
        published_scores(tmp_path / "other.npz")


def study(folder: Path, dataset: dict, scores: np.ndarray, labels: np.ndarray) -> dict:
    """Memorization that is exactly ``scores`` from the sweep's ensemble, against the whole archive."""
    from analysis.studies import published

    data = load_dataset({"name": "npz", "path": str(folder / "data.npz"), **dataset})
    ensemble = make_ensemble({"optimizer": "sgd"}, 8, len(data.y_train), 1)
    correct = np.where(ensemble.members, 1.0, 1 - data.x_train[:, 0])
    ensemble = make_ensemble({"optimizer": "sgd"}, 8, len(data.y_train), 1, train_correct=correct)
    ensemble = replace(
        ensemble,
        context=ensemble.context.model_copy(update={"dataset": dataset}),
        labels_train=data.y_train,
    )
    np.savez(folder / "scores.npz", cscore=scores, train_labels=labels)
    return published.study_of(ensemble, folder / "scores.npz")


def test_a_study_finds_the_examples_that_the_sweep_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random(200), rng.integers(0, 5, 200)
    x = scores[:, None].astype(np.float32)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=labels, x_test=x[:9], y_test=labels[:9])
    table = study(tmp_path, {"train_size": 50, "seed": 3}, scores, labels)["agreement"]
    assert table["correlation"].iloc[-1] == pytest.approx(1)
    with pytest.raises(UserError, match="labels are not those"):
        study(tmp_path, {"train_size": 50, "seed": 3}, scores, 4 - labels)
    with pytest.raises(UserError, match="train_size: 50 is more than the 0"):
        study(tmp_path, {"train_size": 50}, scores[:0], labels)


def test_the_command_leaves_its_tables_with_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from analysis.studies import published

    table = pd.DataFrame({"replicas": [4], "correlation": [-0.5]})
    monkeypatch.setattr(published, "published_study", lambda *_: {"agreement": table})
    published.main(str(tmp_path), "a/first.npz", "second.npz")
    left = pd.read_parquet(tmp_path / "results/published_agreement.parquet")
    expected = pd.concat([table.assign(scores=name) for name in ("first", "second")], ignore_index=True)
    pd.testing.assert_frame_equal(left, expected)
    assert "-0.500" in capsys.readouterr().out


def test_two_published_scores_agree_with_each_other(shared_data: Path) -> None:
    pairs, _ = published_scores(shared_data / "feldman_zhang_cifar100.npz")
    consistency, _ = published_scores(shared_data / "cifar100_jpeg90.npz")
    known = np.isfinite(pairs)
    assert scipy.stats.spearmanr(pairs[known], consistency[known]).statistic < -0.4
