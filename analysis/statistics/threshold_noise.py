"""The noise of thresholds that all targets share: what redrawing targets with fixed scores cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.attacks.arrays import finite
from analysis.metrics import Roc
from analysis.statistics import exact
from analysis.statistics.curves import CLOSE, CLOSE_OF_ALL, Curves, decided
from analysis.statistics.ordered import BEYOND, Ordered, cuts_of, keys_of
from analysis.statistics.shadow_noise import Noise, beyond, gap_at

_SPLITS = 64  # in halves; more would not make the variance of 32 clusters surer
# Sums vary by 1/N, so D has the variance that they have on all N scores. What thresholds add falls slower:
# by N^(-2/3) (Kim and Pollard 1990, maxima of TPR - FPR), not at all while two are about equally good. It
# wants a factor between 2^(1/3) and 2; their geometric mean covered, the former just failed to.
_SLOWER = 2 ** (2 / 3)

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Ints = NDArray[np.integer[Any]]


class _Class(NamedTuple):
    """One class: its signal, counts at or above ``values``, and the cut of every replica in every split."""

    columns: NDArray[np.intp]
    signal: Floats  # [R, n of the class]
    values: Floats  # [K], falling
    counts: Curves  # [R, K]
    cuts: Ints  # [S, R]


class Relearnt:
    """A threshold attack on random halves of the clusters, 64 times: each by its half's other clusters.

    All targets of a class have nearly the same threshold, so their scores err together. Two halves share no
    replica: D = (figure of one - figure of the other) / 2 varies like the figure of all, thresholds and all.
    With thresholds held, D varies like the bootstrap over targets; the rest of its variance, times 2^(2/3),
    is what the bootstrap lacks. Simulated with leakage and 32 to 128 replicas, and with 32 without any, 95 %
    intervals of the AUC of confidence then held the truth in 93 to 96 % of ensembles, TPR at 1 and 10 % FPR
    in 94 to 99 %; of pairs of equal recipes 1 to 6 % had a p-value of AUC or balanced accuracy below 0.05.

    ``signal[R, n]``, ``members[R, n]``, ``labels[n]`` as `analysis.attacks.threshold` takes them,
    ``clusters[R]``. Values are counted in cells of about 1 % of a class's non-members, so a class is sorted
    once: cost O(R n log R n) and, for each of 64 splits, O(R) numbers a cell.
    """

    def __init__(self, signal: Floats, members: Bools, labels: Ints, clusters: Ints, seed: int) -> None:
        self.members, self.seed = members, seed
        count = int(clusters.max()) + 1
        rng = np.random.default_rng([seed, count, _SPLITS])
        first = rng.random((_SPLITS, count)).argsort(axis=1) < count // 2
        self.first: Bools = first[:, clusters]
        self._clusters = clusters
        self._classes = [self._learn(finite(signal), labels == label) for label in np.unique(labels)]

    def _learn(self, signal: Floats, own: Bools) -> _Class:
        columns = np.flatnonzero(own)
        values, members = signal[:, columns], self.members[:, columns]
        keys = keys_of(values, members)
        keys.sort(axis=1)
        thresholds = exact.thinned(Ordered.of(keys)).thresholds
        cuts_of_class = cuts_of(thresholds)
        cuts_of_class[0] = BEYOND
        counts = Curves.of_rows(keys, cuts_of_class)
        cuts = np.empty(self.first.shape, np.int32)
        together = np.zeros((2, self._clusters.max() + 1, counts.ins.shape[1]))
        for total, side in zip(together, counts, strict=True):
            np.add.at(total, self._clusters, side)
        for half in (self.first, ~self.first):
            sums = [half @ side.astype(np.float64) for side in counts]
            for rows, found, *above in zip(half, cuts, *sums, strict=True):
                found[rows] = _best_cuts(self._clusters[rows], together, above)
        return _Class(columns, values, thresholds, counts, cuts)

    def noise(
        self, held: Curves, calls: Curves, thresholds: Floats, resamples: int, columns: Ints | None = None
    ) -> Noise:
        """Return draws of the noise of figures on the examples ``columns``, by default all.

        ``held``: the counts of each target's scores at ``thresholds[K]``, those of the ROC of all replicas;
        ``calls``: those above 0 and of all, for the rates ``tpr`` and ``fpr`` of what the attack decides. The
        draws depend on number of clusters and seed alone, so differences between ensembles stay paired.
        """
        tables = self._tables(columns)
        drawn: dict[str, list[float]] = {}
        gaps = []
        for split, rows in enumerate(self.first):
            one, other = self._roc(tables, split, rows), self._roc(tables, split, ~rows)
            for (name, a), b in zip(_figures(one).items(), _figures(other).values(), strict=True):
                drawn.setdefault(name, []).append((a - b) / 2)
            gaps.append((gap_at(one, thresholds) - gap_at(other, thresholds)) / 2)
        halves = [rows.astype(np.float32) for rows in (self.first, ~self.first)]
        one_held, other_held = (held.rates(rows) for rows in halves)
        ours, theirs = (
            rates.figures() | decided(calls, rows)
            for rates, rows in zip((one_held, other_held), halves, strict=True)
        )
        fixed = {name: (values - theirs[name]) / 2 for name, values in ours.items()}
        fixed_gap = (one_held.tpr - one_held.fpr - other_held.tpr + other_held.fpr) / 2
        mixed = np.random.default_rng([self.seed, *self.first.shape]).normal(size=(resamples, _SPLITS))
        mixed /= np.sqrt(_SPLITS)
        return Noise(
            {name: mixed @ beyond(np.array(values), fixed[name], _SLOWER) for name, values in drawn.items()},
            mixed @ beyond(np.array(gaps), fixed_gap, _SLOWER),
            CLOSE if len(self._classes) > 1 else CLOSE_OF_ALL,
        )

    def _tables(self, columns: Ints | None) -> list[tuple[_Class, Curves]]:
        """Return the classes that have some of these examples, with the counts of every replica on them."""
        if columns is None:
            return [(part, part.counts) for part in self._classes]
        found = []
        for part in self._classes:
            own = np.isin(part.columns, columns)
            if own.any():
                members = self.members[:, part.columns[own]]
                found.append((part, Curves.of(part.signal[:, own], members, part.values)))
        return found

    def _roc(self, tables: list[tuple[_Class, Curves]], split: int, rows: Bools) -> Roc:
        """Return the ROC of one half, all its targets and classes together."""
        scores, counts = [], []
        for part, above in tables:
            cuts, place = np.unique(part.cuts[split, rows], return_inverse=True)
            alike = (place == np.arange(len(cuts))[:, None]).astype(np.float32)
            # Infinite before the first value, so that its cell is empty; the last threshold calls all.
            below = np.append(part.values[1:], part.values[-1])
            middle = np.where(cuts > 0, part.values[cuts] / 2 + below[cuts] / 2, below[0])
            scores.append((part.values[1:] - np.where(cuts < 0, np.nan, middle)[:, None]).ravel())
            counts.append([np.diff(alike @ side[rows], axis=1).ravel() for side in above])
        joined, ins, outs = np.concatenate(scores), *np.concatenate(counts, axis=1)
        known = ~np.isnan(joined)
        order = np.flatnonzero(known)[np.argsort(-joined[known])]
        joined = joined[order]
        last_of_tie = np.flatnonzero(np.append(joined[1:] != joined[:-1], True))
        tpr, fpr = (
            np.append(0, np.cumsum(side[order], dtype=np.float64)[last_of_tie]) for side in (ins, outs)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return Roc(fpr / fpr[-1], tpr / tpr[-1], np.append(np.inf, joined[last_of_tie]))


def _best_cuts(clusters: Ints, counts: Floats, sums: Sequence[Floats]) -> Ints:
    """Find the first cut of the largest TPR - FPR on the other clusters' counts, for each replica; or -1.

    A cluster moves a rate of all by no more than its share of that side: only cuts that are that close to the
    best one of all are tried cluster by cluster.

    Args:
        clusters: those of the replicas of a half, ``[r]``.
        counts: members and non-members of every cluster at or above each cut, ``[2, C, K]``.
        sums: those of the half together, ``[K]`` each.
    """
    rows, place = np.unique(clusters, return_inverse=True)
    totals = [side[rows, -1:] for side in counts]
    others = [total[-1] - own for total, own in zip(sums, totals, strict=True)]
    learnt = ((others[0] > 0) & (others[1] > 0))[:, 0]
    if not learnt.any():
        return np.full(len(clusters), -1)
    shares = [own[learnt] / other[learnt] for own, other in zip(totals, others, strict=True)]
    slack = 2 * sum(float(share.max()) for share in shares) + 1e-9
    gap = sums[0] / sums[0][-1] - sums[1] / sums[1][-1]
    near = np.flatnonzero(gap >= gap.max() - slack)
    ins, outs = (total[near] - side[np.ix_(rows, near)] for total, side in zip(sums, counts, strict=True))
    # In units of 1 / (others' members * others' non-members), so that ties are exact.
    return np.where(learnt, near[(ins * others[1] - outs * others[0]).argmax(axis=1)], -1)[place]


def _figures(curve: Roc) -> dict[str, float]:
    """Return all figures of a ROC, and the rates of what scores above 0."""
    at = int((curve.thresholds > 0).sum()) - 1
    return curve.figures() | {"tpr": float(curve.tpr[at]), "fpr": float(curve.fpr[at])}
