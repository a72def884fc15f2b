"""What needs a CUDA device: skipped where torch finds none."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
