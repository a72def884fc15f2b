"""Which examples each replica sees when: all randomness of an epoch drawn before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.augmentation import Augmentation
from trainables.data.device_data import DeviceData
from trainables.optimizers.losses import mixed
from trainables.optimizers.registry import find_optimizer
from trainables.recipe import Recipe

Streams = Callable[[str], Iterable[np.random.Generator]]  # purpose -> one generator a replica
# One batch of each replica: x [K, B, ...], soft targets [C, K, B], each example's share [K, B] in the mean.
Examples = tuple[Tensor, Tensor, Tensor]


class Sampler:
    """Which examples each replica sees when, and what is done to them.

    Everything random comes from a replica's own stream of that epoch: nothing has to be saved to go on from
    there, and no replica depends on which others it is stacked with. ``size``: examples a replica sees an
    epoch.
    """

    def __init__(
        self, recipe: Recipe, data: DeviceData, members: NDArray[np.bool_], size: int, streams: Streams
    ) -> None:
        self.data = data
        self.members = [np.flatnonzero(mask) for mask in members]
        self.size = size
        self.streams = streams
        self.batch_size = min(recipe.batch_size, size)
        self.steps = ceil(size / self.batch_size)
        self.private = find_optimizer(recipe.optimizer).private
        self.mixup = recipe.mixup
        self.augmentation = Augmentation.of(recipe.augment)
        self.replica = torch.arange(len(members), device=data.device)[:, None]

    def epoch(self, number: int) -> Iterator[Examples]:
        """The batches of one epoch. What is random in them is drawn, and sent to the device, before the
        first."""
        index = self._poisson(number) if self.private else self._shuffled(number)
        draws = self._draw("augment", number, self._augmentations) if self.augmentation else None
        mixing = self._draw("mixup", number, self._mixing).unbind(1) if self.mixup else ()
        for step, rows in enumerate(index):
            if self.private:
                share, rows = (rows >= 0) / self.batch_size, rows.clamp_min(0)
            else:
                share = torch.full(rows.shape, 1 / rows.shape[1], device=rows.device)
            x = self.data.rows(rows)
            if draws is not None:
                x = self.augmentation.apply(x, draws[self.replica, rows])
            targets = self.data.targets(rows)
            if mixing:
                x, targets = mixed(x, targets, mixing[step])
            yield x, targets, share

    def _draw(
        self, purpose: str, epoch: int, draw: Callable[[np.random.Generator, int], NDArray[Any]]
    ) -> Tensor:
        """``draw(generator, k)`` of every replica k, stacked, on the device."""
        drawn = [draw(generator, k) for k, generator in enumerate(self.streams(f"{purpose} {epoch}"))]
        return torch.from_numpy(np.stack(drawn)).to(self.data.device, non_blocking=True)

    def _shuffled(self, epoch: int) -> Sequence[Tensor]:
        """Every member once, in batches ``[K, B]`` of nearly equal size, none above ``batch_size``."""
        index = self._draw("batches", epoch, lambda g, k: g.permutation(self.members[k])[: self.size])
        return index.tensor_split(self.steps, dim=1)

    def _poisson(self, epoch: int) -> Sequence[Tensor]:
        """Every member with probability ``batch_size / size`` in each batch ``[K, B]``; -1 fills the shorter
        ones."""
        rate = self.batch_size / self.size
        drawn = [
            [members[generator.random(len(members)) < rate] for _ in range(self.steps)]
            for members, generator in zip(self.members, self.streams(f"batches {epoch}"), strict=True)
        ]
        longest = max(1, *(len(rows) for batches in drawn for rows in batches))
        index = np.full((len(drawn), self.steps, longest), -1)
        for k, batches in enumerate(drawn):
            for step, rows in enumerate(batches):
                index[k, step, : len(rows)] = rows
        return torch.from_numpy(index).to(self.data.device).unbind(1)

    def _augmentations(self, generator: np.random.Generator, _: int) -> NDArray[np.float32]:
        """One draw an example and epoch."""
        return self.augmentation.draw(generator, len(self.data.y))

    def _mixing(self, generator: np.random.Generator, _: int) -> NDArray[np.float64]:
        """Each step's share of an example in its mixture with another."""
        return generator.beta(self.mixup, self.mixup, self.steps)
