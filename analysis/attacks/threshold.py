"""Threshold attacks: one signal, one threshold a class, learnt on the other replicas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.attacks.arrays import Bools, Floats, finite, masks
from analysis.statistics.ordered import BEYOND, Ordered, Rows, keys_of, values_of

_CHUNKS = 128  # thresholds that the first look at a class compares
_CACHE = 1 << 16  # keys that are looked at together
_SPLIT = 8  # and each later look, in every stretch between two of them that may still hold a better one

Ints = NDArray[np.int64]


def threshold(
    signal: ArrayLike,
    members: ArrayLike,
    labels: ArrayLike,
    *,
    per_class: bool = True,
    clusters: ArrayLike | None = None,
) -> Floats:
    """Return the signal minus the threshold that best separates members from others on other replicas.

    Yeom et al. 2018; per class: Song and Mittal 2021, section 3. The best threshold is that of the largest
    balanced accuracy, over the examples of one class or over all. It lies midway between two neighbouring
    values of the other replicas, or at their largest value, where it calls none of them a member; of equally
    good ones the highest is taken. The target never takes part in its own threshold, nor does the rest of its
    cluster: a threshold learnt on its complement would lie where the complement's TPR - FPR is high by
    chance, and the target's, which has the other half, is low.

    Cost: one sort of a class's R n values and, for each target, a search from coarse to fine over its
    thresholds that drops every stretch whose bound cannot reach the best one found; the result is that of
    trying all, in exact integer arithmetic.

    Args:
        signal: ``[R, n]``; higher means more likely a member.
        members: bool ``[R, n]``.
        labels: Classes ``[n]``.
        per_class: Whether each class has a threshold of its own.
        clusters: Numbers ``[R]``, equal for replicas whose subsets were drawn together; by default none are.

    Returns:
        Scores ``[R, n]``; above 0 means "member". NaN where the others hold no member or no non-member to
        learn from.

    Raises:
        ValueError: The masks have another shape than the signal.

    >>> members = [[True, False], [True, False], [False, True]]
    >>> threshold([[3.0, 1.0], [3.0, 1.0], [1.0, 3.0]], members, [0, 0])
    array([[ 1., -1.],
           [ 1., -1.],
           [-1.,  1.]])
    """
    values = finite(signal)
    mask = masks(members, *values.shape)
    classes = np.asarray(labels) if per_class else np.zeros(values.shape[1], int)
    mates = _mates(np.arange(len(values)) if clusters is None else np.asarray(clusters))
    scores = np.empty(values.shape)
    for label in np.unique(classes):
        columns = np.flatnonzero(classes == label)
        own = values[:, columns]
        scores[:, columns] = own - _Search(own, mask[:, columns], mates).thresholds()[:, None]
    return scores


def _mates(clusters: NDArray[Any]) -> Ints:
    """Return each replica's cluster, itself first: ``[R, size of the largest]``, -1 for none."""
    _, number, size = np.unique(clusters, return_inverse=True, return_counts=True)
    mates = np.full((len(clusters), size.max()), -1)
    for cluster in range(len(size)):
        own = np.flatnonzero(number == cluster)
        for shift in range(len(own)):
            mates[own, shift] = np.roll(own, -shift)
    return mates


class _Search:
    """The best threshold of one class for each target, with the values of its cluster left out.

    Cut k calls the k highest groups of tied values members. Counts at a cut are those of all replicas, from
    the sorted values, minus those of the cluster, from its sorted rows. "Others" are of other clusters.
    """

    def __init__(self, values: Floats, mask: Bools, mates: Ints) -> None:
        self.mates = mates
        keys = keys_of(values, mask)
        keys.sort(axis=1)
        self.rows = Rows.sorted(keys)
        self.ordered = Ordered.of(self.rows.keys)
        self.first = _first_of_ties(self.ordered.keys)
        self.cuts = len(self.first)
        self.total_ins, self.total_outs = (
            side.sum() - np.where(mates < 0, 0, side.sum(axis=1)[mates]).sum(axis=1) for side in (mask, ~mask)
        )

    def counts(self, targets: Ints, cuts: Ints) -> tuple[Ints, Ints]:
        """Return the members and non-members among the others' values above each cut."""
        first = self._first(cuts)
        reached = np.where(cuts > 0, self._keys(cuts), BEYOND)
        ins = (self.ordered.ins[-1] - self.ordered.ins[first]).astype(np.int64)
        outs = len(self.ordered.keys) - first - ins
        for mates in self.mates.T:
            some = np.flatnonzero(mates[targets] >= 0)
            own_ins, own_outs = self.rows.above_in(mates[targets[some]], reached[some])
            ins[some] -= own_ins
            outs[some] -= own_outs
        return ins, outs

    def _first(self, cuts: Ints) -> Ints:
        """Return where the values above each cut begin."""
        known = self.first[self.cuts - np.maximum(cuts, 1)].astype(np.int64)
        return np.where(cuts > 0, known, len(self.ordered.keys))

    def _keys(self, cuts: Ints) -> Ints:
        """Return what the keys above each cut reach: the lowest value of these; cut 0 is taken for 1."""
        return np.asarray(self.ordered.keys[self._first(np.maximum(cuts, 1))] & -2)

    def gain(self, targets: Ints, ins: Ints, outs: Ints) -> Ints:
        """Return TPR - FPR in units of 1 / (others' members * others' non-members)."""
        return np.asarray(ins * self.total_outs[targets] - outs * self.total_ins[targets])

    def best_cuts(self) -> Ints:
        """Return the lowest cut of the largest gain, for each target."""
        replicas = len(self.total_ins)
        edges = np.unique(np.linspace(0, self.cuts, min(_CHUNKS, self.cuts) + 1).astype(np.int64))
        targets = np.repeat(np.arange(replicas), len(edges) - 1)
        left, right = np.tile(edges[:-1], replicas), np.tile(edges[1:], replicas)
        best, where = np.zeros(replicas, np.int64), np.zeros(replicas, np.int64)
        while len(targets):
            ins_left, outs_left = self.counts(targets, left)
            ins_right = np.append(ins_left[1:], 0)  # of a stretch that the next one goes on with
            ends = np.append((targets[1:] != targets[:-1]) | (left[1:] != right[:-1]), True)
            ins_right[ends], _ = self.counts(targets[ends], right[ends])
            self._keep_best(best, where, targets, left, self.gain(targets, ins_left, outs_left))
            # Between two cuts: at most the members of the right one, at least the non-members of the left.
            bound = self.gain(targets, ins_right, outs_left)
            hopeful = (right - left > 1) & (
                (bound > best[targets]) | ((bound == best[targets]) & (left < where[targets]))
            )
            targets, left, right = _split(targets[hopeful], left[hopeful], right[hopeful])
        return where

    def _keep_best(self, best: Ints, where: Ints, targets: Ints, cuts: Ints, gains: Ints) -> None:
        """Both in order of targets, then cuts, so that the first of the largest gains is the lowest cut."""
        starts = np.append(0, np.flatnonzero(np.diff(targets)) + 1)
        largest = np.maximum.reduceat(gains, starts)
        reached = np.flatnonzero(gains == np.repeat(largest, np.diff(np.append(starts, len(targets)))))
        first = reached[np.append(True, np.diff(targets[reached]) > 0)]
        t, gain, cut = targets[first], gains[first], cuts[first]
        better = (gain > best[t]) | ((gain == best[t]) & (cut < where[t]))
        best[t[better]], where[t[better]] = gain[better], cut[better]

    def thresholds(self) -> Floats:
        """Return the midpoints below the best cuts, between values that others hold."""
        targets = np.arange(len(self.total_ins))
        cuts = self.best_cuts()
        above = values_of(self._keys(cuts))
        below = values_of(self._keys(np.minimum(self._next_held(targets, cuts) + 1, self.cuts)))
        result = np.where(cuts == 0, below, above / 2 + below / 2)
        return np.where((self.total_ins > 0) & (self.total_outs > 0), result, np.nan)

    def _next_held(self, targets: Ints, cuts: Ints) -> Ints:
        """Return the first group at or after each cut that holds a value of another replica."""
        found = cuts.copy()
        waiting = np.arange(len(targets))
        while len(waiting):
            t, group = targets[waiting], found[waiting]
            inside = group < self.cuts
            t, group, waiting = t[inside], group[inside], waiting[inside]
            before, after = self.counts(t, group), self.counts(t, group + 1)
            only_own = (before[0] == after[0]) & (before[1] == after[1])
            waiting = waiting[only_own]
            found[waiting] += 1
        return found


def _first_of_ties(keys: Ints) -> Ints:
    """Return where each value begins among sorted keys, in as few bytes as will do."""
    starts = np.empty(len(keys), bool)
    starts[:1] = True
    for i in range(1, len(keys), _CACHE):
        part = keys[i - 1 : i + _CACHE]
        starts[i : i + _CACHE] = (part[1:] ^ part[:-1]).view(np.uint64) > 1
    if starts.all():
        return np.arange(len(keys), dtype=np.int32 if len(keys) < 2**31 else np.int64)
    return np.flatnonzero(starts)


def _split(targets: Ints, left: Ints, right: Ints) -> tuple[Ints, Ints, Ints]:
    """Return each stretch of cuts in up to _SPLIT parts."""
    steps = np.arange(_SPLIT + 1)
    edges = left[:, None] + (right - left)[:, None] * steps // _SPLIT
    parts = edges[:, 1:] > edges[:, :-1]
    return np.broadcast_to(targets[:, None], parts.shape)[parts], edges[:, :-1][parts], edges[:, 1:][parts]
