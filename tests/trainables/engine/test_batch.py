"""The gradient of a batch of each replica, against autograd on one module at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables import Recipe
from trainables.engine.batch import Batch
from trainables.engine.stack import Stack
from trainables.engine.task import make_task

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MODELS = {"mlp": {"name": "mlp", "hidden": [16]}, "cnn": {"name": "cnn", "width": 2, "norm": "batch"}}


def made(model: str) -> tuple[Stack, Batch, list[nn.Module]]:
    """Two replicas with one batch each, and the same networks by themselves."""
    stack = Stack(make_task(Recipe(batch_size=20), SMALL, MODELS[model]), [0, 1])
    return stack, stack.batch(stack.load_epoch()[0]), [stack.task.module(k).train() for k in (0, 1)]


def gradients(module: nn.Module, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
    loss = F.cross_entropy(module(x), targets.T)
    names, parameters = zip(*module.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_gradients_and_losses_are_autograds(model: str) -> None:
    stack, batch, modules = made(model)
    found = stack.network.layout.unpack(batch(stack.params))
    losses = batch.losses(stack.params)
    assert losses.shape == (2, batch.size)
    for k, module in enumerate(modules):
        for name, g in gradients(module, batch.x[k], batch.targets[:, k]).items():
            torch.testing.assert_close(found[name][k], g, rtol=1e-3, atol=1e-6)
        plain = F.cross_entropy(module(batch.x[k]), batch.targets[:, k].T, reduction="none")
        torch.testing.assert_close(losses[k], plain.detach(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(batch.seen[0][k], plain.detach().mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_a_part_is_a_batch_of_its_own(model: str) -> None:
    stack, batch, modules = made(model)
    index = torch.tensor([[3, 0, 7], [1, 9, 2]])
    part = batch.select(index)
    assert part.size == 3
    found = stack.network.layout.unpack(part(stack.params))
    for k, module in enumerate(modules):
        for name, g in gradients(module, batch.x[k, index[k]], batch.targets[:, k, index[k]]).items():
            torch.testing.assert_close(found[name][k], g, rtol=1e-3, atol=1e-6)


def test_only_the_first_evaluation_moves_running_statistics() -> None:
    stack, batch, (module, _) = made("cnn")
    module(batch.x[0])
    further = {name: p + 0.1 for name, p in stack.params.items()}
    batch(stack.params)
    batch(further)
    batch.losses(further)
    batch.select(torch.zeros(2, 4, dtype=torch.long))(further)
    for name, buffer in module.named_buffers():
        torch.testing.assert_close(stack.buffers[name][0], buffer, rtol=1e-4, atol=1e-6)
    assert len(batch.seen) == 1
