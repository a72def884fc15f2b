"""What needs a CUDA device: skipped where torch finds none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.data.dataset import Dataset, load_dataset


@pytest.fixture(autouse=True)
def _device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A few images of noise, as large as CIFAR's."""
    draw, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "images.npz"
    sides = {"train": 128, "test": 32}
    arrays = {f"x_{s}": draw.integers(0, 256, (n, 3, 32, 32), np.uint8) for s, n in sides.items()}
    np.savez(path, **arrays, **{f"y_{s}": np.arange(n) % 10 for s, n in sides.items()})
    return load_dataset({"name": "npz", "path": str(path)})
