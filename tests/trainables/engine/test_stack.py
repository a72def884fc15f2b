"""Lockstep training against plain PyTorch loops, and what must not depend on how replicas are stacked."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainables import Recipe, train_replicas
from trainables.engine.evaluation import statistics_of
from trainables.engine.stack import Stack
from trainables.engine.task import Task, make_task
from trainables.optimizers.schedule import learning_rate
from trainables.records import SIDES

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MLP = {"name": "mlp", "hidden": [16]}
NORMED = {"name": "cnn", "width": 4, "norm": "batch"}
RULES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "sam": {"optimizer": "sam", "rho": 0.1},
    "asam": {"optimizer": "asam", "rho": 0.5, "eta": 0.01},
    "penalty": {"grad_reg": 0.1},
    "sam and penalty": {"optimizer": "sam", "rho": 0.1, "grad_reg": 0.1},
}


def plain_gradient(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters())))


def moved(model: nn.Module, by: list[torch.Tensor], scale: float) -> None:
    with torch.no_grad():
        for p, d in zip(model.parameters(), by, strict=True):
            p.add_(d, alpha=scale)


def norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.cat([t.flatten() for t in tensors]).norm())


def plain_penalised(model: nn.Module, x: torch.Tensor, y: torch.Tensor, recipe: Recipe) -> list[torch.Tensor]:
    g = plain_gradient(model, x, y)
    if not recipe.grad_reg:
        return g
    r = 0.05
    moved(model, g, r / norm(g))
    with frozen_statistics(model):
        ahead = plain_gradient(model, x, y)
    moved(model, g, -r / norm(g))
    a = recipe.grad_reg / r
    return [(1 - a) * p + a * q for p, q in zip(g, ahead, strict=True)]


class frozen_statistics:
    """Puts BatchNorm's running statistics back as they were."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.before = {name: b.clone() for name, b in self.model.named_buffers()}

    def __exit__(self, *_: object) -> None:
        for name, buffer in self.model.named_buffers():
            buffer.copy_(self.before[name])


def plain_loop(task: Task, stack: Stack, k: int, epochs: int) -> nn.Module:
    """Replica k trained by itself with torch.optim.SGD, from the same weights in the same order."""
    recipe, model = task.recipe, task.module(stack.seeds[k]).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    x_all = torch.as_tensor(task.dataset.x_train, dtype=torch.float32)
    if task.dataset.x_train.dtype == np.uint8:
        x_all = (x_all - x_all.mean()) / x_all.std(correction=0)
    y_all, number = torch.as_tensor(task.dataset.y_train), 0
    for epoch in range(epochs):
        for rows in batches(stack, epoch, k):
            x, y = x_all[rows], y_all[rows]
            g = plain_penalised(model, x, y, recipe)
            if recipe.optimizer in ("sam", "asam"):
                scale = [torch.ones_like(p) for p in g]
                if recipe.optimizer == "asam":
                    scale = [
                        p.detach().abs() + recipe.eta if p.ndim > 1 else torch.ones_like(p)
                        for p in model.parameters()
                    ]
                scaled = [s * d for s, d in zip(scale, g, strict=True)]
                step = [s * d for s, d in zip(scale, scaled, strict=True)]
                before = [p.detach().clone() for p in model.parameters()]
                moved(model, step, float(recipe.rho or 0) / norm(scaled))
                with frozen_statistics(model):
                    g = plain_penalised(model, x, y, recipe)
                with torch.no_grad():
                    for p, b in zip(model.parameters(), before, strict=True):
                        p.copy_(b)
            for p, d in zip(model.parameters(), g, strict=True):
                p.grad = d
            optimizer.param_groups[0]["lr"] = learning_rate(
                recipe, number, recipe.epochs * stack.sampler.steps
            )
            optimizer.step()
            number += 1
    return model


def batches(stack: Stack, epoch: int, k: int) -> list[torch.Tensor]:
    """The rows of replica k's batches."""
    drawn = stack.sampler.draw(epoch, stack.members, stack.streams)
    sizes = stack.sampler.load(drawn)
    return list(torch.from_numpy(drawn["batches"][k]).split(sizes))


@pytest.mark.parametrize("model", [MLP, NORMED], ids=lambda model: model["name"])
@pytest.mark.parametrize("rule", RULES)
def test_a_stack_trains_as_each_replica_would_in_a_plain_loop(rule: str, model: dict[str, Any]) -> None:
    task = make_task(Recipe(epochs=4, batch_size=32, lr=0.05, **RULES[rule]), SMALL, model)
    stack = Stack(task, [3, 4, 8])
    for _ in range(2):
        stack.train_epoch()
    named = stack.network.layout.unpack(stack.params)
    for k in range(3):
        plain = plain_loop(task, stack, k, epochs=2)
        for name, p in plain.named_parameters():
            torch.testing.assert_close(named[name][k], p.detach(), rtol=1e-3, atol=2e-5)
        for name, b in plain.named_buffers():  # running statistics: of the first pass of each step only
            torch.testing.assert_close(stack.buffers[name][k], b, rtol=1e-3, atol=2e-5)


def test_masks_and_initial_weights_do_not_depend_on_the_stack() -> None:
    task = make_task(Recipe(), SMALL, MLP, sweep_seed=5)
    together, alone = Stack(task, range(8)), [Stack(task, [seed]) for seed in range(8)]
    assert np.array_equal(together.members, np.concatenate([s.members for s in alone]))
    for group, tensor in together.params.items():
        assert torch.equal(tensor, torch.cat([s.params[group] for s in alone]))
    for k, one in enumerate(alone):
        pairs = zip(batches(together, 3, k), batches(one, 3, 0), strict=True)
        assert all(torch.equal(rows, same) for rows, same in pairs)


@pytest.mark.parametrize("extra", [{"noise": 1.0}, {"mixup": 0.5}, {"augment": ("flip", "crop:1")}], ids=str)
def test_noise_mixing_and_augmentation_do_not_depend_on_the_stack(extra: dict[str, Any]) -> None:
    recipe = Recipe(epochs=2, **extra)
    together = train_replicas(recipe, SMALL, MLP, range(4), stack=4)
    alone = train_replicas(recipe, SMALL, MLP, range(4), stack=1)
    np.testing.assert_allclose(together.train.margin, alone.train.margin, rtol=1e-3, atol=1e-3)


def test_averaged_weights_are_judged_with_statistics_of_their_own() -> None:
    task = make_task(Recipe(optimizer="swa", epochs=4, schedule="constant", batch_size=80), SMALL, NORMED)
    stack = Stack(task, [0, 1])
    for _ in range(4):
        stack.train_epoch()
    named = stack.network.layout.unpack(stack.rule.final(stack.params, stack.state))
    found = statistics_of(stack.network, named, stack.buffers, stack._inputs())
    first = [batches(stack, 4, k)[0] for k in (0, 1)]  # 80 members: one batch is the epoch
    conv = F.conv2d(task.data.x["train"][first[1]], named["0.weight"][1], named["0.bias"][1], padding=1)
    torch.testing.assert_close(found["1.running_mean"][1], conv.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["1.running_var"][1], conv.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", [MLP, {"name": "cnn", "width": 4, "norm": "group"}], ids=str)
def test_private_gradients_are_clipped_example_by_example(model: dict[str, Any]) -> None:
    clip = 0.7
    recipe = Recipe(optimizer="dpsgd", clip=clip, noise_multiplier=1.0, batch_size=20)
    stack = Stack(task := make_task(recipe, SMALL, model), [0, 1])
    batch = stack.batch(stack.load_epoch()[0])
    found = stack.network.layout.unpack(batch(stack.params))
    sizes = set()
    for k in range(2):
        module = task.module(k)
        total = [torch.zeros_like(p) for p in module.parameters()]
        drawn = batch.share[k] > 0
        sizes.add(int(drawn.sum()))
        for x, target in zip(batch.x[k][drawn], batch.targets[:, k].T[drawn], strict=True):
            g = plain_gradient(module, x[None], target.argmax()[None])
            for t, d in zip(total, g, strict=True):
                t += d * min(1.0, clip / norm(g)) / 20
        for (name, _), t in zip(module.named_parameters(), total, strict=True):
            torch.testing.assert_close(found[name][k], t, rtol=1e-3, atol=1e-6)
    assert len(sizes) == 2  # Poisson batches differ in size, and shorter ones are filled up


def test_bfloat16_keeps_parameters_and_losses_in_single_precision() -> None:
    stack = Stack(make_task(Recipe(precision="bfloat16", optimizer="sam", rho=0.1), SMALL, MLP), [0, 1])
    exact = Stack(make_task(Recipe(optimizer="sam", rho=0.1), SMALL, MLP), [0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.train_epoch()
    exact.train_epoch()
    assert all(p.dtype == torch.float32 for p in stack.params.values())
    np.testing.assert_allclose(stack.loss, exact.loss, rtol=0.02)
    exact.params = stack.params
    expected = exact.results()
    for name, signal in stack.results().items():
        if name.startswith(SIDES):  # audited in single precision
            np.testing.assert_allclose(signal, expected[name], rtol=1e-3, atol=1e-5)


class Rounding(nn.Linear):
    """A network that notes whether convolutions might be rounded, each time that it is asked."""

    seen: ClassVar[list[bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(torch.backends.cudnn.allow_tf32)
        return super().forward(x.flatten(1))


def rounding(shape: tuple[int, ...], classes: int) -> nn.Module:
    return Rounding(int(np.prod(shape)), classes)


def test_gpus_may_round_what_replicas_are_audited_by_but_not_training_or_curvature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    task = make_task(Recipe(epochs=1), SMALL, f"{__name__}:rounding", curvature=1)
    stack = Stack(task, range(2))
    Rounding.seen.clear()
    stack.train_epoch()
    assert not any(Rounding.seen)
    Rounding.seen.clear()
    stack.results()
    rounded = Rounding.seen.index(False)  # the first pass of the curvature
    assert all(Rounding.seen[:rounded])
    assert not any(Rounding.seen[rounded:])
    assert torch.backends.cudnn.allow_tf32 is False
