"""The gradient of one batch of each replica, as gradient rules ask for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainables.engine.networks import Network, Params
from trainables.optimizers.losses import Objective


@dataclass
class Batch:
    """One batch of each replica: its mean gradient at any parameters (see ``gradient_rules.Batch``).

    ``x[K, B, ...]``, soft ``targets[C, K, B]``, ``share[K, B]`` each example's part in the mean. ``clip``:
    each example's own gradient is first clipped to this norm. Only the first evaluation moves BatchNorm's
    running statistics; its mean loss ``[K]`` is put in ``seen``. Where a rule evaluates parts of the batch
    (``select``), that is the first part.
    """

    network: Network
    objective: Objective
    buffers: Params
    x: Tensor
    targets: Tensor
    share: Tensor
    clip: float | None = None
    seen: list[Tensor] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Examples of one replica's batch."""
        return self.x.shape[1]

    def __call__(self, params: Params) -> Params:
        """Return the mean gradient of the batch at these parameters, ``{name: tensor[K, ...]}``."""
        batch = (params, self._buffers(), self.x, self.targets, self.share, self.objective)
        if self.clip is None:
            gradient, losses = self.network.gradient(*batch)
        else:
            gradient, losses = self.network.clipped(*batch, self.clip)
        if not self.seen:
            self.seen.append((losses * self.share).sum(1))
        return gradient

    @torch.no_grad()
    def losses(self, params: Params) -> Tensor:
        """Return every example's loss at these parameters: ``[K, B]``."""
        named = self.network.layout.unpack(params)
        logits = self.network.logits(named, _copied(self.buffers), self.x, train=True)
        return self.objective(logits.movedim(-1, 0), self.targets)

    def select(self, index: Tensor) -> Batch:
        """Return the batch of the examples ``index[K, b]`` of each replica."""
        replica = torch.arange(len(index), device=index.device)[:, None]
        x, targets = self.x[replica, index], self.targets[:, replica, index]
        share = self.share.new_full(index.shape, 1 / index.shape[1])
        return replace(self, x=x, targets=targets, share=share)

    def _buffers(self) -> Params:
        return _copied(self.buffers) if self.seen else self.buffers


def _copied(buffers: Params) -> Params:
    return {name: buffer.clone() for name, buffer in buffers.items()}
