"""The pace of a stack, against a clock and a device that are made up."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from trainables import pace
from trainables.pace import Pace


class Clock:
    """Time that passes only while the stack trains: ``seconds(now)`` for a step that begins now."""

    def __init__(self, seconds: Callable[[float], float]) -> None:
        self.now, self.seconds = 0.0, seconds

    def perf_counter(self) -> float:
        return self.now

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.now += self.seconds(self.now)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pace]:
    def of(seconds: Callable[[float], float], steps: int = 30) -> Pace:
        clock = Clock(seconds)
        stack = SimpleNamespace(epoch=0, sampler=SimpleNamespace(steps=steps), train_epoch=clock.train)
        monkeypatch.setattr(pace, "time", clock)
        monkeypatch.setattr(pace, "Stack", lambda *_: stack)
        return Pace(SimpleNamespace(compile=None), 4)  # type: ignore[arg-type]

    return of


def test_alone_the_fastest_of_three_runs_counts(paced: Callable[..., Pace]) -> None:
    slow_moment = paced(lambda now: 0.02 if 0.05 < now < 0.1 else 0.01)
    assert slow_moment.alone() == pytest.approx(0.01)
    assert paced(lambda _: 2.0).alone() == 2.0  # a step so slow is not repeated


@pytest.mark.parametrize("steps", [3, 30, 1000])
def test_beside_others_the_ends_do_not_count(paced: Callable[..., Pace], steps: int) -> None:
    """The others come 2 seconds later, and are gone 2 seconds earlier."""
    crowded = paced(lambda now: 0.03 if 1.9 < now < 6.1 else 0.01, steps)
    assert crowded.beside_others(8.0) == pytest.approx(0.03, rel=0.02)


def test_where_one_run_takes_longer_than_the_time_all_of_it_counts(paced: Callable[..., Pace]) -> None:
    assert paced(lambda _: 3.0).beside_others(2.0) == pytest.approx(3.0)
