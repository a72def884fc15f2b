"""The exact ROC curve of sorted scores: its figures, and the points that the bootstrap redraws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.metrics import LEVELS, Roc
from analysis.statistics.ordered import BEYOND, LOWEST, Keys, Ordered, values_of

_CHUNK = 1 << 16  # places looked at together
_EXACT = 64  # false positives up to which every point of the ROC is kept
_RATIO = 1.01  # of neighbouring false-positive counts beyond
_JUMP = 1e-3  # in FPR or TPR; both ends of a larger run of ties are kept


def figures(ordered: Ordered) -> dict[str, float]:
    """All metrics of the exact ROC curve by the name of their column, as `analysis.metrics.Roc.figures`."""
    ins, outs = ordered.members, ordered.nonmembers
    if not ins or not outs:
        return dict.fromkeys(("auc", "balanced_accuracy", "advantage", *LEVELS), np.nan)
    advantage = _largest_gap(ordered) / (ins * outs)
    found = {"auc": _auc(ordered), "balanced_accuracy": (1 + advantage) / 2, "advantage": advantage}
    allowed = np.array([_false_positives(level, outs) for level in LEVELS.values()])
    reached, _ = ordered.above(_cuts_at(ordered, allowed))
    return found | dict(zip(LEVELS, (reached / ins).tolist(), strict=True))


def thinned(ordered: Ordered) -> Roc:
    """Return the points of the ROC curve that the bootstrap redraws.

    The first 64 false positives one by one, then every 1 % more of them; at each the highest TPR; and
    both ends of every run of ties that moves a rate by more than 0.001. A level between two kept
    points is read at the lower one, so a redrawn TPR at fixed FPR belongs to an FPR at most
    1 % (relative) below it.
    """
    outs = ordered.nonmembers
    steps = 1 + int(np.log(max(outs / _EXACT, 1)) / np.log(_RATIO))
    more = np.geomspace(_EXACT, max(outs, _EXACT), steps).round().astype(np.int64)
    runs = np.concatenate([_large_runs(ordered, side) for side in (0, 1)])
    ends = np.array([BEYOND, ordered.keys[0] & -2])
    kept = [ends, _cuts_at(ordered, np.append(np.arange(_EXACT), more)), runs, ordered.next_higher(runs)]
    cuts = np.unique(np.concatenate(kept))[::-1]
    with np.errstate(invalid="ignore"):  # without members, or without others
        tpr, fpr = (counts / counts[-1] for counts in ordered.above(cuts))
    return Roc(fpr, tpr, values_of(cuts))


def _auc(ordered: Ordered) -> float:
    """Return the pairs in which the member scores higher, ties half, in whole numbers."""
    keys, ins, outs = ordered.keys, ordered.members, ordered.nonmembers
    # Non-members stand before members of the same value: each member has them all below it, ties too.
    places = ins * len(keys) - int(ordered.ins[1:].sum(dtype=np.int64))
    won = places - ins * (ins - 1) // 2
    last_out = _where_members_follow(keys)
    tied = keys[last_out]
    tied_outs = last_out + 1 - np.searchsorted(keys, tied)
    tied_ins = np.searchsorted(keys, tied | 1, side="right") - last_out - 1
    return float(won - int(tied_outs @ tied_ins) / 2) / (ins * outs)


def _where_members_follow(keys: Keys) -> NDArray[np.intp]:
    """Return the places of non-members before members of the same value."""
    found = [np.zeros(0, np.intp)]
    for i in range(0, len(keys) - 1, _CHUNK):
        part = keys[i : i + _CHUNK + 1]
        found.append(np.flatnonzero((part[1:] ^ part[:-1]) == 1) + i)
    return np.concatenate(found)


def _largest_gap(ordered: Ordered) -> int:
    """Return the largest TPR - FPR, at least 0, in units of 1 / (members * non-members)."""
    keys, ins, count = ordered.keys, ordered.members, len(ordered.keys)
    best = 0
    for i in range(1, count, _CHUNK):
        end = min(i + _CHUNK, count)
        # Only where a value begins: a cut between ties would tell members from non-members for nothing.
        starts = (keys[i:end] ^ keys[i - 1 : end - 1]).view(np.uint64) > 1
        above = ins - ordered.ins[i:end].astype(np.int64)
        gap = above * count - np.arange(count - i, count - end, -1) * ins
        best = max(best, int(gap.max(where=starts, initial=0)))
    return best


def _false_positives(level: float, nonmembers: int) -> int:
    """Return the most false positives at which FPR <= level."""
    most = int(level * nonmembers) + 1
    while most / nonmembers > level:
        most -= 1
    return most


def _cuts_at(ordered: Ordered, false_positives: NDArray[np.integer[Any]]) -> Keys:
    """Return the lowest cuts that at most so many non-members reach."""
    outs = ordered.nonmembers
    if not outs:
        return np.full(len(false_positives), LOWEST)
    kept_out = ordered.nth(0, np.maximum(outs - 1 - false_positives, 0))
    return np.where(false_positives < outs, ordered.next_higher(kept_out), ordered.keys[0] & -2)


def _large_runs(ordered: Ordered, side: int) -> Keys:
    """Return the values that more than a share _JUMP of one side have."""
    count = ordered.members if side else ordered.nonmembers
    if not count:
        return np.zeros(0, np.int64)
    most = int(_JUMP * count)
    # A run of more than `most` ranks holds a multiple of it.
    values = np.unique(ordered.nth(side, np.arange(0, count, max(1, most))) & -2)
    at, beyond = ordered.above(values)[1 - side], ordered.above(values + 2)[1 - side]
    return values[at - beyond > _JUMP * count]
