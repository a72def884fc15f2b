"""What every attack does to its input first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

# log of float32's smallest positive number, negated: how far a probability that rounded to 0 can be.
_BEYOND = 104.0


def finite(values: ArrayLike) -> Floats:
    """Replace infinite signals, which stand for probabilities that rounded to 0 or 1.

    They become +-104, or +-the largest finite magnitude where that is larger. NaN stays.
    """
    array = np.asarray(values)
    array = array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)
    infinite = np.isinf(array)
    if not infinite.any():
        return array
    limit = max(_BEYOND, np.abs(array[np.isfinite(array)]).max(initial=0.0))
    return np.where(infinite, np.copysign(limit, array), array)


def with_queries(values: ArrayLike) -> Floats:
    """``[R, n]`` or ``[R, Q, n]`` as finite ``[R, Q, n]``."""
    array = finite(values)
    if array.ndim not in (2, 3):
        raise ValueError(f"expected a signal [R, n] or [R, Q, n], got shape {array.shape}")
    return array[:, None] if array.ndim == 2 else array


def masks(members: ArrayLike, replicas: int, examples: int) -> Bools:
    """Return the membership masks as bool ``[R, n]``, checked against the signal's shape."""
    array = np.asarray(members).astype(bool, copy=False)
    if array.shape != (replicas, examples):
        raise ValueError(f"members have shape {array.shape}, the signal says {(replicas, examples)}")
    return array
