"""Replicas that take their steps in turn, against each of them alone."""

from __future__ import annotations

import gc
import warnings
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.recorded import RecordedCapture
from trainables import Recipe
from trainables.data.batches import Sampler
from trainables.engine.lanes import Lanes, make_stack
from trainables.engine.stack import Stack
from trainables.engine.task import make_task

SMALL = {"name": "digits", "train_size": 90, "test_size": 20}


MLP = {"name": "mlp", "hidden": [8]}


NORMED = {"name": "cnn", "width": 2, "norm": "batch"}


def addresses(stack: Stack) -> dict[str, int]:
    groups = {"params": stack.params, "state": stack.state, "buffers": stack.buffers}
    groups["drawn"] = stack.sampler.buffers
    found = {f"{group}/{name}": t.data_ptr() for group, ts in groups.items() for name, t in ts.items()}
    return found | {"rates": stack.rates.data_ptr(), "losses": stack.losses.data_ptr()}


def test_lanes_train_what_each_replica_trains_alone_bit_for_bit() -> None:
    task = make_task(
        Recipe(optimizer="looksam", rho=0.1, k=2, noise=1.0, epochs=2, batch_size=16), SMALL, NORMED
    )
    together = Lanes(task, [0, 1, 2], RecordedCapture)  # type: ignore[arg-type]
    alone = Lanes(task, [1], RecordedCapture)  # type: ignore[arg-type]
    for lanes in (together, alone):
        lanes.train_epoch()
        lanes.train_epoch()
    for name, tensor in alone.lanes[0].params.items():
        assert torch.equal(together.lanes[1].params[name], tensor)
    results = together.results()
    assert results["train_margin"].shape == (3, 1, 90)
    np.testing.assert_array_equal(results["train_margin"][1], alone.results()["train_margin"][0])
    captured = [lane.take.capture.captured for lane in together.lanes]  # type: ignore[union-attr]
    together.reset([4, 5, 1])
    together.train_epoch()
    together.train_epoch()
    assert captured == [lane.take.capture.captured for lane in together.lanes], "captured once"  # type: ignore[union-attr]
    for name, tensor in alone.lanes[0].params.items():
        assert torch.equal(together.lanes[2].params[name], tensor)


def test_lanes_go_on_from_saved_state_in_the_buffers_that_were_captured() -> None:
    task = make_task(Recipe(optimizer="fsam", rho=0.1, noise=1.0, epochs=3, batch_size=16), SMALL, NORMED)
    whole, cut = (Lanes(task, [0, 1], RecordedCapture) for _ in range(2))  # type: ignore[arg-type]
    for _ in range(3):
        whole.train_epoch()
    cut.train_epoch()
    saved = cut.arrays()
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in saved.values())
    going_on = Lanes(task, [0, 1], RecordedCapture)  # type: ignore[arg-type]
    going_on.train_epoch()
    places = [addresses(lane) for lane in going_on.lanes]
    going_on.restore(saved)
    for _ in range(2):
        going_on.train_epoch()
    assert places == [addresses(lane) for lane in going_on.lanes]
    for one, other in zip(whole.lanes, going_on.lanes, strict=True):
        for name, tensor in one.params.items():
            assert torch.equal(other.params[name], tensor)


@pytest.mark.parametrize("base", ["sgd", "adamw"])
def test_lanes_go_on_from_a_stack_and_a_stack_from_lanes(base: str) -> None:
    recipe = Recipe(optimizer="swa", base=base, lr=0.01, epochs=3, batch_size=16, swa_start=0.3)
    task = make_task(recipe, SMALL, NORMED)

    def made(lanes: bool) -> Stack | Lanes:
        return Lanes(task, [0, 3], RecordedCapture) if lanes else Stack(task, [0, 3])  # type: ignore[arg-type]

    def ended(stack: Stack | Lanes) -> dict[str, np.ndarray]:
        while stack.epoch < task.epochs:
            stack.train_epoch()
        return stack.results()

    whole = ended(made(False))
    for first in (False, True):
        cut, going_on = made(first), made(not first)
        cut.train_epoch()
        cut.train_epoch()
        assert going_on.restore(cut.arrays())
        assert going_on.epoch == 2
        found = ended(going_on)
        np.testing.assert_allclose(found["train_margin"], whole["train_margin"], rtol=1e-3, atol=1e-4)
    alone = Lanes(task, [0], RecordedCapture)  # type: ignore[arg-type]
    assert not alone.restore(cut.arrays())
    assert alone.epoch == 0


def test_the_next_epoch_is_drawn_before_the_host_waits_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    draw, finish = Sampler.draw, Stack.finish_epoch

    def drawing(self: Sampler, epoch: int, *rest: Any) -> Any:
        events.append(f"draw {epoch}")
        return draw(self, epoch, *rest)

    def finishing(self: Stack, steps: int) -> None:
        events.append("wait")
        finish(self, steps)

    monkeypatch.setattr(Sampler, "draw", drawing)
    monkeypatch.setattr(Stack, "finish_epoch", finishing)
    task = make_task(Recipe(epochs=3, batch_size=16), SMALL, MLP)
    for lanes in (Stack(task, [0], RecordedCapture(task.device)), Lanes(task, [0], RecordedCapture)):  # type: ignore[arg-type]
        lanes.train_epoch()
        events.clear()
        lanes.train_epoch()
        lanes.train_epoch()
        assert events == ["draw 2", "wait", "wait"]


def test_memory_is_let_go_with_the_last_reference_to_lanes() -> None:
    task = make_task(Recipe(optimizer="sam", rho=0.1, noise=1, epochs=2, batch_size=16), SMALL, NORMED)
    gc.collect()
    gc.disable()
    try:
        lanes = Lanes(task, [0, 1], RecordedCapture)  # type: ignore[arg-type]
        lanes.train_epoch()
        ended = weakref.ref(lanes.lanes[0])
        del lanes
        assert ended() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("model", "kind", "captured"),
    [(MLP, Stack, True), (NORMED, Lanes, True), (f"{__name__}:dropping", Stack, False)],
    ids=["mlp", "cnn", "dropout"],
)
def test_a_gpu_trains_in_lanes_what_it_would_not_do_faster_stacked(
    model: Any, kind: type, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a device that is a CPU and says that it is a GPU."""
    task = make_task(Recipe(epochs=1), SMALL, model)
    assert isinstance(make_stack(task, [0]), Stack)
    made: list[tuple[type, bool]] = []
    monkeypatch.setitem(vars(task), "device", SimpleNamespace(type="cuda"))
    monkeypatch.setattr(
        "trainables.engine.lanes.Stack", lambda _, __, capture=None: made.append((Stack, bool(capture)))
    )
    monkeypatch.setattr("trainables.engine.lanes.Lanes", lambda *_: made.append((Lanes, True)))
    monkeypatch.setattr("trainables.engine.lanes.Capture", lambda _: True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_stack(task, [0])
    assert made == [(kind, captured)]


def dropping(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes), nn.Dropout(0.5))
