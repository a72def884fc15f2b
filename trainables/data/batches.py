"""Which examples each replica sees when: all randomness of an epoch drawn before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.augmentation import Augmentation, mixed
from trainables.data.device_data import DeviceData
from trainables.optimizers.registry import find_optimizer
from trainables.optimizers.schedule import TILE, batch_sizes
from trainables.recipe import Recipe

Streams = Callable[[str], Iterable[np.random.Generator]]  # purpose -> one generator a replica
# One batch of each replica: x [K, B, ...], soft targets [C, K, B], each example's share [K, B] in the mean.
Examples = tuple[Tensor, Tensor, Tensor]
Drawn = dict[str, NDArray[Any]]

# Standard deviations above the mean that a usual Poisson batch may have, and any: more is never drawn.
USUAL, LARGEST = 4, 9


class Sampler:
    """The batches of K replicas.

    Everything random comes from a replica's own stream of that epoch: nothing has to be saved to go on from
    there, and no replica depends on which others it is stacked with. What was drawn lies in buffers on the
    device that stay where they are. Two counters there walk through them, so that a captured step needs
    nothing from the host; where steps are not captured, the host walks, which takes fewer operations.

    Args:
        recipe: Batch size, augmentation, mixup and whether batches are Poisson samples.
        data: The data set on the device.
        replicas: K.
        size: Examples that a replica sees in an epoch.
        host: Whether the host walks through the batches.
    """

    def __init__(
        self, recipe: Recipe, data: DeviceData, replicas: int, size: int, *, host: bool = False
    ) -> None:
        self.data, self.size, self.host = data, size, host
        self.number = 0  # the host's counter of batches
        self.cut: Sequence[Tensor] = ()  # where the host walks, the rows of every batch
        self.even = batch_sizes(size, recipe.batch_size)
        self.steps = len(self.even)
        self.batch_size = min(recipe.batch_size, size)
        self.private = find_optimizer(recipe.optimizer).private
        self.mixup = recipe.mixup
        self.augmentation = Augmentation.of(recipe.augment)
        device, longest = data.device, self._poisson_size(LARGEST) if self.private else max(self.even)
        self.replica = torch.arange(replicas, device=device)[:, None]
        self.ramp = torch.arange(longest, device=device)
        self.step = torch.zeros(1, dtype=torch.long, device=device)
        self.place = torch.zeros(1, dtype=torch.long, device=device)
        seen = self.steps * longest if self.private else size
        self.buffers = {"batches": torch.zeros(replicas, seen, dtype=torch.long, device=device)}
        if self.augmentation:
            self.buffers["augment"] = torch.zeros(replicas, len(data.y), 5, device=device)
        if self.mixup:
            self.buffers["mixup"] = torch.zeros(replicas, self.steps, dtype=torch.float64, device=device)

    def draw(self, epoch: int, members: NDArray[np.bool_], streams: Streams) -> Drawn:
        """Return all that is random in an epoch, on the host.

        Args:
            epoch: Its number, from 0.
            members: Each replica's training examples ``[K, n]``.
            streams: The replicas' random streams by purpose.
        """
        draws: dict[str, Callable[[np.random.Generator, NDArray[np.intp]], NDArray[Any]]] = {
            "batches": self._poisson if self.private else self._shuffled,
            "augment": lambda g, _: self.augmentation.draw(g, len(self.data.y)),
            "mixup": lambda g, _: g.beta(self.mixup, self.mixup, self.steps),
        }
        own = [np.flatnonzero(mask) for mask in members]
        drawn = {}
        for purpose in self.buffers:
            each = zip(streams(f"{purpose} {epoch}"), own, strict=True)
            values = [draws[purpose](generator, rows) for generator, rows in each]
            poisson = self.private and purpose == "batches"
            drawn[purpose] = self._filled(values) if poisson else np.stack(values)
        return drawn

    def load(self, drawn: Drawn) -> list[int]:
        """Copy an epoch's draws to the device and start it.

        Returns:
            The sizes of its batches, to be asked for in this order.
        """
        for purpose, values in drawn.items():
            self.buffers[purpose][:, : values.shape[1]].copy_(torch.from_numpy(values))
        sizes = [drawn["batches"].shape[1] // self.steps] * self.steps if self.private else self.even
        if self.host:
            self.number, self.cut = 0, self.buffers["batches"][:, : sum(sizes)].split_with_sizes(sizes, 1)
        else:
            self.step.zero_()
            self.place.zero_()
        return sizes

    def next(self, size: int) -> Examples:
        """Return the next batch, of ``size`` examples a replica."""
        rows = self._rows(size)
        share = torch.full(rows.shape, 1 / size, device=rows.device)
        if self.private:
            share, rows = (rows >= 0) / self.batch_size, rows.clamp_min(0)
        x = self.data.rows(rows)
        if self.augmentation:
            x = self.augmentation.apply(x, self.buffers["augment"][self.replica, rows])
        targets = self.data.targets(rows)
        if self.mixup:
            shares = self.buffers["mixup"]
            own = shares[:, self.number] if self.host else shares.index_select(1, self.step)[:, 0]
            x, targets = mixed(x, targets, own)
        self._walk(size)
        return x, targets, share

    def _rows(self, size: int) -> Tensor:
        if self.host:
            return self.cut[self.number]
        return self.buffers["batches"].index_select(1, self.place + self.ramp[:size])

    def _walk(self, size: int) -> None:
        if self.host:
            self.number += 1
        else:
            self.place.add_(size)
            self.step.add_(1)

    def _shuffled(self, generator: np.random.Generator, members: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return every member once; of more than ``size`` some are left out, of fewer some come twice."""
        order = generator.permutation(members)
        if len(order) < self.size:
            order = np.append(order, generator.choice(members, self.size - len(order)))
        return order[: self.size]

    def _poisson(self, generator: np.random.Generator, members: NDArray[np.intp]) -> NDArray[np.intp]:
        """Draw every member with probability ``batch_size / size`` in each batch (Poisson sampling).

        The result is ``[steps, longest]``; -1 fills the shorter batches.
        """
        rate = self.batch_size / self.size
        drawn = [members[generator.random(len(members)) < rate] for _ in range(self.steps)]
        index = np.full((self.steps, max(1, *map(len, drawn))), -1)
        for row, rows in zip(index, drawn, strict=True):
            row[: len(rows)] = rows
        return index

    def _filled(self, drawn: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
        """Poisson batches of all replicas ``[K, steps * size]``, filled up to one size.

        On a CPU that is the longest one's. Elsewhere it is one of two sizes, so that few steps are captured.
        """
        longest = max(rows.shape[1] for rows in drawn)
        most = self._poisson_size(LARGEST)
        assert longest <= most, "a Poisson batch nine standard deviations above its mean"
        if self.data.device.type != "cpu":
            longest = usual if longest <= (usual := self._poisson_size(USUAL)) else most
        index = np.full((len(drawn), self.steps, longest), -1)
        for k, rows in enumerate(drawn):
            index[k, :, : rows.shape[1]] = rows
        return index.reshape(len(drawn), -1)

    def _poisson_size(self, deviations: int) -> int:
        """So many standard deviations above the mean of a Poisson batch, in whole tiles."""
        bound = self.batch_size + deviations * (sqrt(self.batch_size) + 1)
        return TILE * ceil(bound / TILE)
