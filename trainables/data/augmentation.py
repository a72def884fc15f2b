"""Augmentation as batched tensor operations.

What to do is drawn per epoch, from each replica's own stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.errors import UserError
from trainables.registry import lookup

# Name -> its size in pixels unless the recipe gives one, as in "crop:2"; None where there is no size to give.
AUGMENTATIONS: dict[str, int | None] = {"flip": None, "crop": 4, "cutout": 8}


@dataclass(frozen=True)
class Augmentation:
    """Random flips and crops (sides 0 means none) and erased squares of images that are normalised already.

    ``flip``: mirrored with probability one half. ``crop``: padded by ``crop`` pixels of the data's mean on
    every side, then cut back at a uniform offset. ``cutout``: a square of that side about a uniform centre
    set to the mean (DeVries and Taylor 2017). Each draw takes the same numbers from the generator whatever
    else is on.
    """

    flip: bool = False
    crop: int = 0
    cutout: int = 0

    @staticmethod
    def of(names: Sequence[str]) -> Augmentation:
        """``("flip", "crop:2")`` -> the augmentation.

        Raises:
            UserError: an unknown name, or a size that is no positive whole number.
        """
        sizes: dict[str, int] = {}
        for text in names:
            name, _, size = text.partition(":")
            default = lookup("augmentation", name, AUGMENTATIONS)
            if size and (default is None or not size.isdecimal() or int(size) < 1):
                expected = (
                    "takes no size" if default is None else "needs a whole number of pixels after the colon"
                )
                raise UserError(f"augmentation {text!r}: {name} {expected}")
            sizes[name] = int(size or default or 1)
        return Augmentation("flip" in sizes, sizes.get("crop", 0), sizes.get("cutout", 0))

    def __bool__(self) -> bool:
        return self.flip or self.crop > 0 or self.cutout > 0

    def draw(self, generator: np.random.Generator, n: int) -> NDArray[np.float32]:
        """Five uniform numbers in [0, 1) for each of ``n`` images: flip, crop (y, x), cutout (y, x)."""
        return generator.random((n, 5), dtype=np.float32)

    def apply(self, x: Tensor, draws: Tensor) -> Tensor:
        """``x[K, B, C, H, W]``, ``draws[K, B, 5]`` -> the augmented images."""
        images, u = x.flatten(0, 1), draws.flatten(0, 1).unbind(1)
        height, width = images.shape[2:]
        rows = torch.arange(height, device=x.device).expand(len(images), -1)
        columns = torch.arange(width, device=x.device).expand(len(images), -1)
        if self.flip:
            columns = torch.where(u[0][:, None] < 0.5, width - 1 - columns, columns)
        if self.crop:
            rows = rows + self._shift(u[1])
            columns = columns + self._shift(u[2])
        if self.flip or self.crop:
            kept = _inside(rows, height)[:, None, :, None] & _inside(columns, width)[:, None, None, :]
            images = images.gather(2, rows.clamp(0, height - 1)[:, None, :, None].expand_as(images))
            images = images.gather(3, columns.clamp(0, width - 1)[:, None, None, :].expand_as(images))
            images = images * kept
        if self.cutout:
            far_y = self._beyond(u[3], height, x.device)[:, None, :, None]
            far_x = self._beyond(u[4], width, x.device)[:, None, None, :]
            images = images * (far_y | far_x)
        out: Tensor = images.unflatten(0, x.shape[:2])
        return out

    def _shift(self, u: Tensor) -> Tensor:
        """Return an offset in -crop .. crop, all equally likely."""
        return ((u * (2 * self.crop + 1)).long() - self.crop)[:, None]

    def _beyond(self, u: Tensor, side: int, device: torch.device) -> Tensor:
        """Return which rows (or columns) lie outside the square about the drawn centre."""
        start = (u * side).long()[:, None] - self.cutout // 2
        place = torch.arange(side, device=device)
        return (place < start) | (place >= start + self.cutout)


def _inside(index: Tensor, side: int) -> Tensor:
    return (index >= 0) & (index < side)


def mixed(x: Tensor, targets: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Mix every example and its target with the next one in the batch (mixup).

    Each becomes ``share`` of itself and ``1 - share`` of the next: Zhang et al. 2018, section 2, where
    share ~ Beta(a, a) and a is the recipe's ``mixup``, 0.1 to 1. Batches come in random order, so the next
    example is a random partner.

    Args:
        x: Inputs ``[K, B, ...]``.
        targets: Probabilities of the classes ``[C, K, B]``.
        share: One share a replica ``[K]``, in 0..1.

    Returns:
        The mixed inputs and targets, of the same shapes.
    """
    partner = x.roll(-1, 1)
    x = torch.lerp(partner, x, share.view(-1, *[1] * (x.ndim - 1)).to(x.dtype))
    return x, torch.lerp(targets.roll(-1, -1), targets, share[:, None].to(targets.dtype))
