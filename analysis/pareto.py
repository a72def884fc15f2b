"""Which recipes no other recipe beats: the non-dominated set, its hypervolume, its knee, and how sure it is.

A point dominates another if it is at least as good in every objective and better in one. A point with a NaN
dominates nothing, is on no front and adds no volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


def pareto_front(points: ArrayLike, *, maximize: Sequence[bool] = (True, False)) -> NDArray[np.bool_]:
    """Find the points that no other point dominates; every copy of a front point is on the front.

    Two objectives take one sort; more take one comparison with the front so far for each point.

    Args:
        points: ``[N, d]``; two objectives may be batched, ``[B, N, 2]``. A point with a NaN is on no front.
        maximize: For each objective whether more is better; the default is accuracy against risk.

    Returns:
        bool ``[N]``, or ``[B, N]``.

    Raises:
        ValueError: The points' shape does not go with ``maximize``, or a batch has more than two objectives.

    >>> pareto_front([[0.9, 0.2], [0.8, 0.1], [0.8, 0.3]])
    array([ True,  True, False])
    """
    costs = _costs(points, maximize)
    if costs.shape[-1] == 2:
        return _front_by_sorting(costs)
    if costs.ndim != 2:
        raise ValueError(f"batches are for two objectives, got points of shape {costs.shape}")
    return _front_by_comparing(costs)


def hypervolume(
    points: ArrayLike, reference: ArrayLike, *, maximize: Sequence[bool] = (True, False)
) -> float:
    """Return the volume between the front of the points and a reference point.

    Points that are not better than the reference in every objective add nothing. Two objectives take one pass
    along the front; more are sliced along the last objective (While et al. 2006), fine for fronts of
    hundreds.

    Args:
        points: ``[N, d]``; points with a NaN add nothing.
        reference: ``[d]``, as (0, 1) for accuracy against risk.
        maximize: For each objective whether more is better.

    Returns:
        The volume, in the objectives' units multiplied.

    Raises:
        ValueError: The points' shape does not go with ``maximize``.

    >>> hypervolume([[0.9, 0.2], [0.8, 0.1]], [0.5, 0.5])
    0.15
    """
    costs = _costs(points, maximize)
    corner = _costs(np.asarray(reference, np.float64)[None], maximize)[0]
    return _volume(costs[(costs < corner).all(axis=1)], corner)


def front_probability(points: ArrayLike, *, maximize: Sequence[bool] = (True, False)) -> Floats:
    """Return the share of bootstrap replicates in which each recipe is on the front.

    Args:
        points: ``[B, N, d]``. Replicates must be paired: row b of every recipe comes from the same resample
            of the shared subset seeds.
        maximize: For each objective whether more is better.

    Returns:
        float64 ``[N]``, 0..1.
    """
    points = np.asarray(points, np.float64)
    if points.shape[-1] == 2:
        return np.asarray(pareto_front(points, maximize=maximize).mean(axis=0))
    return np.asarray(np.mean([pareto_front(p, maximize=maximize) for p in points], axis=0))


def knee(points: ArrayLike, *, maximize: Sequence[bool] = (True, False)) -> int | None:
    """Find the front point farthest beyond the line between the front's two ends.

    Each objective is scaled to the front's own range.

    Args:
        points: ``[N, 2]``.
        maximize: For each objective whether more is better.

    Returns:
        The point's index. None where no point lies beyond the line, which includes every front of fewer than
        three distinct points.

    >>> knee([[0.9, 0.5], [0.88, 0.2], [0.7, 0.1]])
    1
    """
    costs = _costs(points, maximize)
    front = np.flatnonzero(_front_by_sorting(costs))
    if not len(front):
        return None
    span = np.ptp(costs[front], axis=0)
    if not (span > 0).all():
        return None
    bulge = 1 - ((costs[front] - costs[front].min(axis=0)) / span).sum(axis=1)
    best = int(np.argmax(bulge))
    return int(front[best]) if bulge[best] > 1e-12 else None


def _costs(points: ArrayLike, maximize: Sequence[bool]) -> Floats:
    values = np.asarray(points, np.float64)
    if values.ndim < 2 or values.shape[-1] != len(maximize):
        raise ValueError(f"expected points[..., N, {len(maximize)}], got shape {values.shape}")
    return np.where(np.asarray(maximize), -values, values)


def _front_by_sorting(costs: Floats) -> NDArray[np.bool_]:
    """Two objectives, any batch: in order of the first cost, front points set a new minimum of the second."""
    known = np.asarray(~np.isnan(costs).any(axis=-1))
    costs = np.where(known[..., None], costs, np.inf)
    order = np.lexsort((costs[..., 1], costs[..., 0]), axis=-1)
    x, y = (np.take_along_axis(costs[..., k], order, axis=-1) for k in (0, 1))
    lower = np.ones(x.shape, bool)
    lower[..., 1:] = y[..., 1:] < np.minimum.accumulate(y, axis=-1)[..., :-1]
    copy = np.zeros(x.shape, bool)
    copy[..., 1:] = (x[..., 1:] == x[..., :-1]) & (y[..., 1:] == y[..., :-1])
    first = np.maximum.accumulate(np.where(copy, 0, np.arange(x.shape[-1])), axis=-1)
    sorted_front = np.take_along_axis(lower, first, axis=-1)
    front = np.zeros(x.shape, bool)
    np.put_along_axis(front, order, sorted_front, axis=-1)
    return front & known


def _front_by_comparing(costs: Floats) -> NDArray[np.bool_]:
    """Any number of objectives: in lexicographic order a point can only be dominated by an earlier one."""
    on_front = np.zeros(len(costs), bool)
    known = np.flatnonzero(~np.isnan(costs).any(axis=1))
    front = np.empty((0, costs.shape[1]))
    for i in known[np.lexsort(costs[known].T[::-1])]:
        worse = (front <= costs[i]).all(axis=1) & (front < costs[i]).any(axis=1)
        if not worse.any():
            on_front[i] = True
            front = np.vstack([front, costs[i]])
    return on_front


def _volume(costs: Floats, corner: Floats) -> float:
    if not len(costs):
        return 0.0
    if costs.shape[1] == 1:
        return float(corner[0] - costs.min())
    order = np.argsort(costs[:, -1], kind="stable")
    costs = costs[order]
    if costs.shape[1] == 2:
        best = np.minimum.accumulate(costs[:, 0])
        return float(((corner[0] - best) * np.diff(costs[:, 1], append=corner[1])).sum())
    heights = np.diff(costs[:, -1], append=corner[-1])
    slabs = ((k + 1, height) for k, height in enumerate(heights) if height > 0)
    return float(sum(height * _volume(_front_only(costs[:k, :-1]), corner[:-1]) for k, height in slabs))


def _front_only(costs: Floats) -> Floats:
    return costs[pareto_front(costs, maximize=(False,) * costs.shape[1])]
