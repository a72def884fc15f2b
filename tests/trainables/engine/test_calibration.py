"""How many replicas to stack: what calibration may answer, what it may take of time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainables import Recipe, train_replicas
from trainables.engine import calibration
from trainables.engine.calibration import Pace, calibrate, compiling_pays, fastest_stack, timed_stack
from trainables.engine.runtime import Runtime
from trainables.engine.task import make_task

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MLP = {"name": "mlp", "hidden": [16]}


def dropping(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes), nn.Dropout(0.5))


def test_calibration_takes_one_of_its_stacks_and_one_replica_where_dropout_draws() -> None:
    found = fastest_stack(make_task(Recipe(epochs=400), SMALL, MLP))
    assert found.stack in (1, 2, 4, 8, 16, 32, 64)
    assert found.seconds_per_replica > 0
    assert fastest_stack(make_task(Recipe(epochs=2), SMALL, f"{__name__}:dropping")).stack == 1


def test_where_timing_does_not_pay_the_usual_stack_is_taken() -> None:
    few = Recipe(epochs=2)
    assert fastest_stack(make_task(few, SMALL, MLP), 16).stack == 16
    assert fastest_stack(make_task(few, SMALL, MLP), 100).stack == 32
    assert fastest_stack(make_task(few, SMALL, {"name": "cnn", "width": 2}), 16).stack == 1


class Clock:
    """Time that passes while stacks are built and trained: ``seconds[k]`` for a step of a stack of k."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.now, self.seconds, self.built = 0.0, seconds, []

    def perf_counter(self) -> float:
        return self.now

    def pace(self, _: object, k: int) -> Any:
        if k not in self.seconds:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.built.append(k)
        step = self.seconds[k]
        self.now += 2 * step

        def alone(run: float = 0.1) -> float:
            self.now += 3 * max(2 * step, run)
            return step

        return SimpleNamespace(step=step, alone=alone)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    def of(seconds: dict[int, float], megabytes: int = 0) -> Clock:
        clock = Clock(seconds)
        monkeypatch.setattr(calibration, "Pace", clock.pace)
        monkeypatch.setattr(calibration, "time", clock)
        used = lambda _: (1000, megabytes * max(clock.built, default=0))  # noqa: E731
        monkeypatch.setattr(calibration, "memory_of", used)
        return clock

    return of


FLAT = dict.fromkeys((1, 2, 4, 8, 16, 32, 64), 0.001)  # seconds of one step of a stack
LONG = Recipe(epochs=200_000, batch_size=16)  # of 5 steps


@pytest.mark.parametrize(
    ("seconds", "megabytes", "share", "expected", "timed_stacks"),
    [
        (FLAT, 0, 1, 64, 7),
        ({k: 0.001 * k for k in FLAT}, 0, 1, 1, 7),  # nothing gained
        ({k: 0.00096 * k if k > 1 else 0.001 for k in FLAT}, 0, 1, 1, 7),  # less than 5 %
        ({k: 0.00094 * k if k > 1 else 0.001 for k in FLAT}, 0, 1, 2, 7),
        ({**FLAT, 8: 0.02, 16: 0.04}, 0, 1, 4, 5),  # past the best
        ({**FLAT, 2: 0.003}, 0, 1, 64, 7),  # one that is slow does not end it
        ({1: 1.1, 2: 1.1, 4: 1.1}, 0, 1, 1, 1),  # no overhead to share where a step takes so long
        ({1: 0.001, 2: 0.001, 4: 0.001}, 0, 1, 4, 3),  # 8 do not fit
        (FLAT, 70, 1, 4, 3),  # of 1,000 MB a stack may take half, and the next one twice as much
        (FLAT, 70, 0.25, 1, 1),
    ],
)
def test_the_stack_is_the_fastest_that_fits(
    timed: Callable[..., Clock],
    seconds: dict[int, float],
    megabytes: int,
    share: float,
    expected: int,
    timed_stacks: int,
) -> None:
    clock = timed(seconds, megabytes)
    found = fastest_stack(make_task(LONG, SMALL, MLP), 64, share)
    assert found.stack == expected
    assert found.seconds_per_replica == pytest.approx(seconds[expected] / expected * 1_000_000)
    assert len(set(clock.built)) == timed_stacks


@pytest.mark.parametrize("step", [0.0002, 0.002, 0.05, 0.4])
@pytest.mark.parametrize("epochs", [1, 10, 100, 3000])
@pytest.mark.parametrize("replicas", [1, 16, 500])
def test_choosing_takes_a_twentieth_of_the_training_and_ten_seconds_at_most(
    timed: Callable[..., Clock], step: float, epochs: int, replicas: int
) -> None:
    """Beside two stacks that must be built: one to see how long a step takes, and the one that is taken."""
    clock = timed({k: step * (0.5 + k / 2) for k in FLAT})
    task = make_task(Recipe(epochs=epochs, batch_size=16), SMALL, MLP)
    fastest_stack(task, replicas)
    training = step * task.steps * replicas
    must = 2 * step + 8 * step * (0.5 + max(clock.built) / 2)
    assert clock.now <= min(10.0, 0.05 * training) + must


def test_a_given_stack_that_does_not_fit_is_halved_until_it_does(timed: Callable[..., Clock]) -> None:
    timed(dict.fromkeys(range(1, 6), 1.0))
    task = make_task(Recipe(epochs=2, batch_size=16), SMALL, MLP)
    assert timed_stack(task, 5) == timed_stack(task, 9)
    assert timed_stack(task, 5).stack == 5
    assert timed_stack(task, 12).stack == 3


def test_only_what_is_left_open_is_chosen(timed: Callable[..., Clock]) -> None:
    clock = timed(FLAT)
    task = make_task(LONG, SMALL, MLP, runtime=Runtime(stack=4, compile="default"))
    assert (calibrate(task, 64).stack, calibrate(task, 64).compile) == (4, "default")
    assert set(clock.built) == {4}
    assert calibrate(replace(task, runtime=Runtime()), 64).compile is None  # on a CPU nothing is compiled


def test_compiling_must_pay() -> None:
    """About 30 s a batch shape for a fifth of the training time, on a GPU alone."""
    model = {"name": "cnn", "width": 2}
    task = make_task(Recipe(batch_size=16), SMALL, model)
    assert not compiling_pays(task, 1e6)
    _ = task.network  # on the processor, where there is no GPU to put it on
    task.__dict__["device"] = torch.device("cuda")
    assert compiling_pays(task, 200.0)
    assert not compiling_pays(task, 100.0)
    private = make_task(Recipe(optimizer="dpsgd", clip=1, noise_multiplier=1), SMALL, model)
    _ = private.network
    private.__dict__["device"] = torch.device("cuda")
    assert not compiling_pays(private, 1e6)


def test_one_call_measures_once_and_few_replicas_do_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    pace = Pace.__init__

    def counted(self: Pace, task: Any, k: int) -> None:
        built.append(k)
        pace(self, task, k)

    monkeypatch.setattr(Pace, "__init__", counted)
    assert len(train_replicas(Recipe(epochs=2), SMALL, MLP, range(4)).seeds) == 4
    assert built == [1, 4]


class Trained:
    """A stack that trains by a clock: a step takes ``seconds(now)``, drawing an epoch ``drawing``."""

    def __init__(self, seconds: Callable[[float], float], steps: int, drawing: float) -> None:
        self.now, self.seconds, self.drawing = 0.0, seconds, drawing
        self.epoch, self.steps = 0, steps

    def perf_counter(self) -> float:
        return self.now

    def load_epoch(self) -> None:
        self.now += self.drawing

    def train_epoch(self, steps: int) -> None:
        self.load_epoch()
        for _ in range(steps):
            self.now += self.seconds(self.now)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pace]]:
    def of(seconds: Callable[[float], float], steps: int = 30, drawing: float = 0.0) -> Pace:
        stack = Trained(seconds, steps, drawing)
        monkeypatch.setattr(calibration, "time", stack)
        monkeypatch.setattr(calibration, "make_stack", lambda *_: stack)
        return Pace(SimpleNamespace(), 4)  # type: ignore[arg-type]

    return of  # type: ignore[return-value]


def test_the_fastest_of_three_runs_counts(paced: Callable[..., Pace]) -> None:
    slow_moment = paced(lambda now: 0.02 if 0.05 < now < 0.1 else 0.01)
    assert slow_moment.alone() == pytest.approx(0.01)
    assert paced(lambda _: 2.0).alone() == 2.0  # a step so slow is not repeated


def test_the_first_step_of_a_process_loads_much_and_does_not_count(paced: Callable[..., Pace]) -> None:
    cold = paced(lambda now: 5.0 if now < 1 else 0.01)
    assert cold.step == pytest.approx(0.01)
    assert cold.alone() == pytest.approx(0.01)


@pytest.mark.parametrize("steps", [5, 400])
def test_an_epoch_is_drawn_once_for_all_its_steps(paced: Callable[..., Pace], steps: int) -> None:
    whole = paced(lambda _: 0.01, steps, drawing=0.05)
    assert whole.alone() == pytest.approx(0.01 + 0.05 / steps)
