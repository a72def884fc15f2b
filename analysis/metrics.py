"""How well scores tell members from non-members. Higher = more likely a member; NaN scores are left out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.statistics.intervals import clopper_pearson

__all__ = [
    "LEVELS",
    "Roc",
    "advantage",
    "auc",
    "balanced_accuracy",
    "clopper_pearson",
    "operating_point",
    "roc",
    "tpr_at_fpr",
]

# False-positive rates that audits report, by the suffix of their column.
LEVELS = {"tpr_at_10pct": 0.1, "tpr_at_1pct": 0.01, "tpr_at_0.1pct": 0.001, "tpr_at_0.01pct": 0.0001}

Floats = NDArray[np.floating[Any]]


class Roc(NamedTuple):
    """Points of a ROC curve from (0, 0) to (1, 1), one for each distinct score, highest first.

    At point k everything that scores at least ``thresholds[k]`` is called a member; the first is +inf.
    Rates are NaN where there are no non-members (``fpr``) or no members (``tpr``).
    """

    fpr: Floats
    tpr: Floats
    thresholds: Floats

    @property
    def auc(self) -> float:
        """Area under the curve, 0..1."""
        return float(np.trapezoid(self.tpr, self.fpr))

    @property
    def balanced_accuracy(self) -> float:
        """The best of (TPR + 1 - FPR) / 2 over all thresholds, 0.5..1."""
        return float((1 + (self.tpr - self.fpr).max()) / 2)

    def figures(self) -> dict[str, float]:
        """Return all metrics by the name of their column."""
        best = self.balanced_accuracy
        levels = {name: self.tpr_at_fpr(level) for name, level in LEVELS.items()}
        return {"auc": self.auc, "balanced_accuracy": best, "advantage": 2 * best - 1, **levels}

    def tpr_at_fpr(self, fpr: float) -> float:
        """Return the largest TPR of a point with FPR <= ``fpr``, see `tpr_at_fpr`."""
        if np.isnan(self.tpr[-1]) or np.isnan(self.fpr[-1]):
            return np.nan
        return float(self.tpr[np.searchsorted(self.fpr, fpr, side="right") - 1])


def roc(scores: ArrayLike, members: ArrayLike) -> Roc:
    """Compute the exact ROC curve, in which tied scores are one point.

    Args:
        scores: Any shape; higher means more likely a member. NaN scores are left out.
        members: bool, of the same shape.

    Returns:
        The points of the curve. It costs one sort.

    Raises:
        ValueError: The shapes differ.

    >>> roc([3.0, 2.0, 1.0], [True, False, True]).tpr
    array([0. , 0.5, 0.5, 1. ])
    """
    flat = np.asarray(scores).ravel()
    truth = np.asarray(members).astype(bool, copy=False).ravel()
    if flat.shape != truth.shape:
        raise ValueError(f"scores {np.shape(scores)} and members {np.shape(members)} must have one shape")
    known = ~np.isnan(flat)
    if not known.all():
        flat, truth = flat[known], truth[known]
    # Sorting values is several times faster than sorting positions: members are found again by their values.
    flat, ins = np.sort(flat), np.sort(flat[truth])
    first_of_tie = np.flatnonzero(np.append(True, flat[1:] != flat[:-1])[: len(flat)])
    thresholds = flat[first_of_tie]
    below = np.searchsorted(ins, thresholds, side="left")
    positives = np.append(0, (len(ins) - below)[::-1])
    negatives = np.append(0, (len(flat) - first_of_tie)[::-1]) - positives
    with np.errstate(invalid="ignore"):
        fpr, tpr = negatives / np.float64(negatives[-1]), positives / np.float64(positives[-1])
    return Roc(fpr, tpr, np.append(np.inf, thresholds[::-1]))


def auc(scores: ArrayLike, members: ArrayLike) -> float:
    """Compute the area under the ROC curve: P(a member scores above a non-member), ties half.

    Args:
        scores: Any shape; higher means more likely a member. NaN scores are left out.
        members: bool, of the same shape.

    Returns:
        0..1, 0.5 for a guess; NaN without members or without non-members.

    >>> auc([3.0, 2.0, 1.0, 0.0], [True, True, False, False])
    1.0
    """
    return roc(scores, members).auc


def balanced_accuracy(scores: ArrayLike, members: ArrayLike) -> float:
    """Compute the best of (TPR + 1 - FPR) / 2 over all thresholds.

    Args:
        scores: Any shape; higher means more likely a member. NaN scores are left out.
        members: bool, of the same shape.

    Returns:
        0.5..1; NaN without members or without non-members.

    >>> balanced_accuracy([3.0, 2.0, 1.0, 0.0], [True, False, True, False])
    0.75
    """
    return roc(scores, members).balanced_accuracy


def advantage(scores: ArrayLike, members: ArrayLike) -> float:
    """Compute the membership advantage: 2 * balanced accuracy - 1, the largest TPR - FPR.

    Source: Yeom et al. 2018, definition 4.

    Args:
        scores: Any shape; higher means more likely a member. NaN scores are left out.
        members: bool, of the same shape.

    Returns:
        0..1, 0 for a guess; NaN without members or without non-members.

    >>> advantage([3.0, 2.0, 1.0, 0.0], [True, False, True, False])
    0.5
    """
    return 2 * balanced_accuracy(scores, members) - 1


def tpr_at_fpr(scores: ArrayLike, members: ArrayLike, fpr: float) -> float:
    """Find the largest TPR of a ROC point with FPR <= ``fpr``: ties whole, no interpolation.

    Fewer than 1/fpr non-members cannot resolve the level; audits report NaN there.

    Args:
        scores: Any shape; higher means more likely a member. NaN scores are left out.
        members: bool, of the same shape.
        fpr: The level, 0..1.

    Returns:
        0..1; NaN without members or without non-members.

    >>> tpr_at_fpr([3.0, 2.0, 1.0, 0.0], [True, False, True, False], 0.0)
    0.5
    """
    return roc(scores, members).tpr_at_fpr(fpr)


class OperatingPoint(NamedTuple):
    """What an attack achieves at its own threshold.

    ``precision`` is at the ensemble's own share of members (half of the candidates with exact halves); rarer
    members make it lower. NaN where the attack calls nobody a member. Numbers, or arrays of them from arrays.
    """

    accuracy: Any  # balanced: (TPR + 1 - FPR) / 2
    tpr: Any
    fpr: Any
    precision: Any

    @staticmethod
    def of(hits: Any, alarms: Any, ins: Any, outs: Any) -> OperatingPoint:
        """Return the figures of ``hits`` among ``ins`` members and ``alarms`` among ``outs`` others."""
        with np.errstate(invalid="ignore", divide="ignore"):
            tpr, fpr, precision = hits / ins, alarms / outs, hits / (hits + alarms)
        return OperatingPoint((tpr + 1 - fpr) / 2, tpr, fpr, precision)


def operating_point(scores: ArrayLike, members: ArrayLike) -> OperatingPoint:
    """Measure an attack that calls a member whatever scores above 0.

    Args:
        scores: Any shape. NaN scores are left out.
        members: bool, of the same shape.

    Returns:
        Balanced accuracy, TPR, FPR and precision.
    """
    scores, members = np.asarray(scores), np.asarray(members).astype(bool, copy=False)
    called = scores > 0
    ins, outs = members.sum(where=~np.isnan(scores)), (~members).sum(where=~np.isnan(scores))
    hits = (called & members).sum()
    alarms = called.sum() - hits
    return OperatingPoint(*map(float, OperatingPoint.of(hits, alarms, ins, outs)))
