"""Random streams that depend on the sweep seed and one subset seed alone, never on block, worker or node."""

from __future__ import annotations

import zlib

import numpy as np


def stream(sweep_seed: int, subset_seed: int, purpose: str) -> np.random.Generator:
    """Return a NumPy generator for one purpose ("mask", "batches", "augment", ...) of one replica."""
    return np.random.default_rng([sweep_seed, subset_seed, zlib.crc32(purpose.encode())])


def torch_seed(sweep_seed: int, subset_seed: int, purpose: str) -> int:
    """Return a 63-bit seed for a ``torch.Generator`` of the same stream."""
    return int(stream(sweep_seed, subset_seed, purpose).integers(0, 2**63 - 1))
