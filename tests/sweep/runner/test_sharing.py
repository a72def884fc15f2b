"""Real processes on a made-up GPU: networks that share it well, badly or not at all; a sweep that does."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep import SweepSpec, cluster, run
from sweep.cluster import Cluster
from sweep.runner import sharing
from sweep.runner import timing as speed
from sweep.runner.sharing import Sharing, share, side_by_side
from sweep.runner.timing import Speed
from sweep.runner.trainer import Trainer
from sweep.runner.workload import Workload
from sweep.spec.schema import Resources
from trainables import Recipe
from trainables.data.dataset import load_dataset
from trainables.engine.calibration import Calibration
from trainables.records import Context

FOUR = Resources(cpu=0.5, gpu="auto")  # on the two cores of the tests' Ray
Works = Callable[..., Workload]


@pytest.fixture
def work(ray_session: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Works:  # noqa: ARG001
    import ray

    monkeypatch.setattr(sharing, "SECONDS", (1.0, 4.0))
    data = ray.put(load_dataset({"name": "digits", "train_size": 160, "test_size": 50}))

    def of(name: str, **options: Any) -> Workload:
        model = {"name": f"tests.helpers.own_models:{name}", **options}
        context = Context(dataset={"name": "digits"}, fingerprint="", model=model)
        return Workload(Recipe(epochs=2, batch_size=16), data, context, "cpu", 1, None)

    return of


@pytest.fixture
def place(ray_session: None) -> Iterator[Any]:  # noqa: ARG001
    with sharing._one_gpu(FOUR, 4) as gpu:
        yield gpu


def test_trials_that_do_not_slow_one_another_share_as_many_as_there_are_cores_for(work: Works) -> None:
    said: list[str] = []
    alone, best = share(work("Waiting"), FOUR, Cluster(None), 4, fixed=True, say=said.append)
    assert (alone.trials, alone.stack, best.trials, best.stack) == (1, 4, 4, 4)
    assert alone.seconds == pytest.approx(0.1 / 4, rel=0.5)  # it waits so long for a pass of four
    assert 2.5 < best.gain(alone) < 4.5
    assert said == [
        "no more were tried: no node has cpu 0.5 for each on all of its GPUs",
        f"4 trials share a GPU, in stacks of 4: {best.gain(alone):.2f} times the replicas of one trial",
    ]


def test_trials_that_wait_for_one_another_gain_nothing(work: Works, place: Any, tmp_path: Path) -> None:
    queue = work("Queueing", device=str(tmp_path / "device"))
    alone, two = (side_by_side(queue, FOUR, place, trials, 4) for trials in (1, 2))
    assert two.gain(alone) == pytest.approx(1, rel=0.3)


def test_a_gpu_that_takes_one_process_is_not_shared_and_says_so(work: Works, tmp_path: Path) -> None:
    said: list[str] = []
    exclusive = work("Exclusive", device=str(tmp_path / "device"))
    alone, best = share(exclusive, FOUR, Cluster(None), 4, fixed=True, say=said.append)
    assert best == alone
    assert said == [
        "2 trials cannot share a GPU in stacks of 4: RuntimeError: CUDA error: all CUDA-capable devices are "
        "busy or unavailable",
        "1 trial has a GPU to itself, in stacks of 4",
    ]


def test_a_process_that_is_lost_is_not_taken_for_one_that_cannot_share(
    work: Works, place: Any, tmp_path: Path
) -> None:
    (tmp_path / "device").touch()
    lost = work("Lost", device=str(tmp_path / "device"))
    assert side_by_side(lost, FOUR, place, 2, 4).trials == 2


def test_trials_must_leave_one_another_memory(
    work: Works, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "LEFT", 1.0)
    with pytest.raises(MemoryError, match=r"^they leave \d+% of its memory, 100% is needed to evaluate$"):
        side_by_side(work("Waiting"), FOUR, place, 2, 4)


@pytest.mark.parametrize(
    ("nodes", "stack", "fixed", "seconds", "tried", "expected"),
    [
        (
            [(16, 2)],
            8,
            False,
            {(2, 4): 1.0, (2, 8): 1.2, (4, 2): 1.9, (4, 8): 1.7, (8, 1): 9, (8, 8): 9},
            7,
            (4, 8),
        ),
        ([(8, 1)], 8, False, {(2, 4): 1.92, (2, 8): 1.91}, 3, (1, 8)),  # a gain of less than 5 %
        ([(8, 1)], 8, False, {(2, 4): 1.92, (2, 8): 1.89, (4, 2): 4, (4, 8): 4}, 5, (2, 8)),
        ([(8, 1)], 8, True, {(2, 8): 1.2, (4, 8): 2.4}, 3, (2, 8)),
        ([(8, 1)], 1, False, {(2, 1): 1.0, (4, 1): 2.0}, 3, (2, 1)),
        ([(8, 1)], 8, False, {(2, 8): 1.5, (4, 8): 3}, 5, (2, 8)),  # what is not there does not fit
        ([(8, 1)], 8, False, {}, 3, (1, 8)),
        ([(3, 1)], 8, True, {(2, 8): 1.0}, 2, (2, 8)),  # cores for three
        ([(1, 1), (2, 1), (64, 0)], 8, True, {(2, 8): 1.0}, 2, (2, 8)),  # the second node's
        ([(1, 1), (64, 0)], 8, True, {}, 1, (1, 8)),
        ([(4, 4)], 8, True, {}, 1, (1, 8)),  # a core for each GPU
    ],
)
def test_more_trials_share_while_that_gains(
    monkeypatch: pytest.MonkeyPatch,
    nodes: list[tuple[int, int]],
    stack: int,
    fixed: bool,
    seconds: dict[tuple[int, int], float],
    tried: int,
    expected: tuple[int, int],
) -> None:
    asked = []

    def timed(_: Any, __: Any, ___: Any, trials: int, stack: int) -> Sharing:
        asked.append((trials, stack))
        if trials > 1 and (trials, stack) not in seconds:
            raise MemoryError("full")
        return Sharing(trials, stack, seconds.get((trials, stack), 1.0))

    monkeypatch.setattr(sharing, "side_by_side", timed)
    monkeypatch.setattr(sharing, "_one_gpu", lambda *_: nullcontext())
    monkeypatch.setattr(cluster, "_nodes", lambda: [{"CPU": cpu, "GPU": gpu} for cpu, gpu in nodes])
    said: list[str] = []
    one: Any = None  # what is trained matters not
    alone, best = share(one, Resources(gpu="auto"), Cluster(None), stack, fixed=fixed, say=said.append)
    assert ((best.trials, best.stack), len(asked)) == (expected, tried)
    assert alone == Sharing(1, stack, 1.0)
    failed = sum(pair not in seconds for pair in asked[1:])
    assert len(said) == 1 + failed + (tried == 2 or tried == 1)  # and for want of cores


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_shipped_studies_can_share_a_gpu_of_the_shipped_cluster(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    kinds = yaml.safe_load(Path("cluster.yaml").read_text())["available_node_types"].values()
    monkeypatch.setattr(cluster, "_nodes", lambda: [kind.get("resources", {}) for kind in kinds])
    resources = SweepSpec.load(name).resources
    assert resources.gpu == "auto"
    assert Cluster(None).shares(4, resources.shared_by(4).demand)


def test_a_sweep_measures_once_a_run_and_its_trials_have_the_share(
    ray_session: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    found, asked = [(Sharing(1, 8, 0.1), Sharing(2, 4, 0.15)), (Sharing(1, 4, 0.1), Sharing(4, 4, 0.2))], []

    def shared(*arguments: Any, **how: Any) -> tuple[Sharing, Sharing]:
        asked.append((arguments[3], how["fixed"]))
        return found[len(asked) - 1]

    monkeypatch.setattr(Trainer, "_device", "cpu")
    monkeypatch.setattr(speed, "share", shared)
    for seeds, slots, trials in ((4, 2, 2), (6, 2, 4)):
        settings = ["resources.gpu=auto", f"subsets.seeds={seeds}", "block=2"]
        assert run(SweepSpec.load("smoke", settings), tmp_path, address="auto", analyse=False).exit_code == 0
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert (manifest["stack"], manifest["trials_per_gpu"]) == (4, trials)
        assert manifest["hardware"]["slots"] == slots
    assert asked[0][1] is False
    assert asked[1] == (4, True), "the stack binds, for bits depend on it"


def test_a_trial_that_no_node_has_room_for_is_said_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def timed(*arguments: Any) -> Calibration:
        asked.append(arguments[1:])
        return Calibration(4, 1.0)

    monkeypatch.setattr(cluster, "_nodes", lambda: [{"CPU": 2.0}, {"CPU": 8.0}])
    monkeypatch.setattr(speed, "time_stack", timed)
    said: list[str] = []
    for demand in ("{cpu: 2}", "{cpu: 2, gpu: 1}"):
        spec = SweepSpec.load("smoke", [f"resources={demand}"])
        work: Any = SimpleNamespace(recipe=spec.recipes[0])
        found = speed.measure(spec, work, Cluster(None), None, lambda _: nullcontext(), said.append)
        assert found == Speed(4, None, 1 / 8)  # of smoke's 8 epochs
    assert asked == [({"cpu": 2.0}, None, 4), ({"cpu": 2.0, "gpu": 1.0}, None, 0)]
    assert said == ["waiting for a node that a trial fits on: cpu 2, gpu 1; none has that now"]


def test_timing_leaves_no_process_behind_that_would_keep_a_gpu(work: Works, tmp_path: Path) -> None:
    queue = work("Queueing", device=str(tmp_path / "device"))
    found = speed.time_stack(queue, {"cpu": 1, "gpu": 0.5}, 2, 1)
    assert found.stack == 2
    assert found.seconds_per_replica == pytest.approx(0.1 / 2 * 10, rel=0.5)  # two epochs of five steps
    process = int((tmp_path / "device").read_text())
    with suppress(ProcessLookupError):
        for _ in range(300):
            os.kill(process, 0)  # asks whether it lives
            time.sleep(0.1)
        pytest.fail("the process that timed lives on")
