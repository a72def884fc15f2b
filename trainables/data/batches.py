"""The data on the device, and the batches of every replica: all randomness of an epoch drawn before it
starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.augmentation import Augmentation
from trainables.data.dataset import Dataset
from trainables.engine.networks import Network, Params
from trainables.optimizers.losses import Objective, mixed
from trainables.optimizers.registry import find_optimizer
from trainables.recipe import Recipe

Streams = Callable[[str], Iterable[np.random.Generator]]  # purpose -> one generator a replica

# Images up to this size as floats are normalised once, larger sets batch by batch.
NORMALISE_BYTES = 2**27


class DeviceData:
    """A data set whole on the device: bytes normalised per channel by the training set, floats as they
    are."""

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.device = device
        self.num_classes = dataset.num_classes
        self.shape = tuple(dataset.x_train.shape[1:])
        self.x = {side: _tensor(getattr(dataset, f"x_{side}"), device) for side in ("train", "test")}
        self.y = _tensor(dataset.y_train, device).long()
        self._one_hot = torch.eye(dataset.num_classes, device=device)
        self._scale: tuple[Tensor, Tensor] | None = None
        if self.x["train"].dtype == torch.uint8:
            self._scale = _channel_statistics(dataset.x_train, device)
        if 4 * sum(x.numel() for x in self.x.values()) <= NORMALISE_BYTES:
            self.x = {side: self._normalise(x) for side, x in self.x.items()}
            self._scale = None

    def rows(self, index: Tensor) -> Tensor:
        """The training examples at ``index[K, B]``: float32 ``[K, B, *shape]``."""
        return self._normalise(self.x["train"].index_select(0, index.flatten())).unflatten(0, index.shape)

    def targets(self, index: Tensor) -> Tensor:
        """Their classes as soft targets ``[C, K, B]``."""
        labels = self.y.index_select(0, index.flatten())
        return self._one_hot.index_select(1, labels).unflatten(1, index.shape)

    def chunks(self, side: str, size: int) -> Iterator[Tensor]:
        """All examples of a side in order, ``size`` at a time."""
        return map(self._normalise, self.x[side].split(size))

    def _normalise(self, x: Tensor) -> Tensor:
        if self._scale is None:
            return x.float()
        mean, factor = self._scale
        return x.float().sub_(mean).mul_(factor)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    # Arrays from Ray's object store are read-only; nothing here writes to them, but torch warns of it.
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)


def _channel_statistics(x: NDArray[Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation of each channel of images ``[n, C, H, W]`` (of all columns of a
    table)."""
    channels = x.shape[1] if x.ndim == 4 else 1
    counts = [np.bincount((x[:, c] if x.ndim == 4 else x).ravel(), minlength=256) for c in range(channels)]
    share = np.stack(counts) / np.stack(counts).sum(axis=1, keepdims=True)
    values = np.arange(256.0)
    mean = share @ values
    deviation = np.sqrt(np.maximum(share @ values**2 - mean**2, 1e-12))
    shape = (channels, *[1] * (x.ndim - 2)) if x.ndim == 4 else (1,)
    return tuple(
        torch.as_tensor(v, dtype=torch.float32, device=device).reshape(shape) for v in (mean, 1 / deviation)
    )  # type: ignore[return-value]


@dataclass
class Batch:
    """One batch of each replica: its mean gradient at any parameters (see ``gradients.Batch``).

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
        return self.x.shape[1]

    def __call__(self, params: Params) -> Params:
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
        """Every example's loss at these parameters: ``[K, B]``."""
        named = self.network.layout.unpack(params)
        logits = self.network.logits(named, _copied(self.buffers), self.x, train=True)
        return self.objective(logits.movedim(-1, 0), self.targets)

    def select(self, index: Tensor) -> Batch:
        """The batch of the examples ``index[K, b]`` of each replica."""
        replica = torch.arange(len(index), device=index.device)[:, None]
        x, targets = self.x[replica, index], self.targets[:, replica, index]
        share = self.share.new_full(index.shape, 1 / index.shape[1])
        return replace(self, x=x, targets=targets, share=share)

    def _buffers(self) -> Params:
        return _copied(self.buffers) if self.seen else self.buffers


def _copied(buffers: Params) -> Params:
    return {name: buffer.clone() for name, buffer in buffers.items()}


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
        self.clip = recipe.clip
        self.mixup = recipe.mixup
        self.augmentation = Augmentation.of(recipe.augment)
        self.replica = torch.arange(len(members), device=data.device)[:, None]

    def epoch(self, number: int, network: Network, loss: Objective, buffers: Params) -> Iterator[Batch]:
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
            yield Batch(network, loss, buffers, x, targets, share, self.clip)

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
