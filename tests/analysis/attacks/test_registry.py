"""The registry of attacks: what all of them see, and those of a user's own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.attacks.registry import ATTACKS, run, select
from analysis.ensemble import ensemble_of
from analysis.metrics import auc
from tests.helpers.simulated_records import simulate
from trainables.errors import UserError
from trainables.records import Signals


def test_every_attack_sees_leakage_and_nothing_without() -> None:
    leaking = ensemble_of(simulate(range(48), n=200, m=150, leak=3, queries=2))
    silent = ensemble_of(simulate(range(48), n=200, m=150, leak=0, queries=2))
    for name, attack in ATTACKS.items():
        if name == "quantile":
            continue  # one regressor a target: its own test takes fewer
        floor = 0.55 if name in ("correctness", "label_only") else 0.7
        assert auc(run(name, attack, leaking), leaking.members) > floor, name
        assert auc(run(name, attack, silent), silent.members) == pytest.approx(0.5, abs=0.025), name


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_scores_go_with_their_examples_and_replicas(name: str) -> None:
    """In another order they are the same, but for rounding, whatever the attack."""
    record = simulate(range(12), queries=2)
    scores = run(name, ATTACKS[name], ensemble_of(record))
    rng = np.random.default_rng(0)
    order, others = rng.permutation(120), rng.permutation(90)
    shuffled = replace(
        record,
        members=record.members[:, order],
        labels_train=record.labels_train[order],
        labels_test=record.labels_test[others],
        train=Signals(*(values[..., order] for values in vars(record.train).values())),
        test=Signals(*(values[..., others] for values in vars(record.test).values())),
    )
    if name not in ("attack_r", "quantile"):  # draw by position from a fixed stream
        found = run(name, ATTACKS[name], ensemble_of(shuffled))
        np.testing.assert_allclose(found, scores[:, order], atol=1e-6)
    rows = (2 * rng.permutation(6)[:, None] + rng.permuted([[0, 1]] * 6, axis=1)).ravel()  # pairs stay pairs
    shuffled = replace(
        record,
        members=record.members[rows],
        train=Signals(*(values[rows] for values in vars(record.train).values())),
        test=Signals(*(values[rows] for values in vars(record.test).values())),
    )
    if name not in ("attack_r", "rmia_offline"):  # the latter tunes on the next pair of replicas
        found = run(name, ATTACKS[name], ensemble_of(shuffled))
        np.testing.assert_allclose(found, scores[rows], atol=1e-6)


def test_default_attacks_are_those_marked_so_and_names_are_checked() -> None:
    assert "lira" in select()
    assert "quantile" not in select()
    assert list(select(["rmia", "lira"])) == ["rmia", "lira"]
    assert list(select(["default", "quantile"])) == [*select(), "quantile"]
    with pytest.raises(UserError, match="attack 'lyra' is not known; did you mean 'lira'"):
        select(["lyra"])


def test_a_users_own_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_attacks.py").write_text(
        "def mine(signals, members):\n"
        "    return signals.signal('train', 'margin').mean(axis=1)\n"
        "def lira(signals, members):\n"
        "    return 0 * members\n"
        "def wrong(signals, members):\n"
        "    return members[0]\n"
        "constant = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ensemble = ensemble_of(simulate(range(4)))
    ((name, attack),) = select(["my_attacks:mine"]).items()
    assert name == "mine"
    np.testing.assert_allclose(run(name, attack, ensemble), ensemble.signal("train", "margin")[:, 0])
    ((name, attack),) = select(["my_attacks:wrong"]).items()
    with pytest.raises(UserError, match=r"attack 'wrong' returned bool \(120,\); expected .*\(4, 120\)"):
        run(name, attack, ensemble)
    with pytest.raises(UserError, match=r"attack 'my_attacks:lira': another is called 'lira', too"):
        select(["my_attacks:lira"])
    assert list(select(["my_attacks:mine", "my_attacks:mine", "lira"])) == ["mine", "lira"]
    with pytest.raises(UserError, match="expected a function"):
        select(["my_attacks:constant"])
    with pytest.raises(UserError, match="cannot be imported"):
        select(["my_attacks:absent"])
    sys.modules.pop("my_attacks", None)
