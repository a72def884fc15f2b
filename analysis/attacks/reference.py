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
    outs = out.sum(axis=0)
    below, up_to = out_ranks(values, out)
    scores = np.random.default_rng(0).random(values.shape)
    for row, own, first, last in zip(scores, out, below, up_to, strict=True):
        shadows = outs - own
        row *= last - first - own + 1
        row += first
        row /= shadows + 1
        row[shadows == 0] = np.nan
    return scores


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
    scores /= 2 * others.shape[1]
    return scores


def calibrated_loss(log_p_true: ArrayLike, members: ArrayLike) -> Floats:
    """Return mean loss of the OUT shadows minus the target's loss: how much easier than its difficulty x is.

    Source: Watson et al. 2022, difficulty calibration. Cost: a leave-one-out mean, O(R n).

    Args:
        log_p_true: Log probabilities of the true class ``[R, n]``, nats.
        members: bool ``[R, n]``.

    Returns:
        Scores ``[R, n]`` in nats; higher means more likely a member. NaN without an OUT shadow.
    """
    values = finite(log_p_true)
    out = ~masks(members, *values.shape)
    outs = out.sum(axis=0)
    total = np.zeros(values.shape[1])
    for row, own in zip(values, out, strict=True):
        total += np.where(own, row, 0)
    scores = np.empty(values.shape)
    for score, row, own in zip(scores, values, out, strict=True):
        shadows = outs - own
        with np.errstate(invalid="ignore", divide="ignore"):
            difficulty = np.where(shadows > 0, (total - np.where(own, row, np.float64(0))) / shadows, np.nan)
        np.subtract(row, difficulty, out=score)
    return scores
