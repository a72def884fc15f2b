"""How sharply the loss bends around an example: what memorization may be told by from one model alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables.engine.networks import Network, Params
from trainables.seeding import stream

STEP = 1e-3  # in units of the normalised input, as in the authors' code


def draw_directions(count: int, shape: tuple[int, ...], sweep_seed: int) -> Tensor:
    """Rademacher directions: ``[count, *shape]``, each entry -1 or 1.

    They are the same for all replicas and examples.
    """
    signs = stream(sweep_seed, 0, "curvature").integers(0, 2, (count, *shape))
    return torch.from_numpy(2 * signs - 1).float()


def input_curvature(
    network: Network, named: Params, buffers: Params, x: Tensor, labels: Tensor, directions: Tensor
) -> Tensor:
    """Estimate tr(H^2) of every example, H the Hessian of its cross-entropy loss L in its input.

    By Hutchinson's estimate, the mean over directions v of ||(grad L(x + h v) - grad L(x)) / h||^2, whose
    expectation is that of ||H v||^2, tr(H^2) (Garg, Ravikumar and Roy 2024, appendix I, who average it over
    the epochs too).

    Args:
        network: The architecture of K replicas.
        named: Their parameters by name, each ``[K, ...]``.
        buffers: Their buffers.
        x: Examples ``[B, ...]``.
        labels: Classes ``[B]``.
        directions: As `draw_directions` gives them.

    Returns:
        ``[K, B]``; squares of nats per squared unit of the normalised input.
    """

    def slopes(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.expand(len(next(iter(named.values()))), *x.shape).detach().requires_grad_()
            logits = network.logits(named, buffers, x, train=False)
            losses = cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), reduction="sum")
            return torch.autograd.grad(losses, x)[0]

    here = slopes(x)
    squares = [(slopes(x + STEP * v) - here).flatten(2).square().sum(-1) for v in directions]
    return torch.stack(squares).mean(0) / STEP**2
