"""Data sets as people have them: NumPy archives, and the bytes of an image."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def rows(x: np.ndarray) -> set[bytes]:
    """The examples as they lie in memory, without their order."""
    return {row.tobytes() for row in x}


def saved(path: Path, **arrays: np.ndarray) -> dict[str, str]:
    """An archive of these arrays, as a spec names it."""
    np.savez(path, **arrays)
    return {"name": "npz", "path": str(path)}


def dense(
    n: int = 40, m: int = 20, shape: tuple[int, ...] = (5, 5), classes: int = 4
) -> dict[str, np.ndarray]:
    """A dense archive of ``n`` training and ``m`` test examples, every class in turn."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (n, *shape), np.uint8),
        "y_train": np.arange(n) % classes,
        "x_test": rng.integers(0, 256, (m, *shape), np.uint8),
        "y_test": np.arange(m) % classes,
    }


def png(image: np.ndarray) -> bytes:
    """An image, encoded without loss."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "png")
    return out.getvalue()
