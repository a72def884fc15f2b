"""The noise of the shadows that all targets share: what redrawing targets with fixed scores cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.attacks import registry
from analysis.ensemble import Ensemble
from analysis.metrics import Roc
from analysis.statistics.curves import CLOSE, Curves
from analysis.statistics.intervals import resample

_GROUPS = 64  # random groups of examples, or of single scores
_FOR_VARIANCE = 300  # resamples; more would not make the share of the noise surer
_CACHE = 1 << 16

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


class Half(NamedTuple):
    """Half of the replicas attacked by themselves: ``scores[R/2, n]``, ``members``, and ``clusters[R/2]``."""

    scores: Floats
    members: Bools
    clusters: NDArray[np.integer[Any]]

    def on(self, examples: NDArray[np.integer[Any]] | None) -> Half:
        """Return the same half on these examples, by default all."""
        if examples is None:
            return self
        return Half(self.scores[:, examples], self.members[:, examples], self.clusters)


class Noise(NamedTuple):
    """Draws of mean 0 to add: to each figure ``[B]``, and to TPR - FPR at each threshold ``[B, K]``.

    ``close``: how many standard errors below the best one a threshold may still be the best.
    """

    figures: dict[str, Floats]
    gap: Floats
    close: float = CLOSE


def halves_of(name: str, attack: registry.Attack, ensemble: Ensemble) -> list[Half]:
    """Return the attack on every other cluster and on the rest; none where a half would be a single cluster.

    LiRA's ``auto`` decides anew: with 65 to 128 replicas it takes variances of each example for all of them,
    pooled ones for a half.
    """
    clusters = ensemble.clusters
    if clusters.max() < 3:
        return []
    found = []
    for side in (0, 1):
        rows = clusters % 2 == side
        half = ensemble.restrict(ensemble.seeds[rows])
        found.append(Half(registry.run(name, attack, half), half.members, clusters[rows]))
    return found


def shared_noise(halves: Sequence[Half], thresholds: Floats, resamples: int, seed: int) -> Noise:
    """Return what the choice of the shadows adds to the bootstrap over targets of figures on all replicas.

    All targets are compared with nearly the same centres of an example, so their scores on it err together:
    without leakage LiRA's AUC varies three times as much as independent targets would make it. The two halves
    share no replica, so D = (figure of one - figure of the other) / 2 is free of what an example leaks, and
    redrawing examples shows the rest: its variance over random groups of examples holds targets that err
    together, that over single scores (pairs of a cluster and an example) does not. A share
    1 - (single scores' / examples') of D's variance is therefore what is missing; a half has half of the
    scores, which averaging two halves undoes. Effects that are common to a whole class are not seen:
    `analysis.statistics.threshold_noise` has those of thresholds.

    Examples are redrawn alike in all ensembles of as many examples, so differences of draws stay paired.
    ``thresholds[K]`` are those of the ROC of all replicas. Cost beyond the halves' attacks: four bootstraps.
    """
    examples = halves[0].scores.shape[1]
    groups = _dealt(examples)
    drawn, independent = [], []
    for half in halves:
        names, rows = np.unique(half.clusters, return_inverse=True)
        single = _dealt(len(names) * examples).reshape(len(names), examples)[rows]
        # Another stream than that of the clusters, of which there may be as many as groups.
        drawn.append(_redrawn(half, groups, thresholds, resamples, seed + 1))
        few = min(resamples, _FOR_VARIANCE)
        independent.append(_redrawn(half, single, thresholds, few, seed + 1)[0])
    (one, gap_one), (other, gap_other) = drawn
    figures, shares = {}, {}
    for name in one:
        difference = (one[name] - other[name]) / 2
        whole = difference.var()
        apart = (independent[0][name].var() + independent[1][name].var()) / 4
        shares[name] = np.sqrt(max(0.0, 1 - apart / whole)) if whole > 0 else 0.0
        figures[name] = np.nan_to_num(shares[name] * (difference - difference.mean()))
    gap = (gap_one - gap_other) / 2
    return Noise(figures, np.nan_to_num(shares["advantage"] * (gap - gap.mean(axis=0))))


def _dealt(count: int) -> NDArray[np.integer[Any]]:
    """Deal units into random groups of equal size."""
    return np.random.default_rng(0).permutation(count) % min(_GROUPS, count)


def _redrawn(
    half: Half,
    groups: NDArray[np.integer[Any]],
    thresholds: Floats,
    resamples: int,
    seed: int,
) -> tuple[dict[str, Floats], Floats]:
    """Figures ``[B]`` and TPR - FPR ``[B, K]`` with whole groups redrawn, a cache-sized part at a time."""
    curves = Curves.of(half.scores, half.members, thresholds, groups)
    weights = resample(np.arange(len(curves.ins)), resamples, seed)
    step = max(1, _CACHE // len(thresholds))
    rates = [curves.rates(weights[i : i + step]) for i in range(0, resamples, step)]
    parts = [part.figures() for part in rates]
    figures = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return figures, np.concatenate([part.tpr - part.fpr for part in rates])


def gap_at(curve: Roc, thresholds: Floats) -> Floats:
    """TPR - FPR of a curve at each threshold."""
    at = np.searchsorted(-curve.thresholds, -thresholds, side="right") - 1
    return np.asarray((curve.tpr - curve.fpr)[at])


def beyond(anew: Floats, held: Floats, factor: float = 1.0) -> Floats:
    """Differences of halves ``[S, ...]`` scaled to what their variance exceeds that with held scores by.

    Args:
        anew: (Figure of one half - figure of the other) / 2, each half judged by itself.
        held: The same with the scores of all replicas.
        factor: Of the excess variance.
    """
    whole, fixed = (anew**2).mean(axis=0), (held**2).mean(axis=0)
    share = np.divide(whole - fixed, whole, out=np.zeros_like(whole), where=whole > fixed)
    return np.asarray(np.nan_to_num(anew * np.sqrt(factor * share)))
