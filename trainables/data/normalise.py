"""One scale for every numeric input, whatever its type and unit: that of the training examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Mode = Literal["standard", "none"]

LIMIT = 20.0  # standard deviations; what lies farther out is clipped
ROWS = 4096  # standardised at a time, in double precision
NAMED = 5  # features that a note lists by name


@dataclass(frozen=True)
class Scale:
    """``(x - offset) * factor`` of each channel or feature, float64 ``[d]``; a constant one has factor 0."""

    offset: NDArray[np.float64]
    factor: NDArray[np.float64]

    def original(self, x: Array) -> Array:
        """``x[n, d, ...]`` in the units that it came in."""
        shape = (-1, *[1] * (x.ndim - 2))
        divisor = np.where(self.factor == 0, 1, self.factor)
        return np.asarray(x / divisor.reshape(shape) + self.offset.reshape(shape), np.float64)


@dataclass(frozen=True)
class Normalised:
    """What replicas train on: bytes, which the device standardises per channel, or float32 as it is.

    ``how`` says in a few words what was done, ``notes`` what a user should know of it; ``scale`` leads from
    float32 back to the original values.
    """

    train: Array
    test: Array
    how: str
    notes: tuple[str, ...] = ()
    scale: Scale | None = None


def normalise(
    train: Array,
    test: Array,
    mode: Mode | None = None,
    *,
    numeric: NDArray[np.bool_] | None = None,
    names: Sequence[str] = (),
) -> Normalised:
    """Standardise images per channel and tables per feature by the mean and deviation of ``train``.

    Data of nothing but 0 and 1 are left as they are unless ``mode`` is ``standard``. A channel or feature
    that is constant in training becomes 0 in both sides. Values more than ``LIMIT`` deviations from the mean
    are clipped, lest a feature that hardly varies in training blow up a test example.

    Args:
        train: finite numbers, images ``[n, C, H, W]`` or tables ``[n, d]``.
        test: the same for the test examples.
        mode: ``standard``, ``none``, or None for the rule above.
        numeric: bool ``[d]``, the features to standardise; by default all.
        names: of the ``d`` features, for the notes.
    """
    if mode == "none":
        return Normalised(_float(train), _float(test), "none")
    if mode is None and _is_bits(train) and _is_bits(test):
        return Normalised(_float(train), _float(test), "none: the data are 0 and 1")
    images = train.ndim == 4
    scale = _measured(train)
    if numeric is not None:
        scale = Scale(np.where(numeric, scale.offset, 0), np.where(numeric, scale.factor, 1))
    clipped = _beyond(train, scale) + _beyond(test, scale)
    what = "channel" if images else "feature"
    how = f"each {what} standardised by the training {'images' if images else 'rows'}"
    names = names or [f"{what} {i}" for i in range(train.shape[1])]
    if images and _is_bytes(train) and _is_bytes(test) and scale.factor.all() and not clipped.any():
        return Normalised(train.astype(np.uint8, copy=False), test.astype(np.uint8, copy=False), how)
    return Normalised(
        _standardised(train, scale), _standardised(test, scale), how, _notes(scale, clipped, names), scale
    )


def byte_moments(x: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation ``[C]`` of each channel of byte images ``[n, C, H, W]``, by counting."""
    counts = np.stack([np.bincount(x[:, c].ravel(), minlength=256) for c in range(x.shape[1])])
    share = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256.0)
    mean = share @ values
    return mean, np.sqrt(np.maximum(share @ values**2 - mean**2, 1e-12))


def _measured(x: Array) -> Scale:
    """Return the offset and factor of each channel or feature; factor 0 where only rounding makes it vary."""
    axes = (0, *range(2, x.ndim))
    low, high = x.min(axis=axes).astype(np.float64), x.max(axis=axes).astype(np.float64)
    if x.dtype == np.uint8:
        mean, deviation = byte_moments(x)
    else:
        mean, deviation = _moments(x)
    rounding = 4 * np.finfo(x.dtype).eps if x.dtype.kind == "f" else 0.0
    constant = high - low <= rounding * np.maximum(abs(low), abs(high))
    return Scale(mean, np.where(constant, 0, 1 / np.where(constant, 1, deviation)))


def _moments(x: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axes, count = (0, *range(2, x.ndim)), x.size // x.shape[1]
    shape = (-1, *[1] * (x.ndim - 2))
    mean = sum(block.sum(axis=axes) for block in _blocks(x)) / count
    squares = sum(((block - mean.reshape(shape)) ** 2).sum(axis=axes) for block in _blocks(x))
    return mean, np.sqrt(squares / count)


def _blocks(x: Array) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(x), ROWS):
        yield x[start : start + ROWS].astype(np.float64)


def _standardised(x: Array, scale: Scale) -> NDArray[np.float32]:
    shape = (-1, *[1] * (x.ndim - 2))
    out = np.empty(x.shape, np.float32)
    for i, block in enumerate(_blocks(x)):
        block -= scale.offset.reshape(shape)
        block *= scale.factor.reshape(shape)
        out[i * ROWS : i * ROWS + len(block)] = block.clip(-LIMIT, LIMIT)
    return out


def _beyond(x: Array, scale: Scale) -> NDArray[np.int64]:
    """Return how many values of each channel or feature lie farther out than ``LIMIT``: ``[d]``."""
    axes, shape = (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
    ends = np.stack([x.min(axis=axes), x.max(axis=axes)]).astype(np.float64)
    found = np.zeros(x.shape[1], np.int64)
    far = np.flatnonzero((abs((ends - scale.offset) * scale.factor) > LIMIT).any(axis=0))
    if len(far):
        offset, factor = scale.offset[far].reshape(shape), scale.factor[far].reshape(shape)
        found[far] = sum(
            (abs((block - offset) * factor) > LIMIT).sum(axis=axes) for block in _blocks(x[:, far])
        )
    return found


def _notes(scale: Scale, clipped: NDArray[np.int64], names: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if not scale.factor.all():
        constant = [names[i] for i in np.flatnonzero(scale.factor == 0).tolist()]
        notes.append(f"constant in training, so 0 in every example: {listed(constant)}")
    if clipped.any():
        far = [f"{names[i]} ({clipped[i]:,})" for i in np.flatnonzero(clipped).tolist()]
        notes.append(f"values more than {LIMIT:g} standard deviations out are clipped there: {listed(far)}")
    return tuple(notes)


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def _is_bits(x: Array) -> bool:
    return bool(x.dtype.kind == "b" or (x.min() >= 0 and x.max() <= 1 and np.isin(x, (0, 1)).all()))


def _is_bytes(x: Array) -> bool:
    """Return whether all values are whole numbers from 0 to 255."""
    if x.dtype == np.uint8:
        return True
    if x.min() < 0 or x.max() > 255:
        return False
    return x.dtype.kind in "iub" or all((block == np.rint(block)).all() for block in _blocks(x))


def _float(x: Array) -> NDArray[np.float32]:
    return x.astype(np.float32)
