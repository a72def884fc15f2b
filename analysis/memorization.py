"""Memorization of training examples: how much training on an example changes the prediction on it.

Feldman and Zhang 2020, equation 1: mem_i = P(right on i | i IN) - P(right on i | i OUT), over the replicas'
subsets and training randomness. `influence` is the same difference on a test example.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.influence import influence, influence_entropy

__all__ = [
    "MIDDLE",
    "RATE_THRESHOLD",
    "MemorizationFigures",
    "influence",
    "influence_entropy",
    "margin_gap",
    "memorization",
    "memorization_figures",
    "memorization_se",
    "nonmember_variance",
]

_CHUNK = 64 << 20  # bytes
RATE_THRESHOLD = 0.25  # Feldman and Zhang 2020, section 3: what they call a memorized example
MIDDLE = (0.6, 0.85)  # where Kim et al. 2023 see the largest surplus of SAM

Floats = NDArray[np.floating[Any]]


def memorization(correct: ArrayLike, members: ArrayLike) -> Floats:
    """Estimate memorization: mean correctness over IN replicas minus that over OUT replicas, by example.

    Source: Feldman and Zhang 2020, equation 1.

    Args:
        correct: bool, or any score in 0..1, ``[R, n]``: whether each replica is right on each example.
        members: bool ``[R, n]``: which examples each replica trained on.

    Returns:
        float64 ``[n]`` in -1..1; NaN where an example is IN, or OUT, in no replica.

    >>> memorization([[1, 1], [1, 0], [0, 1], [0, 0]], [[1, 0], [1, 0], [0, 1], [0, 1]])
    array([1., 0.])
    """
    once = _weights(None, members)
    parts = [_Counts.of(*part).memorization(once)[0] for part in _columns(once, correct, members)]
    return np.concatenate(parts) if parts else np.zeros(0)


def margin_gap(margin: ArrayLike, members: ArrayLike) -> Floats:
    """Welch's t of each example's margin: mean IN minus mean OUT over the error of that difference.

    It orders examples whose memorization ties, as few replicas leave many.

    Args:
        margin: Scaled logits ``[R, n]``.
        members: bool ``[R, n]``: which examples each replica trained on.

    Returns:
        ``[n]``; NaN where a side has fewer than two replicas.
    """
    parts = [_welch(*part) for part in _columns(_weights(None, members), margin, members)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _welch(margin: NDArray[Any], members: NDArray[Any]) -> Floats:
    values, masks = margin.astype(np.float64), members.astype(bool, copy=False)
    means, errors = [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        for side in (masks, ~masks):
            count = side.sum(axis=0)
            mean = np.where(side, values, 0).sum(axis=0) / count
            means.append(mean)
            errors.append((np.where(side, values - mean, 0) ** 2).sum(axis=0) / (count - 1) / count)
        return np.asarray((means[0] - means[1]) / np.sqrt(errors[0] + errors[1]))


def memorization_se(correct: ArrayLike, members: ArrayLike) -> Floats:
    """Estimate the standard error of `memorization` over replicas.

    sqrt(p(1-p)/(IN+2) + q(1-q)/(OUT+2)) with p and q after one success and one failure added to each side
    (Agresti and Caffo 2000), so that a side on which all replicas agree is not called certain.

    Args:
        correct: bool ``[R, n]``: whether each replica is right on each example.
        members: bool ``[R, n]``: which examples each replica trained on.

    Returns:
        float64 ``[n]``; NaN where an example is IN, or OUT, in no replica.
    """
    correct, members = np.asarray(correct), np.asarray(members).astype(bool, copy=False)
    total = np.zeros(members.shape[1])
    for side in (members, ~members):
        count = side.sum(axis=0)
        p = ((correct * side).sum(axis=0) + 1) / (count + 2)
        total += np.where(count > 0, p * (1 - p) / (count + 2), np.nan)
    return np.asarray(np.sqrt(total))


class MemorizationFigures(NamedTuple):
    """Figures of one ensemble under each of B weightings of its replicas, each ``[B]``."""

    mean: Floats
    rate: Floats  # share of examples with memorization above RATE_THRESHOLD
    middle: Floats  # share of examples inside MIDDLE, ends included


def memorization_figures(
    correct: ArrayLike, members: ArrayLike, weights: ArrayLike | None = None
) -> MemorizationFigures:
    """Return mean memorization, memorization rate and middle share, for each weighting of the replicas.

    Examples without an IN or an OUT replica under a weighting are left out of its metrics.

    Args:
        correct: bool, or any score in 0..1, ``[R, n]``.
        members: bool ``[R, n]``.
        weights: How often each replica counts, ``[B, R]``, as bootstrap counts; by default once (B = 1).

    Returns:
        Three metrics, each ``[B]``; NaN where no example is left.
    """
    rows = _weights(weights, members)
    total, known, above, inside = np.zeros((4, len(rows)))
    for part in _columns(rows, correct, members):
        scores = _Counts.of(*part).memorization(rows)
        total += np.nansum(scores, axis=1)
        known += np.isfinite(scores).sum(axis=1)
        above += (scores > RATE_THRESHOLD).sum(axis=1)
        inside += ((scores >= MIDDLE[0]) & (scores <= MIDDLE[1])).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return MemorizationFigures(total / known, above / known, inside / known)


def nonmember_variance(margin: ArrayLike, members: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the variance of the margin over the replicas that hold an example OUT, averaged over examples.

    It is the unbiased variance of integer weights, sum w (x - mean)^2 / (sum w - 1). Examples with fewer than
    two OUT replicas are left out.

    Args:
        margin: Scaled logits ``[R, n]``.
        members: bool ``[R, n]``.
        weights: How often each replica counts, ``[B, R]``, as bootstrap counts; by default once (B = 1).

    Returns:
        float64 ``[B]``, in squared units of the margin.
    """
    rows = _weights(weights, members)
    total, count = np.zeros((2, len(rows)))
    for part, masks in _columns(rows, margin, members):
        values, out = part.astype(np.float64), ~masks.astype(bool, copy=False)
        centre = np.where(out, values, 0).sum(axis=0) / np.maximum(out.sum(axis=0), 1)
        # Centred first, so that the difference of squares below keeps its digits in float32.
        with np.errstate(invalid="ignore"):
            centred = np.where(out, values - centre, 0).astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            held_out = rows @ out.astype(np.float32)
            variance = (rows @ centred**2 - (rows @ centred) ** 2 / held_out) / (held_out - 1)
            known = (held_out > 1) & np.isfinite(variance)
        total += np.where(known, variance, 0).sum(axis=1, dtype=np.float64)
        count += known.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


class _Counts(NamedTuple):
    """Masks as matrices: counts of replicas are then products with weights, exact in float32 below 2^24."""

    right: Floats
    right_in: Floats
    members: Floats

    @staticmethod
    def of(correct: ArrayLike, members: ArrayLike) -> _Counts:
        right = np.asarray(correct)
        right = right.astype(np.float32 if right.dtype == bool else np.float64)
        mask = np.asarray(members).astype(bool, copy=False)
        return _Counts(right, right * mask, mask.astype(right.dtype))

    def memorization(self, weights: Floats) -> Floats:
        """float64 ``[B, n]`` with replica r counted ``weights[b, r]`` times."""
        right_in, right_all = (np.float64(weights @ x) for x in (self.right_in, self.right))
        ins = np.float64(weights @ self.members)
        outs = weights.sum(axis=1, keepdims=True, dtype=np.float64) - ins
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(right_in / ins - (right_all - right_in) / outs)


def _weights(weights: ArrayLike | None, members: ArrayLike) -> Floats:
    """``weights[B, R]`` as float32; by default every replica once, B = 1."""
    replicas = len(np.asarray(members))
    return np.ones((1, replicas), np.float32) if weights is None else np.asarray(weights, np.float32)


def _columns(rows: Floats, *arrays: ArrayLike) -> Iterator[list[NDArray[Any]]]:
    """Yield the arrays ``[R, n]`` by examples, as many as keep what is made of them in ``_CHUNK``."""
    draws, replicas = rows.shape
    given = [np.asarray(array) for array in arrays]
    step = max(64, _CHUNK // (32 * max(draws, replicas)))
    return ([array[:, i : i + step] for array in given] for i in range(0, given[0].shape[1], step))
