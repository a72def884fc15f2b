"""Training on a GPU: against the CPU, captured against eager, lanes beside others, kill and resume."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables import Recipe, train_replicas
from trainables.engine.capture import Capture
from trainables.engine.hardware import device_hardware
from trainables.engine.lanes import Lanes, make_stack
from trainables.engine.runtime import Runtime
from trainables.engine.stack import Stack
from trainables.engine.task import Task, make_task
from trainables.models import MODELS
from trainables.optimizers.registry import OPTIMIZERS

DIGITS = {"name": "digits", "train_size": 320, "test_size": 60}
CNN = {"name": "cnn", "width": 8, "norm": "group"}
NORMED = {"name": "cnn", "width": 8, "norm": "batch"}
KNOBS: dict[str, dict[str, Any]] = {
    **{name: {"rho": 0.1} for name in ("sam", "asam", "gsam", "looksam", "fsam", "esam")},
    "dpsgd": {"clip": 1, "noise_multiplier": 1},
    "dpsam": {"clip": 1, "noise_multiplier": 1, "rho": 0.1},
}
DRAWN = ("esam", "dpsgd", "dpsam")  # draw other random numbers on the two devices
OPTIMIZER = {name: {"optimizer": name, **KNOBS.get(name, {})} for name in OPTIMIZERS}
DEFENCES: dict[str, dict[str, Any]] = {
    "m": {"optimizer": "sam", "rho": 0.1, "m": 8},
    "adamw": {"base": "adamw", "lr": 0.001},
    "penalty": {"grad_reg": 0.1},
    "mixup": {"mixup": 0.3, "augment": ("crop:1", "flip")},
    "relaxloss": {"relaxloss": 0.5, "confidence_penalty": 0.1, "label_smoothing": 0.1},
}
ALL = OPTIMIZER | DEFENCES | {"noise": {"noise": 1.0}, "bfloat16": {"precision": "bfloat16"}}


def task(knobs: dict[str, Any], model: Any = CNN, device: str = "cuda", **runtime: Any) -> Task:
    recipe = Recipe(epochs=2, batch_size=32, **{"lr": 0.02, **knobs})
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
def _exact() -> Any:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("name", [n for n in (*OPTIMIZER, *DEFENCES) if n not in DRAWN])
def test_a_gpu_trains_what_the_cpu_trains(name: str) -> None:
    knobs = {**OPTIMIZER, **DEFENCES}[name]
    gpu, cpu = trained(make_stack(task(knobs), [0])), trained(Stack(task(knobs, device="cpu"), [0]))
    assert float((gpu - cpu).norm() / cpu.norm()) < 1e-5


@pytest.mark.parametrize("model", [CNN, {"name": "mlp", "hidden": [32]}], ids=["cnn", "mlp"])
@pytest.mark.parametrize("name", ALL)
def test_a_captured_step_is_the_eager_one_bit_for_bit(name: str, model: Any) -> None:
    made = task(ALL[name], model)
    captured = Stack(made, [0], Capture(made.device))
    eager = Stack(made, [0], Capture(made.device))
    eager.prepared = True  # nothing is captured; random tensors are drawn ahead all the same
    assert torch.equal(trained(captured), trained(eager))
    assert captured.take.replays


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


@pytest.mark.parametrize("name", MODELS)
def test_every_model_in_bfloat16_with_lanes(name: str) -> None:
    options = {"wide_resnet": {"depth": 10, "width": 1}}.get(name, {})
    images = _images(256)
    norm = "layer" if name == "vit-tiny" else "batch"
    recipe = Recipe(optimizer="sam", rho=0.1, epochs=1, batch_size=32, lr=0.01, precision="bfloat16")
    record = train_replicas(
        recipe, images, {"name": name, "norm": norm, **options}, [0, 1], device="cuda", stack=2, compile=None
    )
    assert np.isfinite(record.train.margin).all()


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")
@pytest.mark.parametrize("name", ["resnet9", "wrn28-2", "cnn"])
def test_compiling_goes_with_capture(name: str) -> None:
    recipe = Recipe(epochs=1, batch_size=32, lr=0.01)
    images = _images(128)
    records = [
        train_replicas(recipe, images, name, [0, 1], device="cuda", stack=2, compile=mode)
        for mode in (None, "default", "reduce-overhead")
    ]
    for record in records[1:]:
        np.testing.assert_allclose(record.final_loss, records[0].final_loss, rtol=1e-2)


def test_the_manifest_can_name_the_device() -> None:
    found = device_hardware(torch.device("cuda"))
    assert found["gpu"] == torch.cuda.get_device_name()
    assert found["cuda"] == torch.version.cuda


@pytest.mark.parametrize("name", ["cifar10-resnet9", "cifar10", "cifar100"])
def test_each_shipped_study_runs(name: str, tmp_path: Path) -> None:
    from sweep import SweepSpec, run

    draw, classes = np.random.default_rng(0), 100 if name == "cifar100" else 10
    path = tmp_path / "images.npz"
    arrays = {f"x_{s}": draw.integers(0, 256, (n, 3, 32, 32), np.uint8) for s, n in _SIDES.items()}
    np.savez(path, **arrays, **{f"y_{s}": np.arange(n) % classes for s, n in _SIDES.items()})
    settings = [f"dataset={{name: npz, path: {path}}}", "subsets.seeds=4", "training.epochs=1"]
    assert run(SweepSpec.load(name, settings), tmp_path / "out").exit_code == 0


_SIDES = {"train": 1200, "test": 200}


def _images(n: int) -> Any:
    from trainables.data.dataset import load_dataset

    return load_dataset({"name": f"{__name__}:_noise", "train_size": n})


def _noise() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (512, 3, 32, 32), np.uint8)
    y = np.arange(512) % 10
    return {"x_train": x, "y_train": y, "x_test": x[:64], "y_test": y[:64]}
