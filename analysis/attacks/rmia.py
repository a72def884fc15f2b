"""The robust membership inference attack: how many population points the target's evidence beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.attacks.arrays import Bools, Floats, masks
from analysis.statistics.ordered import below

A = 0.3  # what an attacker without a shadow to tune on takes
_CHOICES = np.linspace(0, 1, 11)
_TUNING_EXAMPLES = 4_000
_TINY = np.finfo(np.float64).tiny


def rmia(
    p_true: ArrayLike,
    members: ArrayLike,
    population: ArrayLike,
    *,
    gamma: float = 1.0,
    online: bool = True,
    a: float | ArrayLike = A,
) -> Floats:
    """Return the fraction of population points z with (p(x|target)/p(x)) / (p(z|target)/p(z)) > gamma.

    Zarifzadeh et al. 2024, equations 8 and 9, appendix B.2.2. Each replica in turn is the target, all others
    are its shadows. Online, p(x) is (mean over IN shadows + mean over OUT shadows) / 2; offline it is ((1+a)
    mean over OUT shadows + (1-a)) / 2. p(z) is the mean over all shadows, offline put through the same line,
    since no replica trained on z. A ratio of 0 to 0 is 0 for x and beats nothing for z.

    The two sides weigh alike online because with exact halves a member has one IN shadow fewer than a
    non-member: a mean over all shadows would be lower for members by 1/(R-1) of the leakage. Cost: one sort
    of the population a target and one binary search an example; no n x m array.

    Args:
        p_true: Probabilities of the true class ``[R, n]``, 0..1.
        members: bool ``[R, n]``.
        population: The same probabilities ``[R, m]`` on points that no replica trained on.
        gamma: The ratio to exceed, above 0.
        online: Whether the shadows with the example IN take part.
        a: Of the offline line, 0..1; one number, or one a target ``[R]`` as `choose_a` gives.

    Returns:
        Scores ``[R, n]`` in 0..1; higher means more likely a member. NaN where a side that the score needs
        has no shadow: both online, OUT offline.

    Raises:
        ValueError: The masks have another shape than ``p_true``.
    """
    p, z = np.asarray(p_true), np.asarray(population)
    replicas, n = p.shape
    mask = masks(members, replicas, n)
    slopes = np.broadcast_to(np.asarray(a, np.float64), (replicas,))
    total_z = z.sum(axis=0, dtype=np.float64)
    out_total, out_count = _sums(p, ~mask)
    in_total, in_count = _sums(p, mask) if online else (out_total, out_count)
    scores = np.empty((replicas, n))
    for t in range(replicas):
        target = p[t].astype(np.float64)
        mean_z = _mean(total_z - z[t], replicas - 1)
        own = ~mask[t]
        mean_x = _mean(out_total - target * own, out_count - own)
        if online:
            mean_x = (mean_x + _mean(in_total - target * mask[t], in_count - mask[t])) / 2
        else:
            mean_x = _offline(mean_x, slopes[t])
            mean_z = _offline(mean_z, slopes[t])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio_z = np.sort(z[t] / mean_z)
            ratio_x = target / np.maximum(mean_x, _TINY)
        scores[t] = below(ratio_z, ratio_x / gamma) / z.shape[1]
        scores[t, np.isnan(ratio_x)] = np.nan
    return scores


def choose_a(p_true: ArrayLike, members: ArrayLike) -> Floats:
    """Tune the offline ``a`` of every target on a shadow.

    As in Zarifzadeh et al. 2024, appendix B.2.2: another replica plays the target, attacked with the
    remaining shadows, and the ``a`` of its best AUC is taken; the real target stays out altogether. Scores of
    one target are a monotone function of p(x|target)/p(x), so the AUC needs no population. At most 4,000
    examples are used.

    Args:
        p_true: Probabilities of the true class ``[R, n]``, 0..1.
        members: bool ``[R, n]``.

    Returns:
        ``[R]``, each one of 0, 0.1, ... 1; 0.3 where there are fewer than four replicas.
    """
    p, mask = np.asarray(p_true)[:, :_TUNING_EXAMPLES], np.asarray(members)[:, :_TUNING_EXAMPLES].astype(bool)
    replicas = len(p)
    if replicas < 4:
        return np.full(replicas, A)
    out_total, out_count = _sums(p, ~mask)
    chosen = np.empty(replicas)
    for t in range(replicas):
        # Seeds 2k and 2k+1 are complements: a partner would not be a shadow like the others.
        stand_in = (t + 2) % replicas
        left_out = ~mask[[t, stand_in]]
        mean = _mean(out_total - (p[[t, stand_in]] * left_out).sum(axis=0), out_count - left_out.sum(axis=0))
        known = ~np.isnan(mean)
        mixtures = _offline(mean[known], _CHOICES[:, None])
        ratios = p[stand_in, known] / np.maximum(mixtures, _TINY)
        chosen[t] = _CHOICES[np.argmax(_separation(ratios, mask[stand_in, known]))]
    return chosen


def _sums(p: Floats, side: Bools) -> tuple[Floats, Floats]:
    """Sum and number of the probabilities of each example by the replicas on one side of it."""
    return (p * side).sum(axis=0, dtype=np.float64), side.sum(axis=0)


def _mean(total: Floats, count: Floats | int) -> Floats:
    """Return the mean of what is left; rounding must not leave a negative probability. NaN of nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(count) > 0, np.maximum(total, 0) / count, np.nan)


def _offline(mean: Floats, a: Floats | float) -> Floats:
    return ((1 + a) * mean + (1 - a)) / 2


def _separation(scores: Floats, members: Bools) -> Floats:
    """Sum of the members' ranks, which orders AUCs; ties are taken in order of position."""
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, np.argsort(scores, axis=1, kind="stable"), np.arange(scores.shape[1]), axis=1)
    return np.asarray((ranks * members).sum(axis=1))
