"""What fails on a GPU: memory that runs out, and steps that cannot be captured."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from trainables import Recipe
from trainables.engine.capture import Capture, warn_once
from trainables.engine.lanes import Lanes
from trainables.engine.runtime import Runtime
from trainables.engine.task import Task, make_task
from trainables.training import train_task


def task(stack: int = 2, **knobs: Any) -> Task:
    recipe = Recipe(**{"epochs": 2, "batch_size": 32, "lr": 0.02, **knobs})
    runtime = Runtime("cuda", stack, None)
    data = {"name": "digits", "train_size": 320, "test_size": 60}
    return make_task(recipe, data, {"name": "cnn", "width": 8, "norm": "batch"}, runtime=runtime)


@pytest.fixture(autouse=True)
def _in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


def test_memory_that_runs_out_in_a_capture_halves_the_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = task(4, optimizer="sam", rho=0.1)
    expected = train_task(replace(made, runtime=replace(made.runtime, stack=2)), range(4))
    capture = Capture.__call__
    taken: list[Any] = []

    def full(self: Capture, work: Any) -> Any:
        def too_much() -> None:
            work()
            if len(taken) == 3:
                torch.empty(2**50, dtype=torch.uint8, device="cuda")

        taken.append(work)
        return capture(self, too_much)

    monkeypatch.setattr(Capture, "__call__", full)
    with pytest.warns(UserWarning, match="out of memory: training 2 replicas at a time"):
        record = train_task(made, range(4))
    np.testing.assert_array_equal(record.train.margin, expected.train.margin)


def waiting(step: Any) -> Any:
    """A rule that waits for the device."""
    g = step.gradient()
    assert all(float(t.sum()) == float(t.sum()) for t in g.values())
    return g


def test_what_cannot_be_captured_trains_all_the_same_and_what_can_is_captured_after_it() -> None:
    expected = train_task(task(), [0, 1])
    warn_once.cache_clear()
    with pytest.warns(UserWarning, match="steps run one kernel after the other, not captured"):
        record = train_task(task(optimizer=f"{__name__}:waiting"), [0, 1])
    np.testing.assert_array_equal(record.train.margin, expected.train.margin)
    lanes = Lanes(task(), [0, 1])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="steps run one kernel after the other")
        lanes.train_epoch()
    assert all(lane.take.replays for lane in lanes.lanes)
