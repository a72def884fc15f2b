"""The pace of a stack, against a clock and a device that are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from trainables.engine import timing as pace
from trainables.engine.timing import Pace


class Clock:
    """Time that passes while the stack trains, ``seconds(now)`` for a step that begins now, or draws."""

    def __init__(self, seconds: Callable[[float], float], drawing: float) -> None:
        self.now, self.seconds, self.drawing = 0.0, seconds, drawing

    def perf_counter(self) -> float:
        return self.now

    def batches(self) -> Iterator[None]:
        self.now += self.drawing
        yield

    def train(self, steps: int) -> None:
        next(self.batches())
        for _ in range(steps):
            self.now += self.seconds(self.now)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pace]:
    def of(seconds: Callable[[float], float], steps: int = 30, drawing: float = 0.0) -> Pace:
        clock = Clock(seconds, drawing)
        stack = SimpleNamespace(
            epoch=0, sampler=SimpleNamespace(steps=steps), train_epoch=clock.train, batches=clock.batches
        )
        monkeypatch.setattr(pace, "time", clock)
        monkeypatch.setattr(pace, "Stack", lambda *_: stack)
        return Pace(SimpleNamespace(), 4)  # type: ignore[arg-type]

    return of


def test_alone_the_fastest_of_three_runs_counts(paced: Callable[..., Pace]) -> None:
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


@pytest.mark.parametrize("steps", [3, 30, 1000])
def test_beside_others_the_ends_do_not_count(paced: Callable[..., Pace], steps: int) -> None:
    """The others come 1 second later, and are gone 1 second earlier."""
    crowded = paced(lambda now: 0.03 if 1 < now < 7 else 0.01, steps)
    assert crowded.beside_others(8.0) == pytest.approx(0.03, rel=0.02)


def test_where_one_run_takes_longer_than_the_time_all_of_it_counts(paced: Callable[..., Pace]) -> None:
    assert paced(lambda _: 3.0).beside_others(2.0) == pytest.approx(3.0)
