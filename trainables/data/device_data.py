"""A data set whole on the device that trains on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.dataset import Dataset
from trainables.data.normalise import byte_moments

# Images up to this size as floats are normalised once, larger sets batch by batch.
NORMALISE_BYTES = 2**27


class DeviceData:
    """A data set that lies whole on the device.

    Bytes are normalised per channel by the training set; floats stay as they are.
    """

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.device = device
        self.num_classes = dataset.num_classes
        self.shape = tuple(dataset.x_train.shape[1:])
        self.x = {side: _tensor(getattr(dataset, f"x_{side}"), device) for side in ("train", "test")}
        self.y = _tensor(dataset.y_train, device).long()
        self._one_hot = torch.eye(dataset.num_classes, device=device)
        self._scale: tuple[Tensor, Tensor] | None = None
        if self.x["train"].dtype == torch.uint8:
            self._scale = _channel_scale(dataset.x_train, device)
        if 4 * sum(x.numel() for x in self.x.values()) <= NORMALISE_BYTES:
            self.x = {side: self._normalise(x) for side, x in self.x.items()}
            self._scale = None

    def rows(self, index: Tensor) -> Tensor:
        """Return the training examples at ``index[K, B]``: float32 ``[K, B, *shape]``."""
        rows = self._normalise(self.x["train"].index_select(0, index.flatten()))
        return rows.view(*index.shape, *rows.shape[1:])

    def targets(self, index: Tensor) -> Tensor:
        """Their classes as soft targets ``[C, K, B]``."""
        labels = self.y.index_select(0, index.flatten())
        return self._one_hot.index_select(1, labels).view(len(self._one_hot), *index.shape)

    def chunks(self, side: str, size: int) -> Iterator[Tensor]:
        """Yield all examples of a side in order, ``size`` at a time."""
        return map(self._normalise, self.x[side].split(size))

    def _normalise(self, x: Tensor) -> Tensor:
        if self._scale is None:
            return x.float()
        mean, factor = self._scale
        return x.float().sub_(mean).mul_(factor)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    # Arrays from Ray's object store are read-only; nothing here writes to them, but torch warns of it.
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)


def _channel_scale(x: NDArray[np.uint8], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return mean and 1 / standard deviation of each channel of byte images, to be broadcast over them."""
    mean, deviation = byte_moments(x)
    offset, factor = (
        torch.as_tensor(v, dtype=torch.float32, device=device).reshape(-1, *[1] * (x.ndim - 2))
        for v in (mean, 1 / deviation)
    )
    return offset, factor
