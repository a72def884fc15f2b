"""What trained replicas think of every example: the signals that a record holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.engine.curvature import draw_directions, input_curvature
from trainables.engine.networks import Params
from trainables.records import FLOAT_SIGNALS, SIDES, Signals

if TYPE_CHECKING:
    from trainables.engine.stack import Stack

EVALUATION_FLOATS = 2**22  # inputs evaluated at a time, over all replicas of a stack
Arrays = dict[str, NDArray[Any]]


@contextmanager
def rounded_convolutions(allowed: bool) -> Iterator[None]:
    """Whether GPUs may round what convolutions multiply to ten bits (TF32)."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@torch.no_grad()
def evaluate(stack: Stack) -> Arrays:
    """Signals of every example, and the accuracies.

    A GPU rounds what convolutions multiply to TF32 here, which takes a fifth of the time: margins of a
    ResNet-18 then differ from float32's by 5e-4 in the median and by 2.5e-3 at most in 99 % of all examples,
    where their spread is 2. Nothing is rounded on a CPU, and nowhere for ``curvature``, a difference of
    nearly equal gradients.

    Args:
        stack: Trained replicas.

    Returns:
        ``<side>_<signal>[K, queries, n]`` by their names in a record, ``train_accuracy[K]`` over each
        replica's own members, ``test_accuracy[K]``, and ``train_curvature`` where the context asks for it.
    """
    task, seeds = stack.task, stack.seeds
    named = stack.network.layout.unpack(stack.rule.final(stack.params, stack.state))
    buffers = _statistics_of(stack, named) if stack.rule.averages and stack.buffers else stack.buffers
    chunk = max(1, EVALUATION_FLOATS // (len(seeds) * int(np.prod(task.data.shape))))
    out: Arrays = {}
    for side in SIDES:
        parts, labels = [], getattr(task.dataset, f"y_{side}")
        for i, x in enumerate(task.data.chunks(side, chunk)):
            with rounded_convolutions(True):
                logits = [
                    stack.network.logits(named, buffers, v.expand(len(seeds), *v.shape), train=False)
                    for v in _views(x, task.context.queries)
                ]
            parts.append(
                Signals.of(torch.stack(logits, 1).cpu().numpy(), labels[i * chunk : (i + 1) * chunk])
            )
        for name in ("correct", *FLOAT_SIGNALS):
            out[f"{side}_{name}"] = np.concatenate([getattr(part, name) for part in parts], axis=-1)
    out["test_accuracy"] = out["test_correct"][:, 0].mean(axis=1)
    out["train_accuracy"] = np.average(out["train_correct"][:, 0], axis=1, weights=stack.members)
    if task.context.curvature:
        out["train_curvature"] = _curvature(stack, task.context.curvature, named, buffers)
    return out


def _views(x: Tensor, queries: int) -> list[Tensor]:
    """The examples, and their mirror images where two views are asked for."""
    return [x, x.flip(-1)][:queries]


@rounded_convolutions(False)
def _curvature(stack: Stack, directions: int, named: Params, buffers: Params) -> NDArray[np.float32]:
    """The curvature of every training example ``[K, queries, n]``, in batches of training's size."""
    task, size = stack.task, stack.task.recipe.batch_size
    drawn = draw_directions(directions, task.data.shape, task.context.sweep_seed).to(task.device)
    parts = []
    for x, y in zip(task.data.chunks("train", size), task.data.y.split(size), strict=True):
        each = [
            input_curvature(stack.network, named, buffers, v, y, drawn)
            for v in _views(x, task.context.queries)
        ]
        parts.append(torch.stack(each, 1).cpu().numpy())
    return np.concatenate(parts, axis=-1)


def _statistics_of(stack: Stack, named: Params) -> Params:
    """BatchNorm statistics of averaged weights: each batch's own, averaged over one epoch.

    Source: Izmailov et al. 2018.
    """
    norms = [m for m in stack.network.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    own = {name: b.clone() for name, b in stack.buffers.items()}
    total = {name: torch.zeros_like(b, dtype=torch.float32) for name, b in own.items()}
    for norm in norms:
        norm.momentum = 1.0
    try:
        with stack.dropout_seeded():
            for size in stack.load_epoch():
                x, *_ = stack.sampler.next(size)
                stack.network.logits(named, own, x, train=True)
                total = {name: t + own[name] for name, t in total.items()}
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return {name: (t / stack.sampler.steps).to(own[name].dtype) for name, t in total.items()}
