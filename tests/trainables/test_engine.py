"""A device that is not the processor, where none is: torch's "meta" tensors have a place and a shape, hold no
numbers and cannot be read. What trains there waits for its device nowhere and mixes it with no other; a
captured step makes no tensor elsewhere and draws no random number.

Not seen here: kernels, of which a few have no meta form and are stood in for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tag
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables import Recipe
from trainables.engine.stack import Stack
from trainables.engine.task import Task, make_task
from trainables.models import MODELS
from trainables.optimizers import gradient_rules as gradients
from trainables.optimizers import update_rules as optimizers
from trainables.optimizers.registry import OPTIMIZERS

META = torch.device("meta")
KNOBS: dict[str, dict[str, Any]] = {
    **{name: {"rho": 0.1} for name in ("sam", "asam", "gsam", "looksam", "fsam", "esam")},
    "dpsgd": {"clip": 1, "noise_multiplier": 1},
    "dpsam": {"clip": 1, "noise_multiplier": 1, "rho": 0.1},
}
EVERYTHING = Recipe(
    optimizer="sam",
    rho=0.1,
    m=8,
    base="adamw",
    epochs=2,
    batch_size=16,
    augment=("crop", "cutout", "flip"),
    precision="bfloat16",
    noise=1,
    grad_reg=0.1,
    label_smoothing=0.1,
    mixup=0.2,
    confidence_penalty=0.1,
    relaxloss=0.5,
)


class OneDevice(TorchDispatchMode):
    """Refuses operations that mix devices, but to bring data there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.ndim]
        bringing = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        assert bringing or len({t.device for t in tensors}) < 2, func
        return func(*args, **(kwargs or {}))


class Captured(TorchDispatchMode):
    """Refuses what a CUDA graph cannot hold, or would hold only as it was when it was captured."""

    refused = (Tag.data_dependent_output, Tag.dynamic_output_shape, Tag.nondeterministic_seeded)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves = tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        count = func is torch.ops.aten._local_scalar_dense.default and tensors[0].device.type == "cpu"
        places = func is torch.ops.aten.index.Tensor and all(t.dtype == torch.int64 for t in tensors[1:])
        if not count:  # the host reads its own count of steps
            assert {t.device for t in tensors} <= {META}, f"{func} leaves the device"
            assert places or not set(self.refused) & set(func.tags), f"{func} waits for the device"
            assert not any(isinstance(leaf, (torch.Generator, Seeded)) for leaf in leaves)
        out = func(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        assert count or {t.device for t in made} <= {META}, f"{func} makes a tensor of the host"
        return out


class MetaCapture:
    """`trainables.engine.capture.Capture` for what cannot run: replaying does nothing."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def on_stream(self) -> Any:
        return nullcontext()

    beside = on_stream

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        with Captured():
            work()
        return lambda: None


class Seeded:
    """A generator for a device that draws nothing."""

    def __init__(self, device: torch.device) -> None:
        assert device == META

    def manual_seed(self, seed: int) -> None: ...


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.Size]]:
    """The shapes that the host read from the device, as zeros."""
    read: list[torch.Size] = []

    def cpu(tensor: torch.Tensor) -> torch.Tensor:
        read.append(tensor.shape)
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    def kernel(*lists: list[torch.Tensor], **_: Any) -> None:
        assert {tensor.device for tensors in lists for tensor in tensors} == {META}

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(optimizers, "momentum_sgd", kernel)
    monkeypatch.setattr(optimizers, "adamw", kernel)
    monkeypatch.setattr(gradients.torch, "Generator", Seeded)
    for law in ("normal_", "bernoulli_"):
        monkeypatch.setattr(torch.Tensor, law, lambda tensor, *_, **__: tensor)
    with OneDevice():
        yield read


def task(recipe: Recipe, model: Any, data: Any, **options: Any) -> Task:
    made = make_task(recipe, data, model, **options)
    made.__dict__["device"] = META
    return made


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "images.npz"
    parts = {"x_train": 48, "x_test": 8}
    arrays = {name: draw.integers(0, 256, (n, 3, 32, 32), np.uint8) for name, n in parts.items()}
    labels = {name.replace("x", "y"): np.arange(n) % 4 for name, n in parts.items()}
    np.savez(path, **arrays, **labels)
    return {"name": "npz", "path": str(path)}


def trains(made: Task, k: int, reads: list[torch.Size]) -> None:
    stack = Stack(made, range(k))
    begun = len(reads)
    for _ in range(made.epochs):
        stack.train_epoch()
    assert reads[begun:] == [(k,)] * made.epochs, "the host waits once an epoch: for the mean losses"
    results = stack.results()
    assert results["train_margin"].shape == (k, made.context.queries, len(made.dataset.y_train))
    stack.restore(stack.arrays())
    tensors = {**stack.params, **stack.buffers, **stack.state}
    elsewhere = {name for name, tensor in tensors.items() if tensor.device != META}
    assert elsewhere <= {"step", "seeds", "averaged"}, "numbers that the host itself reads"


def captures(made: Task, k: int, reads: list[torch.Size]) -> None:
    stack, begun = Stack(made, range(k), MetaCapture(META)), len(reads)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(made.epochs):
            stack.train_epoch()
    assert stack.take.replays
    assert reads[begun:] == [(k,)] * made.epochs


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_update_rule(optimizer: str, k: int, reads: list[torch.Size], images: dict[str, Any]) -> None:
    recipe = Recipe(optimizer=optimizer, epochs=2, batch_size=16, **KNOBS.get(optimizer, {}))
    dense = task(recipe, "mlp", "digits")
    network = task(recipe, {"name": "cnn", "norm": "group"}, images, curvature=2)
    for made in (dense, network):
        trains(made, k, reads)
    captures(dense if k > 1 else network, k, reads)


@pytest.mark.parametrize("k", [1, 2])
def test_every_defence_and_augmentation(k: int, reads: list[torch.Size], images: dict[str, Any]) -> None:
    made = task(EVERYTHING, {"name": "cnn", "norm": "batch"}, images, queries=2)
    trains(made, k, reads)
    captures(made, k, reads)


@pytest.mark.parametrize("name", MODELS)
def test_every_model(name: str, reads: list[torch.Size], images: dict[str, Any]) -> None:
    model = {"name": name} | ({"depth": 10, "width": 1} if name == "wide_resnet" else {})
    made = task(Recipe(optimizer="swa", grad_reg=0.1, mixup=0.3, epochs=2), model, images)
    trains(made, 2, reads)
    captures(made, 1, reads)
