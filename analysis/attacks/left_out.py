"""The risk of single examples, without the bias that leaving a target out of its own side has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from analysis.attacks.arrays import Bools, Floats, masks, with_queries
from analysis.attacks.lira import FLOOR, Variance, resolved

_CHUNK = 1 << 15  # elements of [R, chunk] that stay in cache
_COMPARISONS = 2048  # of an example: all pairs of up to 64 replicas


class _Own(NamedTuple):
    """A chunk of examples, all replicas twice over, so that any run of R of them is a slice: ``[2 R, b]``.

    ``weight`` and ``pull`` are of the side that a replica is on, without the replica.
    """

    values: Floats  # about the examples' means
    weight: Floats  # 1 / variance
    pull: Floats  # weight times mean


def lira_risk(
    margin: ArrayLike, members: ArrayLike, targets: Bools, *, variance: Variance = "per_example"
) -> Floats:
    """Return the AUC of online LiRA on each example, every pair of targets judged without both.

    A target that is left out of its own side's mean pushes that mean away from itself. Over all examples of a
    target that cancels but for little; between the targets of one example it does not, and the AUC of
    leave-one-out scores is 0.40 to 0.47 where nothing leaks. So a member and a non-member are compared by
    the likelihood ratio of all other replicas (leave-pair-out, Airola et al. 2011), without such a bias. With
    means m and variances v of the IN side without the member a and of the OUT side without the non-member b,
    the member wins where (a - b) ((a + b - 2 m_out) / v_out - (a + b - 2 m_in) / v_in) is above 0.

    Args:
        margin: The scaled logit, ``[R, n]`` or ``[R, Q, n]``; likelihood ratios are averaged over queries.
        members: Which replica was trained on which example, ``[R, n]``.
        targets: Sets of replicas that are compared, bool ``[S, R]``.
        variance: As in `analysis.attacks.lira`.

    Returns:
        ``[S, n]`` in 0 to 1; NaN where no pair has another replica on each side. Replicas are compared with
        those that follow them, each pair once; beyond 64 replicas with so few that an example has 2,048
        comparisons, about half of them of a member and a non-member. Cost: seven products a comparison.
    """
    x = with_queries(margin)
    replicas, queries, n = x.shape
    mask = masks(members, replicas, n)
    variance = resolved(variance, replicas)
    common = [_pooled(x[:, q], mask) if variance == "pooled" else None for q in range(queries)]

    def compare(q: int, chunk: slice) -> Compare:
        return partial(_ahead, _own(x[:, q, chunk], mask[:, chunk], common[q]))

    return pairs_won(mask, targets, queries, compare)


Compare: TypeAlias = Callable[[int], Floats]
"""How far each replica is ahead of the one so many further, ``[R, b]``: above 0, the member wins."""


def pairs_won(mask: Bools, targets: Bools, queries: int, compare: Callable[[int, slice], Compare]) -> Floats:
    """Return the share of pairs of a member and a non-member that the member wins, on each example.

    Args:
        mask: Which replica was trained on which example, ``[R, n]``.
        targets: Sets of replicas that are compared, bool ``[S, R]``.
        queries: How many queries an example has; what one is ahead by is summed over them.
        compare: Of a query and a chunk of examples, what compares replicas on it.

    Returns:
        ``[S, n]``, ties count half; NaN where no pair can be compared. See `lira_risk` for which are.
    """
    replicas, n = mask.shape
    shifts = range(1, 1 + max(1, min(replicas // 2, _COMPARISONS // replicas)))
    chosen = [_compared(targets, shift) for shift in shifts]
    risks = np.full((len(targets), n), np.nan)
    step = max(16, _CHUNK // replicas)
    for start in range(0, n, step):
        chunk = slice(start, min(start + step, n))
        compared = [compare(q, chunk) for q in range(queries)]
        won, pairs = np.zeros((2, len(targets), chunk.stop - start))
        inside = np.concatenate([mask[:, chunk]] * 2)
        for shift, both in zip(shifts, chosen, strict=True):
            ahead = sum(ahead_of(shift) for ahead_of in compared)
            judged = (inside[:replicas] != inside[shift : shift + replicas]) & ~np.isnan(ahead)
            pairs += both @ judged.astype(np.float32)
            won += both @ np.where(judged, np.sign(ahead), np.float32(0))
        np.divide(won + pairs, 2 * pairs, out=risks[:, chunk], where=pairs > 0)
    return risks


def _compared(targets: Bools, shift: int) -> Floats:
    """Return which replicas are compared with the one ``shift`` further: 0 or 1, ``[S, R]``."""
    both = targets & np.roll(targets, -shift, axis=1)
    if 2 * shift == targets.shape[1]:  # halfway round, the second half meets the first again
        both[:, shift:] = False
    return both.astype(np.float32)


def _ahead(own: _Own, shift: int) -> Floats:
    """Return the same whichever of the two is the member."""
    values, weight, pull = own
    one = slice(0, len(values) // 2)
    other = slice(shift, shift + len(values) // 2)
    difference, total = values[one] - values[other], values[one] + values[other]
    return np.asarray(difference * (total * (weight[other] - weight[one]) - 2 * (pull[other] - pull[one])))


def _own(x: Floats, mask: Bools, common: Floats | None) -> _Own:
    values = x - x.mean(axis=0, dtype=np.float64)
    weight, pull = np.empty((2, *values.shape))
    for side, own in enumerate((~mask, mask)):
        size = own.sum(axis=0)
        left = np.maximum(size - 1, 1)
        mean = (values * own).sum(axis=0) / np.maximum(size, 1)
        residual = (values - mean) * own
        squares = (residual**2).sum(axis=0) - residual**2 * (size / left)
        variance = np.maximum(squares / left if common is None else common[side], FLOOR**2)
        np.copyto(weight, np.where(size > 1, 1 / variance, np.nan), where=own)
        np.copyto(pull, weight * (mean - residual / left), where=own)
    return _Own(*(np.concatenate([part] * 2).astype(np.float32) for part in (values, weight, pull)))


def _pooled(x: Floats, mask: Bools) -> Floats:
    """Return one variance a side, of all residuals, free of bias: OUT, IN."""
    found = []
    for own in (~mask, mask):
        size = own.sum(axis=0)
        mean = (x * own).sum(axis=0, dtype=np.float64) / np.maximum(size, 1)
        found.append((((x - mean) * own) ** 2).sum() / max(1, np.maximum(size - 1, 0).sum()))
    return np.array(found)
