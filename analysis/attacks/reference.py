"""Attacks that compare a target's loss with that of other models, or of other points, on the same footing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.attacks.arrays import Floats, finite, masks
from analysis.attacks.ranks import out_ranks
from analysis.statistics.ordered import places


def attack_r(log_p_true: ArrayLike, members: ArrayLike) -> Floats:
    """Share of the OUT shadows whose loss on the example exceeds the target's (Ye et al. 2022, attack R).

    The score is the randomised rank (b + u (e + 1)) / (N + 1) with b of N shadows worse, e equal and u
    uniform from a fixed stream: without leakage it is uniform whatever N. Plain shares k/N would give members
    away, whose N is one larger with exact halves. Cost: one sort an example for all targets.

    Args:
        log_p_true: Log probabilities of the true class ``[R, n]``, nats.
        members: bool ``[R, n]``.

    Returns:
        Scores ``[R, n]`` in 0..1; higher means more likely a member. NaN without an OUT shadow.
    """
    values = finite(log_p_true)
    out = ~masks(members, *values.shape)
    shadows = out.sum(axis=0) - out
    below, up_to = out_ranks(values, out)
    rank = below + np.random.default_rng(0).random(values.shape) * (up_to - below - out + 1)
    return np.where(shadows > 0, rank / (shadows + 1), np.nan)


def attack_p(log_p_true: ArrayLike, population: ArrayLike) -> Floats:
    """Share of population points on which the target's loss exceeds its loss on x (Ye et al. 2022, attack P).

    No shadow takes part. Cost: one sort and n binary searches a target.

    Args:
        log_p_true: Log probabilities of the true class ``[R, n]``, nats.
        population: The same ``[R, m]`` of the same replicas, on points that no replica trained on.

    Returns:
        Scores ``[R, n]`` in 0..1, ties half; higher means more likely a member.
    """
    values, others = finite(log_p_true), np.sort(finite(population), axis=1)
    scores = np.empty(values.shape)
    for target, (x, z) in enumerate(zip(values, others, strict=True)):
        scores[target] = np.add(*places(z, x))
    return np.asarray(scores / (2 * others.shape[1]))


def calibrated_loss(log_p_true: ArrayLike, members: ArrayLike) -> Floats:
    """Mean loss of the OUT shadows minus the target's loss: how much easier than its difficulty x is.

    Source: Watson et al. 2022, difficulty calibration. Cost: a leave-one-out mean, O(R n).

    Args:
        log_p_true: Log probabilities of the true class ``[R, n]``, nats.
        members: bool ``[R, n]``.

    Returns:
        Scores ``[R, n]`` in nats; higher means more likely a member. NaN without an OUT shadow.
    """
    values = finite(log_p_true).astype(np.float64)
    out = ~masks(members, *values.shape)
    shadows = out.sum(axis=0) - out
    total = (values * out).sum(axis=0) - values * out
    difficulty = np.divide(total, shadows, out=np.full(values.shape, np.nan), where=shadows > 0)
    return np.asarray(values - difficulty)
