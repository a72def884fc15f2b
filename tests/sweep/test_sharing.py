"""Real processes on a made-up GPU: networks that share it well, badly or not at all; a sweep asks once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep import SweepSpec, run, sharing, speed
from sweep.cluster import Cluster
from sweep.sharing import Sharing, share, side_by_side
from sweep.spec import Resources
from sweep.speed import Workload
from sweep.trainer import Trainer
from trainables import Recipe
from trainables.datasets import load_dataset

FOUR = Resources(cpu=0.5, gpu="auto")  # on the two cores of the tests' Ray


@pytest.fixture
def workload(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Workload]:  # noqa: ARG001
    import ray

    monkeypatch.setattr(sharing, "SECONDS", 1.0)
    monkeypatch.setattr(sharing, "STEPS", 8)
    data = ray.put(load_dataset({"name": "digits", "train_size": 160, "test_size": 50}))

    def of(model: str) -> Workload:
        named = {"name": f"tests.sweep.own_models:{model}"}
        return Workload(Recipe(epochs=2, batch_size=16), data, named, "cpu", 1, None)

    return of


def test_trials_that_do_not_slow_one_another_share_as_many_as_there_are_cores_for(
    workload: Callable[[str], Workload],
) -> None:
    said: list[str] = []
    alone, best = share(workload("Waiting"), FOUR, Cluster(None), 4, fixed=True, say=said.append)
    assert (alone.trials, alone.stack, best.trials, best.stack) == (1, 4, 4, 4)
    assert alone.seconds == pytest.approx(0.02 / 4, rel=0.5)  # it waits so long for a pass of four
    assert best.gain(alone) == pytest.approx(4, rel=0.3)
    gained = f"{best.gain(alone):.2f} times the replicas of one trial"
    assert said == [f"4 trials share a GPU, in stacks of 4: {gained}"]


def test_trials_that_wait_for_one_another_gain_nothing(workload: Callable[[str], Workload]) -> None:
    alone, two = (side_by_side(workload("Queueing"), FOUR, trials, 4) for trials in (1, 2))
    assert two.gain(alone) == pytest.approx(1, rel=0.3)


def test_a_gpu_that_takes_one_process_is_not_shared_and_says_so(workload: Callable[[str], Workload]) -> None:
    said: list[str] = []
    alone, best = share(workload("Exclusive"), FOUR, Cluster(None), 4, fixed=True, say=said.append)
    assert best == alone
    assert said == [
        "2 trials cannot share a GPU in stacks of 4: RuntimeError: CUDA error: all CUDA-capable devices are "
        "busy or unavailable",
        "1 trial has a GPU to itself, in stacks of 4",
    ]


@pytest.mark.parametrize(
    ("slots", "stack", "fixed", "seconds", "tried", "expected"),
    [
        (8, 8, False, {(2, 4): 1.0, (2, 8): 1.2, (4, 2): 1.9, (4, 8): 1.7, (8, 1): 9, (8, 8): 9}, 7, (4, 8)),
        (8, 8, False, {(2, 4): 1.92, (2, 8): 1.91}, 3, (1, 8)),  # a gain of less than 5 %
        (8, 8, False, {(2, 4): 1.92, (2, 8): 1.89, (4, 2): 4, (4, 8): 4}, 5, (2, 8)),
        (8, 8, True, {(2, 8): 1.2, (4, 8): 2.4}, 3, (2, 8)),
        (8, 1, False, {(2, 1): 1.0, (4, 1): 2.0}, 3, (2, 1)),
        (8, 8, False, {(2, 8): 1.5, (4, 8): 3}, 5, (2, 8)),  # what is not there does not fit
        (8, 8, False, {}, 3, (1, 8)),
        (3, 8, True, {(2, 8): 1.0}, 2, (2, 8)),  # cores for three
        (1, 8, True, {}, 1, (1, 8)),
    ],
)
def test_more_trials_share_while_that_gains(
    monkeypatch: pytest.MonkeyPatch,
    slots: int,
    stack: int,
    fixed: bool,
    seconds: dict[tuple[int, int], float],
    tried: int,
    expected: tuple[int, int],
) -> None:
    asked = []

    def timed(_: Any, __: Any, trials: int, stack: int) -> Sharing:
        asked.append((trials, stack))
        if trials > 1 and (trials, stack) not in seconds:
            raise MemoryError("full")
        return Sharing(trials, stack, seconds.get((trials, stack), 1.0))

    monkeypatch.setattr(sharing, "side_by_side", timed)
    cluster: Any = SimpleNamespace(slots=lambda demand: min(slots, round(1 / demand["gpu"])))
    said: list[str] = []
    alone, best = share(None, FOUR, cluster, stack, fixed=fixed, say=said.append)  # type: ignore[arg-type]
    assert ((best.trials, best.stack), len(asked)) == (expected, tried)
    assert alone == Sharing(1, stack, 1.0)
    assert len(said) == 1 + sum(pair not in seconds for pair in asked[1:])


def test_trials_must_leave_one_another_memory(
    workload: Callable[[str], Workload], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "LEFT", 1.0)
    with pytest.raises(MemoryError, match=r"^they leave \d+% of its memory, 100% is needed to evaluate$"):
        side_by_side(workload("Waiting"), FOUR, 2, 4)


def test_a_sweep_measures_once_and_its_trials_have_the_share(
    ray_session: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(Trainer, "_device", "cpu")
    alone, best = Sharing(1, 8, 0.1), Sharing(2, 4, 0.15)
    monkeypatch.setattr(speed, "share", lambda *_, **__: (alone, best))
    spec = SweepSpec.load("smoke", ["resources.gpu=auto", "subsets.seeds=4", "block=2"])
    assert run(spec, tmp_path, address="auto", analyse=False).trained.trained == 12
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["stack"], manifest["trials_per_gpu"], manifest["hardware"]["slots"]) == (4, 2, 2)
    monkeypatch.undo()
    monkeypatch.setattr(Trainer, "_device", "cpu")
    monkeypatch.delattr(speed, "time_stacks")
    more = SweepSpec.load("smoke", ["resources.gpu=auto", "subsets.seeds=6", "block=2"])
    assert run(more, tmp_path, address="auto", analyse=False).trained.trained == 6
    again = json.loads((tmp_path / "manifest.json").read_text())
    assert [again[key] for key in ("stack", "trials_per_gpu", "seconds_per_pass")] == [
        manifest[key] for key in ("stack", "trials_per_gpu", "seconds_per_pass")
    ]
