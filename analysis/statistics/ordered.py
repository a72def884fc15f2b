"""Scores and their membership as integers to sort: what every count of an audit is read from.

A vectorised sort of 64-bit integers is several times faster than sorting positions, or than one binary search
a score. So each score becomes one integer that sorts like it, with "member" in its last bit: sorted, it tells
values, ties and members at once. The bit replaces the last of a float64's 53 digits: two scores that differ
in that digit alone, by 1e-16 of their size, count as tied.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Keys = NDArray[np.int64]
Ints = NDArray[np.integer[Any]]

_MOST = np.iinfo(np.int64).max
BEYOND = _MOST  # a cut that no score reaches
MISSING = _MOST - 1  # the key of NaN, after every score
LOWEST = np.iinfo(np.int64).min  # a cut that every score reaches
ABOVE_ZERO = 2  # a cut that the scores above 0 reach
_CACHE = 1 << 16  # keys that are made at a time


def keys_of(scores: ArrayLike, members: ArrayLike) -> Keys:
    """Return the keys ``[...]`` of scores ``[...]``: ties differ in their last bit only, 1 for members."""
    values, flags = np.asarray(scores), np.asarray(members)
    keys = np.empty(values.shape, np.int64)
    if values.ndim < 2:
        _fill(keys, values, flags)
        return keys
    step = max(1, _CACHE // max(1, values[0].size))
    for i in range(0, len(values), step):
        _fill(keys[i : i + step], values[i : i + step], flags[i : i + step])
    return keys


def _fill(keys: Keys, scores: NDArray[Any], members: NDArray[Any]) -> None:
    keys.view(np.float64)[...] = scores
    missing = np.isnan(keys.view(np.float64))
    # A float is a sign and a magnitude; two's complement sorts negative ones, and -0.0 becomes 0.
    negative = keys >> 63
    keys &= _MOST
    keys ^= negative
    keys -= negative
    keys &= -2
    keys |= members
    if missing.any():
        keys[missing] = MISSING


def cuts_of(thresholds: ArrayLike) -> Keys:
    """Return what the keys of scores at or above each threshold ``[K]`` reach."""
    values = np.asarray(thresholds, np.float64)
    return keys_of(values, np.zeros(values.shape, bool))


def values_of(keys: Keys) -> NDArray[np.float64]:
    """Return the scores that keys stand for; infinity for a cut that none reaches."""
    known = np.where(keys == BEYOND, cuts_of(np.inf), keys) & -2
    return np.asarray(np.abs(known) | (known & LOWEST)).view(np.float64)


class Ordered(NamedTuple):
    """Keys in rising order without the missing ones, ``[N]``, and members before each place, ``[N+1]``."""

    keys: Keys
    ins: Ints

    @staticmethod
    def of(keys: Keys) -> Ordered:
        """Sort a copy of any keys ``[...]``."""
        return Ordered.sorting(keys.copy())

    @staticmethod
    def sorting(keys: Keys) -> Ordered:
        """Sort any keys ``[...]`` of which nobody else needs the order."""
        flat = keys.reshape(-1)
        flat.sort()
        return Ordered.sorted(flat)

    @staticmethod
    def sorted(keys: Keys) -> Ordered:
        """Wrap keys that are in order already."""
        known = keys[: np.searchsorted(keys, MISSING)]
        ins: Ints = np.zeros(len(known) + 1, np.int32 if len(known) < 2**31 else np.int64)
        _count(known, ins[1:])
        return Ordered(known, ins)

    @property
    def members(self) -> int:
        """How many scores are of members."""
        return int(self.ins[-1])

    @property
    def nonmembers(self) -> int:
        """How many scores are of non-members."""
        return len(self.keys) - self.members

    def above(self, cuts: Keys) -> tuple[Ints, Ints]:
        """Return the members and non-members at or above each cut."""
        first = np.searchsorted(self.keys, cuts)
        ins = self.ins[-1] - self.ins[first]
        return ins, len(self.keys) - first - ins

    def nth(self, side: int, ranks: Ints) -> Keys:
        """Return the keys of these ranks, 0 the lowest, among members (side 1) or non-members (side 0)."""
        wanted = np.asarray(ranks, np.int64) + 1
        first, step = np.zeros(wanted.shape, np.int64), 1 << len(self.keys).bit_length()
        while step := step >> 1:  # one binary search for all; few ranks do not repay counts of every key
            probe = first + step
            at = np.minimum(probe, len(self.keys))
            counts = self.ins[at] if side else at - self.ins[at]
            first = np.where((probe <= len(self.keys)) & (counts < wanted), probe, first)
        return np.asarray(self.keys[np.minimum(first, len(self.keys) - 1)])

    def next_higher(self, keys: Keys) -> Keys:
        """Return the cut just above each of these scores: that of the next higher score."""
        after = np.searchsorted(self.keys, keys | 1, side="right")
        found = self.keys[np.minimum(after, len(self.keys) - 1)] & -2
        return np.where(after < len(self.keys), found, BEYOND)


def _count(keys: Keys, ins: Ints) -> None:
    """Count members up to each key, in place: a sum of short integers is several times faster."""
    ins[:] = keys
    ins &= 1
    np.cumsum(ins, out=ins)


class Rows(NamedTuple):
    """Keys of U units, each ``[n]`` in rising order, and the members before each place, ``[U, n+1]``."""

    keys: Keys
    ins: Ints

    @staticmethod
    def sorted(keys: Keys) -> Rows:
        """Of keys ``[U, n]`` whose rows are in order already."""
        ins = np.zeros((len(keys), keys.shape[1] + 1), np.int32)
        for row, counts in zip(keys, ins, strict=True):
            _count(row, counts[1:])
        return Rows(keys, ins)

    def above(self, cuts: Keys) -> tuple[Ints, Ints]:
        """Return the members and non-members of each unit at or above each cut: two ``[U, K]``."""
        beyond = np.append(cuts, MISSING)
        first = np.array([np.searchsorted(row, beyond) for row in self.keys])
        known = first[:, -1:]
        first = np.minimum(first[:, :-1], known)
        ins = self.ins[:, -1:] - np.take_along_axis(self.ins, first, axis=1)
        return ins, known - first - ins

    def above_in(self, units: Ints, cuts: Keys) -> tuple[Ints, Ints]:
        """Do the same for one unit each: ``units[P]``, ``cuts[P]`` -> two ``[P]``. No key may be missing."""
        n = self.keys.shape[1]
        flat, start = self.keys.ravel(), np.asarray(units) * n
        first = np.zeros(len(cuts), np.int64)
        step = 1 << max(0, n.bit_length() - 1)
        while step:  # one binary search for all
            probe = first + step
            lower = (probe <= n) & (flat[start + np.minimum(probe, n) - 1] < cuts)
            first += step * lower
            step >>= 1
        ins = self.ins[units, -1] - self.ins[units, first]
        return ins, n - first - ins


def places(values: NDArray[Any], queries: NDArray[Any]) -> tuple[Ints, Ints]:
    """How many of the sorted ``values[m]`` lie below each of ``queries[n]``, and how many do not lie above.

    As `numpy.searchsorted` of both sides, but the values are sought among the sorted queries, which is
    several times faster where they are fewer. NaN lies above all.
    """
    order = np.argsort(queries)
    rising = queries[order]
    return _passed(values, rising, order, "right"), _passed(values, rising, order, "left")


def below(values: NDArray[Any], queries: NDArray[Any]) -> Ints:
    """Return the first of `places`: how many of the sorted ``values[m]`` lie below each of ``queries[n]``."""
    order = np.argsort(queries)
    return _passed(values, queries[order], order, "right")


def _passed(values: NDArray[Any], rising: NDArray[Any], order: Ints, side: Literal["left", "right"]) -> Ints:
    """Return how many values stand before each query: those whose place among the queries is not after it."""
    counts = np.bincount(np.searchsorted(rising, values, side=side), minlength=len(rising) + 1)
    found = np.empty(len(rising), np.intp)
    found[order] = counts[:-1].cumsum()
    return found
