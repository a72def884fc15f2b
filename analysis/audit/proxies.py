"""How well cheap signals rank the examples that memorization ranks at great cost: Spearman correlations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from analysis.ensemble import Ensemble
from analysis.memorization import memorization
from analysis.statistics.intervals import interval, resample

# A single training run shows these of its own members; all rise with the difficulty of an example.
PROXIES = {
    "loss": ("log_p_true", -1),
    "margin": ("margin", -1),
    "entropy": ("entropy", 1),
    "curvature": ("curvature", 1),  # where it was recorded
}

_UNITS = 1000  # that the bootstrap over examples redraws


class Correlation(NamedTuple):
    """Spearman's rank correlation with its interval."""

    estimate: float
    low: float
    high: float


def rank_correlation(
    x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Correlation:
    """Spearman's correlation of ``x[n]`` and ``y[n]``, ties averaged, with its interval over examples.

    ``[S, n]``: of S measurements of the same examples, each ranked by itself, all together. Examples with a
    NaN in either are left out; NaN where fewer than three are left or one side is constant.
    The interval answers for the choice of examples, not of replicas: it redraws pairs of ranks, beyond 1000
    examples as 1000 random groups, whose sums vary like those of single pairs.
    """
    moments = _moments(x, y)
    n = len(moments)
    if n < 3:
        return Correlation(np.nan, np.nan, np.nan)
    order = np.random.default_rng(seed).permutation(n)
    units = min(n, _UNITS)
    sums = np.add.reduceat(moments[order], np.arange(units) * n // units)
    draws = _pearson(resample(np.arange(units), resamples, seed) @ sums)
    return Correlation(spearman(x, y), *interval(draws, units, confidence=confidence))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """The estimate of `rank_correlation` alone."""
    moments = _moments(x, y)
    return float(_pearson(moments.sum(axis=0))) if len(moments) > 2 else np.nan


def risk_correlations(examples: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """Rank correlation of memorization with the risk of each attack over ``examples``, the audit's table.

    Columns ``against, correlation, low, high``. Both sides come from the same replicas, whose luck they
    share; the risk of the attack by correctness is memorization itself, (1 + memorization) / 2.
    """
    rows = [
        {"against": column, **_row(rank_correlation(examples["memorization"], examples[column], **options))}
        for column in map(str, examples.columns)
        if column.startswith("risk_")
    ]
    return pd.DataFrame(rows, columns=["against", "correlation", "low", "high"])


def proxy_table(
    ensemble: Ensemble, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Memorization against what a single run shows of its members at the end of training.

    For each proxy: its rank correlation, over a replica's members, with the memorization that the whole
    ensemble measures, averaged over replicas with a bootstrap interval over subset seeds. Columns
    ``recipe_id, against, correlation, low, high``.
    """
    members = ensemble.members
    scores = memorization(ensemble.signal("train", "correct")[:, 0], members)
    members = members & np.isfinite(scores)
    weights = resample(ensemble.clusters, resamples, seed)
    rows = []
    for name, (signal, sign) in PROXIES.items():
        if signal == "curvature" and not ensemble.context.curvature:
            continue
        values = sign * ensemble.signal("train", signal)[:, 0]
        each = np.array([spearman(v[m], scores[m]) for v, m in zip(values, members, strict=True)])
        known = np.isfinite(each)
        if not known.any():
            continue
        with np.errstate(invalid="ignore"):  # a resample may draw none of the known
            draws = weights[:, known] @ each[known] / weights[:, known].sum(axis=1)
        ends = interval(draws, int(ensemble.clusters.max()) + 1, confidence=confidence)
        estimate = Correlation(float(each[known].mean()), *ends)
        rows.append({"recipe_id": ensemble.recipe_id, "against": f"{name}_of_one_replica", **_row(estimate)})
    return pd.DataFrame(rows, columns=["recipe_id", "against", "correlation", "low", "high"])


def _row(correlation: Correlation) -> dict[str, float]:
    return {"correlation": correlation.estimate, "low": correlation.low, "high": correlation.high}


def _moments(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """1, a, b, a^2, b^2, ab of the centred ranks of every example without NaN: ``[n, 6]``, summed over S."""
    both = [np.atleast_2d(np.asarray(side, np.float64)) for side in (x, y)]
    known = ~np.isnan(both).any(axis=(0, 1))
    a, b = (rankdata(side[:, known], axis=1) - (known.sum() + 1) / 2 for side in both)
    return np.asarray(np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], axis=-1).sum(axis=0))


def _pearson(sums: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Correlation from summed moments ``[..., 6]``."""
    count, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((ab - a * b / count) / np.sqrt((aa - a * a / count) * (bb - b * b / count)))
