"""What counts as a trial's own fault, and what the clock says, against counting by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray._private import state

from sweep.watch.tally import Tally, Watch
from trainables.block import Block
from trainables.records import Address
from trainables.trial import SaveRequests


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """One block of four replicas; actor ``a1`` runs on node a. The tests say which nodes live."""
    blocks = [Block({"optimizer": "sgd"}, Address("0" * 12, "0" * 12, 0, 3), "sgd")]
    made = Watch(Tally(blocks, {"0" * 12: 1.0}), give_up=lambda *_: None, requests=SaveRequests("run"))
    monkeypatch.setattr(state, "actors", lambda actor: {"Address": {"NodeID": actor[0]}})
    return made


def death(watch: Watch, actor: str) -> Any:
    handle = SimpleNamespace(_actor_id=SimpleNamespace(hex=lambda: actor))
    trial = SimpleNamespace(
        config={"block": 0}, temporary_state=SimpleNamespace(ray_actor=handle), max_failures=-1
    )
    watch.on_trial_start(trial=trial)
    watch.on_trial_recover(trial=trial)
    return trial


def alive(monkeypatch: pytest.MonkeyPatch, **nodes: bool) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": n, "Alive": lives} for n, lives in nodes.items()])


def test_a_trial_that_dies_on_living_nodes_is_to_blame(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    alive(monkeypatch, a=True, b=True)
    trials = [death(watch, f"{'ab'[i % 2]}{i}") for i in range(Watch.DEATHS)]
    assert [trial.max_failures for trial in trials] == [-1] * (Watch.DEATHS - 1) + [0]


def test_lost_nodes_are_not_though_ray_finds_them_lost_later(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = "abcdefghijklmnopqrst"
    for i, node in enumerate(nodes):
        alive(monkeypatch, **{n: n == node for n in nodes[: i + 1]})  # the latest seems to live on
        assert death(watch, f"{node}1").max_failures == -1
        assert watch.deaths(0) == 1


def test_a_block_that_had_not_begun_is_handed_out_again_until_it_is_to_blame(
    watch: Watch, tmp_path: Path
) -> None:
    log = tmp_path / "error.txt"
    log.write_text("Failure # 1 (at noon)\nthe actor is gone")
    given_up: list[tuple[Block, str]] = []
    watch._give_up = lambda *about: given_up.append(about)
    trial = SimpleNamespace(config={"block": 0}, max_failures=-1, error_file=str(log))
    for _ in range(Watch.DEATHS):
        watch.on_trial_error(trial=trial)
        assert (watch.take_lost(), watch.take_lost()) == ([0], [])
    assert not watch.tally.finished | watch.tally.failed
    watch.on_trial_error(trial=trial)
    assert watch.take_lost() == []
    assert watch.tally.finished == watch.tally.failed == {0}
    assert given_up == [(watch.tally.blocks[0], "the actor is gone")]


def test_an_attempt_that_had_not_begun_is_no_death_of_the_block(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive(monkeypatch, a=True)
    trial = death(watch, "a1")
    for _ in range(Watch.DEATHS):
        watch.on_trial_recover(trial=trial)
    assert (watch.died_on, watch.deaths(0), trial.max_failures) == ({0: ["a"]}, 1, -1)
    watch.on_trial_recover(trial=trial)
    assert trial.max_failures == 0


def test_a_run_that_stops_hands_nothing_out_again(watch: Watch) -> None:
    watch.on_trial_error(trial=SimpleNamespace(config={"block": 0}, max_failures=-1))
    watch.stop()
    assert watch.take_lost() == []


def test_what_an_earlier_run_trained_counts_for_no_rate(watch: Watch) -> None:
    tally = watch.tally
    tally.started -= 10

    def report(**result: float) -> None:
        watch.on_trial_result(trial=SimpleNamespace(config={"block": 0}), result=result)

    report(replicas=0.0)
    report(replicas=3.0, resumed=2.0)
    assert (tally.trained, sum(tally.replicas)) == (1.0, 3.0)
    assert tally.rate == pytest.approx(1 / 10, rel=0.01)
    assert tally.time_left == pytest.approx(10, rel=0.01)  # for one replica, as for the last one
    tally.replicas[0] = 0.0  # an attempt failed, the next goes on from what this run saved
    assert tally.trained == 0
    report(replicas=3.5, resumed=3.0)
    assert tally.trained == 1.5


def test_time_left_weighs_recipes_by_their_cost() -> None:
    blocks = [Block({}, Address(i * 12, "0" * 12, 0, 3), "sgd") for i in "ab"]
    tally = Tally(blocks, {"a" * 12: 1.0, "b" * 12: 3.0})
    assert tally.time_left is None
    tally.started -= 10
    tally.replicas[0] = 4.0
    assert tally.time_left == pytest.approx(10 / 4 * 12, rel=0.01)
    tally.failed.add(1)
    assert tally.time_left == 0
