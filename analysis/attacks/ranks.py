"""Where a value stands among the OUT replicas' values of the same example."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.attacks.arrays import Bools, Floats

Counts = NDArray[np.signedinteger[Any]]

_BLOCK = 1 << 17  # elements of [block, R] that stay in cache


def out_ranks(values: Floats, outs: Bools) -> tuple[Counts, Counts]:
    """How many OUT values of its column each value exceeds, and how many it exceeds or equals, itself too.

    ``values[R, n]``, ``outs[R, n]`` -> two int16 or int32 ``[R, n]``. Cost: one sort a column.
    """
    replicas, n = values.shape
    counts = np.int16 if replicas < 2**15 else np.int32
    below, up_to = np.empty((2, replicas, n), counts)
    step = max(1, _BLOCK // replicas)
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
            block = np.empty(columns.shape, counts)
            np.put_along_axis(block, order, ordered_ranks, axis=1)
            ranks[:, i : i + step] = block.T
    return below, up_to


def _whole_ties(before: Counts, after: Counts, new: Bools) -> tuple[Counts, Counts]:
    """Counts before the first and after the last of each block of ties."""
    edge = np.ones((len(new), 1), bool)
    first, last = np.hstack([edge, new]), np.hstack([new, edge])
    before = np.maximum.accumulate(np.where(first, before, 0), axis=1)
    most = after[:, -1:]
    after = np.minimum.accumulate(np.where(last, after, most)[:, ::-1], axis=1)[:, ::-1]
    return before, after


def risk_by_example(scores: Floats, members: Bools, targets: Bools) -> Floats:
    """AUC of each example over the targets of each of S sets.

    ``scores[R, n]``, ``members[R, n]``, ``targets[S, R]`` bool -> ``[S, n]``: the probability that a replica
    trained on the example scores it above one that was not. NaN where the scored targets are all IN or all
    OUT. Cost: one sort a column.

    Of LiRA's scores it is biased, to 0.41 to 0.46 without leakage: `analysis.attacks.left_out` has its risk.
    """
    replicas, n = scores.shape
    risks = np.full((len(targets), n), np.nan)
    step = max(1, _BLOCK // replicas)
    for i in range(0, n, step):
        columns = np.ascontiguousarray(scores[:, i : i + step].T)
        order = np.argsort(columns, axis=1)
        ordered = np.take_along_axis(columns, order, axis=1)
        flags, known = np.take_along_axis(members[:, i : i + step].T, order, axis=1), ~np.isnan(ordered)
        new = ordered[:, 1:] != ordered[:, :-1]
        ties = not new.all()
        for risk, chosen in zip(risks, targets, strict=True):
            here = known & chosen[order]
            ins, outs = here & flags, here & ~flags
            after = outs.cumsum(axis=1, dtype=np.int32)
            pairs = ins.sum(axis=1) * after[:, -1]
            before = after - outs
            if ties:
                before, after = _whole_ties(before, after, new)
            won = ((before + after) * ins).sum(axis=1)
            np.divide(won, 2 * pairs, out=risk[i : i + step], where=pairs > 0)
    return risks
