"""Batched augmentation against a loop over images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.data.augmentation import Augmentation
from trainables.errors import UserError


def one_image(image: np.ndarray, u: np.ndarray, a: Augmentation) -> np.ndarray:
    """The same with slices and padding, an image ``[C, H, W]`` at a time."""
    _, height, width = image.shape
    if a.crop:
        top, left = int(u[1] * (2 * a.crop + 1)), int(u[2] * (2 * a.crop + 1))
        padded = np.pad(image, ((0, 0), (a.crop, a.crop), (a.crop, a.crop)))
        image = padded[:, top : top + height, left : left + width]
    if a.flip and u[0] < 0.5:
        image = image[:, :, ::-1]
    image = image.copy()
    if a.cutout:
        top, left = int(u[3] * height) - a.cutout // 2, int(u[4] * width) - a.cutout // 2
        image[:, max(top, 0) : max(top + a.cutout, 0), max(left, 0) : max(left + a.cutout, 0)] = 0
    return image


@pytest.mark.parametrize(
    "names", [("flip",), ("crop",), ("crop:2",), ("cutout:3",), ("cutout",), ("flip", "crop:3", "cutout:4")]
)
def test_batched_augmentation_equals_a_loop_over_images(names: tuple[str, ...]) -> None:
    augmentation = Augmentation.of(names)
    x = np.random.default_rng(0).normal(size=(3, 20, 2, 9, 7)).astype(np.float32)
    draws = np.stack([augmentation.draw(np.random.default_rng(seed), 20) for seed in range(3)])
    found = augmentation.apply(torch.from_numpy(x), torch.from_numpy(draws))
    expected = [[one_image(x[k, i], draws[k, i], augmentation) for i in range(20)] for k in range(3)]
    np.testing.assert_array_equal(found.numpy(), np.array(expected))


def test_crops_reach_every_offset_equally() -> None:
    augmentation = Augmentation.of(("crop:1",))
    image = torch.zeros(1, 3000, 1, 3, 3)
    image[..., 1, 1] = 1
    draws = torch.from_numpy(augmentation.draw(np.random.default_rng(0), 3000))[None]
    counts = augmentation.apply(image, draws).sum((0, 1, 2)).numpy()
    assert counts.sum() == 3000
    assert abs(counts - 3000 / 9).max() < 5 * (3000 / 9) ** 0.5


@pytest.mark.parametrize("text", ["crop:x", "crop:0", "flip:2", "rotate"])
def test_wrong_augmentations_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="augmentation"):
        Augmentation.of((text,))
