"""How sure a figure is: bootstrap over replicas or examples, paired differences, Clopper-Pearson, Holm."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.floating[Any]]


def clopper_pearson(
    successes: ArrayLike, trials: ArrayLike, *, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Return the exact two-sided interval of a proportion of independent trials (Clopper and Pearson 1934).

    Args:
        successes: Any shape.
        trials: Of the same shape, or one number.
        confidence: In 0..1.

    Returns:
        The low and the high ends, elementwise; (0, 1) where there are no trials.

    >>> low, high = clopper_pearson(0, 10)
    >>> float(low), round(float(high), 4)
    (0.0, 0.3085)
    """
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(k > 0, special.betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
        high = np.where(k < n, special.betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    return low, high


def resample(clusters: ArrayLike, resamples: int, seed: int) -> NDArray[np.float32]:
    """Draw bootstrap weights: how often each unit counts when whole clusters are redrawn.

    The draw depends on the number of clusters and the seed alone, so two ensembles over the same subset seeds
    get the same weights and their differences are paired.

    Args:
        clusters: ``[R]``, the number of each unit's cluster from 0.
        resamples: Draws B.
        seed: Of the draw.

    Returns:
        float32 ``[B, R]``.
    """
    clusters = np.asarray(clusters)
    return _redrawn(int(clusters.max()) + 1, resamples, seed)[:, clusters]


def paired(ids: ArrayLike, among: ArrayLike | None, resamples: int, seed: int) -> NDArray[np.float32]:
    """`resample` of an ensemble that lacks some of the clusters that others have, paired with theirs.

    All clusters are drawn, and those taken that the ensemble has; a draw then has more or fewer of them. One
    that has none is drawn again from the ensemble's own.

    Args:
        ids: ``[R]``, what each unit's cluster is called in all ensembles.
        among: The clusters of all ensembles, sorted; by default those of ``ids``.
        resamples: Draws B.
        seed: Of the draw.

    Returns:
        float32 ``[B, R]``.
    """
    own, clusters = np.unique(ids, return_inverse=True)
    names = own if among is None else np.unique(among)
    weights = _redrawn(len(names), resamples, seed)[:, np.searchsorted(names, own)[clusters]]
    none = ~weights.any(axis=1)
    weights[none] = resample(clusters, resamples, seed)[none]
    return weights


@lru_cache(maxsize=8)
def _redrawn(clusters: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """How often each of the clusters is drawn: ``[B, clusters]``. The same few are asked for all the time."""
    rng = np.random.default_rng([seed, clusters])
    counts = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
    return counts.astype(np.float32)


def interval(draws: ArrayLike, clusters: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the expanded percentile interval of bootstrap draws (Hesterberg 2015, section 4.3).

    Plain percentiles of k clusters are too narrow by sqrt((k-1)/k) and by normal instead of t quantiles;
    the tail is moved to Phi(-sqrt(k/(k-1)) t_{k-1}) to undo both.

    Args:
        draws: ``[B]``; NaN and infinite draws are left out.
        clusters: Clusters k that were redrawn.
        confidence: In 0..1.

    Returns:
        The low and the high end; (NaN, NaN) with fewer than two clusters.
    """
    known = np.asarray(draws, np.float64)
    known = known[np.isfinite(known)]
    if clusters < 2 or not len(known):
        return np.nan, np.nan
    t = special.stdtrit(clusters - 1, (1 + confidence) / 2)
    tail = special.ndtr(-np.sqrt(clusters / (clusters - 1)) * t)
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def centred(draws: ArrayLike, estimate: float) -> Floats:
    """Return bootstrap draws moved to have the estimate as their mean: for figures that redrawing biases."""
    values = np.asarray(draws, np.float64)
    known = values[np.isfinite(values)]
    return values + (estimate - known.mean()) if len(known) else values


def p_value(difference: float, draws: ArrayLike, clusters: int) -> float:
    """Return two-sided p-value of a paired difference against 0.

    The difference over its bootstrap standard error (corrected by sqrt(k/(k-1)) for k clusters) is held
    against a t distribution with k-1 degrees of freedom: a bootstrap share could not fall below 1/B, too
    coarse to correct for many comparisons.

    Args:
        difference: The estimate.
        draws: Its bootstrap draws ``[B]``.
        clusters: Clusters k that were redrawn.

    Returns:
        0..1; NaN with fewer than two clusters or draws.
    """
    known = np.asarray(draws, np.float64)
    known = known[np.isfinite(known)]
    if clusters < 2 or len(known) < 2 or not np.isfinite(difference):
        return np.nan
    error = known.std(ddof=1) * np.sqrt(clusters / (clusters - 1))
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * special.stdtr(clusters - 1, -abs(difference) / error))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down correction (1979) of a family of p-values ``[k]``; NaN stays NaN and is not counted.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return adjusted
