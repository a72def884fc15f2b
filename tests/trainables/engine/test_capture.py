"""Captured steps and lanes, with a capture that records operations instead of a GPU's: no code of the host
runs when a step is replayed, and every tensor stays where it is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.recorded import RecordedCapture
from trainables import Recipe
from trainables.engine.capture import warn_once
from trainables.engine.stack import Stack
from trainables.engine.task import make_task
from trainables.optimizers.gradient_rules import Params, Step
from trainables.optimizers.registry import OPTIMIZERS

SMALL = {"name": "digits", "train_size": 90, "test_size": 20}
MLP = {"name": "mlp", "hidden": [8]}
NORMED = {"name": "cnn", "width": 2, "norm": "batch"}
GROUPED = {"name": "cnn", "width": 2, "norm": "group"}
KNOBS: dict[str, dict[str, Any]] = {
    **{name: {"rho": 0.1} for name in ("sam", "asam", "gsam", "looksam", "fsam", "esam")},
    "dpsgd": {"clip": 1, "noise_multiplier": 1},
    "dpsam": {"clip": 1, "noise_multiplier": 1, "rho": 0.1},
}
DEFENCES: dict[str, dict[str, Any]] = {
    "m": {"optimizer": "sam", "rho": 0.1, "m": 8},
    "adamw": {"base": "adamw", "lr": 0.01},
    "noise": {"noise": 1.0},
    "penalty": {"optimizer": "sam", "rho": 0.1, "grad_reg": 0.1, "noise": 1.0},
    "mixup": {"mixup": 0.3, "augment": ("crop:1", "cutout:2", "flip")},
    "relaxloss": {"relaxloss": 0.5, "confidence_penalty": 0.1, "label_smoothing": 0.1},
    "bfloat16": {"precision": "bfloat16"},
}
EVERY = [{"optimizer": name, **KNOBS.get(name, {})} for name in OPTIMIZERS] + list(DEFENCES.values())


def addresses(stack: Stack) -> dict[str, int]:
    groups = {"params": stack.params, "state": stack.state, "buffers": stack.buffers}
    groups["drawn"] = stack.sampler.buffers
    found = {f"{group}/{name}": t.data_ptr() for group, ts in groups.items() for name, t in ts.items()}
    return found | {"rates": stack.rates.data_ptr(), "losses": stack.losses.data_ptr()}


def unstable(stack: Stack) -> Stack:
    """Without the draws ahead, whose numbers are others where an epoch's are drawn at once."""
    if stack.ahead:
        stack.ahead.ahead = 1
    return stack


@pytest.mark.parametrize("knobs", EVERY, ids=lambda knobs: "-".join(map(str, knobs.values())))
@pytest.mark.parametrize(("model", "seeds"), [(MLP, [0, 3]), (NORMED, [1])], ids=["mlp", "cnn"])
def test_a_replayed_step_is_the_step_as_it_is(
    knobs: dict[str, Any], model: dict[str, Any], seeds: list[int]
) -> None:
    private = "clip" in knobs
    model = GROUPED if private and model is NORMED else model
    recipe = Recipe(epochs=3, batch_size=16, **{"lr": 0.05, **knobs})
    task = make_task(recipe, SMALL, model)
    plain, taken = Stack(task, seeds), unstable(Stack(task, seeds, RecordedCapture(task.device)))  # type: ignore[arg-type]
    before = addresses(taken)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for _ in range(3):
            plain.train_epoch()
            taken.train_epoch()
    assert taken.take.replays, "nothing was captured"
    assert addresses(taken) == before
    for one, other in ((plain.params, taken.params), (plain.buffers, taken.buffers)):
        for name, tensor in one.items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(taken.loss, plain.loss, rtol=1e-5)


def counting(step: Step) -> Params:
    """A rule of one's own that asks for its step's number."""
    g = step.gradient()
    return {name: tensor * (1 + step.number) for name, tensor in g.items()}


def test_what_cannot_be_captured_runs_as_it_is_and_says_so_once() -> None:
    task = make_task(Recipe(optimizer=f"{__name__}:counting", epochs=1, batch_size=16, lr=1e-3), SMALL, MLP)
    plain, taken = Stack(task, [0]), Stack(task, [0], RecordedCapture(task.device))  # type: ignore[arg-type]
    warn_once.cache_clear()
    plain.train_epoch()
    with pytest.warns(
        UserWarning, match="not captured: the optimizer's rule asks for the number of its step"
    ):
        taken.train_epoch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Stack(task, [1], RecordedCapture(task.device)).train_epoch()  # type: ignore[arg-type]
    for name, tensor in plain.params.items():
        torch.testing.assert_close(taken.params[name], tensor)


class FailingCapture(RecordedCapture):
    """Capture as a GPU does that cannot: the end of the capture fails too."""

    why = "operation not permitted when stream is capturing"

    def __call__(self, work: Any) -> Any:  # noqa: ARG002
        try:
            raise RuntimeError(self.why)
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")


def test_a_capture_that_fails_says_what_failed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(Recipe(epochs=1, batch_size=16), SMALL, MLP)
    plain, taken = Stack(task, [0]), Stack(task, [0], FailingCapture(task.device))  # type: ignore[arg-type]
    plain.train_epoch()
    warn_once.cache_clear()
    with pytest.warns(UserWarning, match="not captured: operation not permitted"):
        taken.train_epoch()
    for name, tensor in plain.params.items():
        torch.testing.assert_close(taken.params[name], tensor)
    monkeypatch.setattr(FailingCapture, "why", "CUDA error: out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        Stack(task, [0], FailingCapture(task.device)).train_epoch()  # type: ignore[arg-type]


@pytest.mark.parametrize("epoch", [0, 2])
def test_what_is_captured_serves_the_next_seeds_wherever_the_first_went_on(epoch: int) -> None:
    recipe = Recipe(optimizer="fsam", rho=0.1, relaxloss=0.5, epochs=3, batch_size=16)
    stack = Stack(make_task(recipe, SMALL, MLP), [0], RecordedCapture(torch.device("cpu")))  # type: ignore[arg-type]
    stack.epoch = epoch
    stack.train_epoch()
    kinds = {(kind.phase, kind.parity) for kind in stack.take.replays}
    assert kinds == {(True, 0), (False, 0), (False, 1)}


@pytest.mark.parametrize("optimizer", ["sgd", f"{__name__}:counting"])
def test_noise_drawn_ahead_is_there_from_the_first_step_on_and_never_twice(optimizer: str) -> None:
    """Momentum, decay and gradients left out, what a step moves the weights by is its noise."""
    recipe = Recipe(optimizer=optimizer, noise=2.0, epochs=2, batch_size=16, momentum=0, weight_decay=0)
    task = make_task(recipe, SMALL, MLP)
    stack = Stack(task, [0, 1], RecordedCapture(task.device))  # type: ignore[arg-type]
    drawn: list[torch.Tensor] = []
    assert stack.ahead is not None
    stack.ahead.ahead = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            for step, size in enumerate(stack.begin_epoch()):
                stack.take_step(step, size)
                noise = stack.ahead.buffers[0][0]["weights"][:, step % 2]
                drawn.extend(noise.flatten(1).clone())
            stack.finish_epoch(stack.steps)
    values = torch.stack(drawn)
    size = stack.network.layout.numel
    assert values.std().item() == pytest.approx(2 / size**0.5, rel=0.05)
    correlation = torch.corrcoef(values)
    assert (correlation - torch.eye(len(correlation))).abs().max() < 0.3
