"""An audit in the making: what goes in comes out under its name, whoever found it."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.audit.ledger import FEW, Ledger
from analysis.audit.outcome import Options
from analysis.ensemble import ensemble_of
from tests.helpers.simulated_records import simulate
from trainables.data.subsets import Subsets

OPTIONS = Options(resamples=4000, confidence=0.9)


def ledger(replicas: int = 40, **options: object) -> Ledger:
    return Ledger(ensemble_of(simulate(range(replicas), **options)), OPTIONS)  # type: ignore[arg-type]


def test_a_figure_has_its_estimate_its_draws_and_the_ends_of_their_interval() -> None:
    made = ledger()
    draws = np.random.default_rng(0).normal(0.7, 0.05, 4000)
    lower = draws - 1
    made.figure("one", 0.7, draws)
    made.figure("other", 0.7, draws, lower)
    found = made.finish()
    assert found.row["one"] == 0.7
    assert found.row["one_low"] < np.quantile(draws, 0.06) < np.quantile(draws, 0.94) < found.row["one_high"]
    assert found.row["other_high"] == found.row["one_high"]
    assert found.row["other_low"] == pytest.approx(found.row["one_low"] - 1)
    assert found.draws["one"] is draws


def test_a_branch_is_empty_and_joining_adds_to_what_is_there_notes_once() -> None:
    made = ledger()
    before = dict(made.row)
    made.note("shared")
    parts = [made.branch(), made.branch()]
    for k, part in enumerate(parts):
        assert part.row == {}
        part.figure(f"figure {k}", k, np.full(4000, float(k)))
        part.metrics.append({"attack": str(k)})
        part.curves.append({"attack": str(k), "fpr": np.array([0.0, 1.0])})
        part.columns[f"risk_{k}"] = np.zeros(120)
        part.note("shared")
        part.note(f"own {k}")
    assert made.row == before
    for part in parts:
        made.join(part)
    found = made.finish()
    assert {"figure 0", "figure 1", *before} <= found.row.keys()
    assert found.metrics["attack"].tolist() == ["0", "1"]
    assert found.roc["attack"].tolist() == ["0", "0", "1", "1"]
    assert found.scores.empty
    assert {"index", "label", "risk_0", "risk_1"} == set(found.examples)
    assert found.notes == ["shared", "own 0", "own 1"]


@pytest.mark.parametrize(("replicas", "few"), [(2 * FEW - 2, True), (2 * FEW, False)])
def test_few_replicas_on_a_side_are_noted(replicas: int, few: bool) -> None:
    made = ledger(replicas)
    assert made.few is few
    assert any(f"only {replicas} replicas" in note for note in made.notes) is few


def test_one_draw_of_the_subsets_has_no_interval_and_says_so() -> None:
    made = ledger(2)
    made.figure("one", 0.7, np.random.default_rng(0).normal(size=4000))
    assert np.isnan([made.row["one_low"], made.row["one_high"]]).all()
    assert made.notes[0] == "no intervals: they need at least two independent draws of the subsets"


def test_of_canaries_by_coin_only_these_have_figures_and_all_have_a_row() -> None:
    made = ledger(40, canaries=12, subsets=Subsets(scheme="canaries"))
    assert made.by_coin
    assert made.members.shape == (40, 12)
    made.columns["risk"] = np.arange(12.0)
    examples = made.finish().examples
    assert examples["index"].tolist() == list(range(120))
    assert examples["risk"].notna().tolist() == examples["canary"].tolist() == [True] * 12 + [False] * 108
    np.testing.assert_array_equal(examples["label"], made.whole.labels_train)
