"""Training on a GPU: captured against eager, against the CPU, lanes beside others, kill and resume."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from trainables import Recipe, train_replicas
from trainables.data.dataset import Dataset
from trainables.engine.calibration import calibrate
from trainables.engine.capture import Capture
from trainables.engine.evaluation import Arrays
from trainables.engine.hardware import device_hardware
from trainables.engine.lanes import Lanes, make_stack
from trainables.engine.runtime import Runtime
from trainables.engine.stack import Stack
from trainables.engine.task import Task, make_task
from trainables.models import MODELS
from trainables.optimizers.registry import OPTIMIZERS
from trainables.training import train_task

DIGITS = {"name": "digits", "train_size": 320, "test_size": 60}
CNN = {"name": "cnn", "width": 8, "norm": "group"}
NORMED = {"name": "cnn", "width": 8, "norm": "batch"}
KNOBS: dict[str, dict[str, Any]] = {
    **{name: {"rho": 0.1} for name in ("sam", "asam", "gsam", "looksam", "fsam", "esam")},
    "dpsgd": {"clip": 1, "noise_multiplier": 1},
    "dpsam": {"clip": 1, "noise_multiplier": 1, "rho": 0.1},
}
OPTIMIZER = {name: {"optimizer": name, **KNOBS.get(name, {})} for name in OPTIMIZERS}
DEFENCES: dict[str, dict[str, Any]] = {
    "m": {"optimizer": "sam", "rho": 0.1, "m": 8},
    "adamw": {"base": "adamw", "lr": 0.001},
    "penalty": {"grad_reg": 0.1},
    "mixup": {"mixup": 0.3, "augment": ("crop:1", "flip")},
    "relaxloss": {"relaxloss": 0.5, "confidence_penalty": 0.1, "label_smoothing": 0.1},
}
# The two devices draw other random numbers, so next to none are drawn here.
UNDRAWN: dict[str, dict[str, Any]] = {
    "esam": {"beta": 1},
    "dpsgd": {"noise_multiplier": 1e-4},
    "dpsam": {"noise_multiplier": 1e-4},
}
ALL = OPTIMIZER | DEFENCES | {"noise": {"noise": 1.0}, "bfloat16": {"precision": "bfloat16"}}


def task(knobs: dict[str, Any], model: Any = CNN, device: str = "cuda", **runtime: Any) -> Task:
    recipe = Recipe(**{"epochs": 2, "batch_size": 32, "lr": 0.02, **knobs})
    return make_task(recipe, DIGITS, model, runtime=Runtime(device, **{"compile": None, **runtime}))


def weights(stack: Stack | Lanes) -> torch.Tensor:
    each = stack.lanes if isinstance(stack, Lanes) else [stack]
    return torch.cat([t.flatten().cpu() for lane in each for t in lane.params.values()])


def trained(stack: Any, epochs: int = 2) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="steps run one kernel after the other")
        for _ in range(epochs):
            stack.train_epoch()
    return weights(stack)


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions are not rounded, and cuDNN takes none of its algorithms that add in any order."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.mark.parametrize("model", [CNN, {"name": "mlp", "hidden": [32]}], ids=["cnn", "mlp"])
@pytest.mark.parametrize("name", ALL)
def test_a_captured_step_is_the_eager_one_bit_for_bit(name: str, model: Any) -> None:
    made = task(ALL[name], model)
    captured = Stack(made, [0], Capture(made.device))
    eager = Stack(made, [0], Capture(made.device))
    eager.prepared = True  # nothing is captured; random tensors are drawn ahead all the same
    assert torch.equal(trained(captured), trained(eager))
    assert captured.take.replays


@pytest.mark.parametrize("name", [*OPTIMIZER, *DEFENCES])
def test_a_gpu_trains_what_the_cpu_trains(name: str) -> None:
    knobs = {**(OPTIMIZER | DEFENCES)[name], **UNDRAWN.get(name, {})}
    gpu, cpu = trained(make_stack(task(knobs), [0])), trained(Stack(task(knobs, device="cpu"), [0]))
    # AdamW divides a gradient by its own size: rounding alone moves all weights by 1e-3 of their norm.
    allowed = 1e-2 if name == "adamw" else 1e-4 if "noise_multiplier" in knobs else 1e-5
    assert float((gpu - cpu).norm() / cpu.norm()) < allowed


def test_a_lane_beside_others_is_the_lane_alone_bit_for_bit() -> None:
    made = task({"optimizer": "sam", "rho": 0.1, "noise": 1.0, "precision": "bfloat16"}, NORMED)
    together, alone = Lanes(made, [0, 1, 2]), Lanes(made, [1])
    trained(together)
    assert torch.equal(weights(together.lanes[1]), trained(alone))


def test_training_goes_on_from_saved_state_bit_for_bit() -> None:
    made = task({"optimizer": "looksam", "rho": 0.1, "k": 3, "noise": 1.0}, NORMED)
    whole, cut, going_on = (Lanes(made, [0, 1]) for _ in range(3))
    expected = trained(whole)
    trained(cut, 1)
    going_on.restore(cut.arrays())
    assert torch.equal(trained(going_on, 1), expected)


@pytest.mark.parametrize("cut_after", [1, 3])
def test_a_killed_block_goes_on_from_its_progress(cut_after: int) -> None:
    knobs = {"optimizer": "sam", "rho": 0.1, "noise": 1.0}
    made = task(knobs, NORMED, stack=2)
    whole = train_task(made, [0, 1, 2])
    kept = Kept()

    def kill(*_: float) -> None:
        kept.epochs += 1
        if kept.epochs == cut_after + 1:
            raise Killed

    with pytest.raises(Killed):
        train_task(made, [0, 1, 2], progress=kept, on_epoch=kill)
    going_on = train_task(made, [0, 1, 2], progress=kept)
    np.testing.assert_array_equal(going_on.train.margin, whole.train.margin)
    np.testing.assert_array_equal(going_on.final_loss, whole.final_loss)


class Killed(Exception):
    """The end of a process."""


class Kept:
    """Progress that is saved after every epoch."""

    every, epochs = 0.0, 0
    arrays: Arrays | None = None

    def load(self) -> Arrays | None:
        return self.arrays

    def save(self, arrays: Arrays) -> None:
        self.arrays = arrays


@pytest.mark.parametrize("name", MODELS)
def test_every_model_in_bfloat16_with_lanes(name: str, images: Dataset) -> None:
    options = {"wide_resnet": {"depth": 10, "width": 1}}.get(name, {})
    norm = "layer" if name == "vit-tiny" else "batch"
    recipe = Recipe(optimizer="sam", rho=0.1, epochs=1, batch_size=32, lr=0.01, precision="bfloat16")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="steps run one kernel after the other")
        model = {"name": name, "norm": norm, **options}
        record = train_replicas(recipe, images, model, [0, 1], device="cuda", stack=2, compile=None)
    assert np.isfinite(record.train.margin).all()


def test_the_choice_of_lanes_is_bounded_in_time() -> None:
    made = task({"precision": "bfloat16", "epochs": 200}, NORMED, stack="auto", compile="auto")
    begin = time.perf_counter()
    found = calibrate(made, 64)
    assert found.stack >= 1
    assert time.perf_counter() - begin < 30  # 10 s, and what loads at first


def test_the_manifest_can_name_the_device() -> None:
    found = device_hardware(torch.device("cuda"))
    assert found["gpu"] == torch.cuda.get_device_name()
    assert found["cuda"] == torch.version.cuda
