"""Where a value stands among the OUT replicas' values of the same example."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.attacks.arrays import Bools, Floats
from analysis.statistics.ordered import MISSING, Keys, keys_of

Counts = NDArray[np.signedinteger[Any]]

_CHUNK = 1 << 17  # elements of [chunk, R] that stay in cache
_FLOAT32 = 1 << 12  # replicas up to which sums of places are exact in float32


def out_ranks(values: Floats, outs: Bools) -> tuple[Counts, Counts]:
    """How many OUT values of its column each value exceeds, and how many it exceeds or equals, itself too.

    ``values[R, n]``, ``outs[R, n]`` -> two int16 or int32 ``[R, n]``. Cost: one sort a column.
    """
    replicas, n = values.shape
    counts = np.int16 if replicas < 2**15 else np.int32
    below, up_to = np.empty((2, replicas, n), counts)
    step = max(1, _CHUNK // replicas)
    for i in range(0, n, step):
        columns = np.ascontiguousarray(values[:, i : i + step].T)
        order = np.argsort(columns, axis=1)
        ordered = np.take_along_axis(columns, order, axis=1)
        flags = np.take_along_axis(outs[:, i : i + step].T, order, axis=1)
        after = flags.cumsum(axis=1, dtype=counts)
        before = after - flags
        new = ordered[:, 1:] != ordered[:, :-1]
        if not new.all():
            before, after = _whole_ties(before, after, new)
        for ranks, ordered_ranks in ((below, before), (up_to, after)):
            chunk = np.empty(columns.shape, counts)
            np.put_along_axis(chunk, order, ordered_ranks, axis=1)
            ranks[:, i : i + step] = chunk.T
    return below, up_to


def _whole_ties(before: Counts, after: Counts, new: Bools) -> tuple[Counts, Counts]:
    """Return the counts before the first and after the last of each run of ties."""
    edge = np.ones((len(new), 1), bool)
    first, last = np.hstack([edge, new]), np.hstack([new, edge])
    before = np.maximum.accumulate(np.where(first, before, 0), axis=1)
    most = after[:, -1:]
    after = np.minimum.accumulate(np.where(last, after, most)[:, ::-1], axis=1)[:, ::-1]
    return before, after


def risk_by_example(scores: Floats, members: Bools, targets: Bools) -> Floats:
    """Return the AUC of each example over the targets of each of S sets.

    ``scores[R, n]``, ``members[R, n]``, ``targets[S, R]`` bool -> ``[S, n]``: the probability that a replica
    trained on the example scores it above one that was not. NaN where the scored targets are all IN or all
    OUT. Cost: one sort a column and set.

    Of LiRA's scores it is biased, to 0.41 to 0.46 without leakage: `analysis.attacks.left_out` has its risk.
    """
    replicas, n = scores.shape
    risks = np.full((len(targets), n), np.nan)
    step = max(1, _CHUNK // 4 // replicas)
    for i in range(0, n, step):
        keys = np.ascontiguousarray(keys_of(scores[:, i : i + step], members[:, i : i + step]).T)
        for risk, chosen in zip(risks, targets, strict=True):
            risk[i : i + step] = _auc_of_rows(np.sort(keys[:, chosen], axis=1))
    return risks


def _auc_of_rows(keys: Keys) -> Floats:
    """AUC of every row of keys in rising order, ties half; NaN without members or without others."""
    width = keys.shape[1]
    flags: Floats = (keys & 1).astype(np.float32 if width <= _FLOAT32 else np.float64)
    ins = flags.sum(axis=1, dtype=np.float64)
    outs = np.count_nonzero(keys < MISSING, axis=1) - ins
    # Non-members stand before members of the same value: each member has them all below it, ties too.
    won = flags @ np.arange(width, dtype=flags.dtype) - ins * (ins - 1) / 2
    tied = np.flatnonzero(((keys[:, 1:] ^ keys[:, :-1]) == 1).any(axis=1))
    won[tied] -= _tied_pairs(keys[tied], flags[tied]) / 2
    found = np.full(len(keys), np.nan)
    np.divide(won, ins * outs, out=found, where=ins * outs > 0)
    return found


def _tied_pairs(keys: Keys, flags: Floats) -> Floats:
    """Return the pairs of a member and a non-member with the same value, row by row."""
    outs_before = np.zeros_like(flags)
    np.cumsum(1 - flags[:, :-1], axis=1, out=outs_before[:, 1:])
    begins = np.ones(keys.shape, bool)
    begins[:, 1:] = (keys[:, 1:] ^ keys[:, :-1]).view(np.uint64) > 1
    below = np.maximum.accumulate(outs_before * begins, axis=1)
    return np.asarray(np.einsum("nr,nr->n", outs_before - below, flags))
