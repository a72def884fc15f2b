"""How well cheap signals rank the examples that memorization ranks at great cost: Spearman correlations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from analysis.ensemble import Ensemble
from analysis.memorization import memorization
from analysis.statistics.intervals import interval, paired, resample

if TYPE_CHECKING:
    from analysis.audit.outcome import Audit

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
    """Spearman's rank correlation, ties averaged, with its interval over examples.

    The interval answers for the choice of examples, not of replicas: it redraws pairs of ranks, beyond 1000
    examples as 1000 random groups, whose sums vary like those of single pairs.

    Args:
        x: ``[n]``, or ``[S, n]`` of S measurements of the same examples, each ranked by itself, all together.
            Examples with a NaN in either side are left out.
        y: Of the same shape.
        confidence: Of the interval, in 0..1.
        resamples: Bootstrap draws.
        seed: Of the bootstrap.

    Returns:
        The correlation in -1..1 with its interval; NaN where fewer than three examples are left or one side
        is constant.
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
    """Return the estimate of `rank_correlation` alone."""
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
    """Return memorization against what a single run shows of its members at the end of training.

    For each proxy: its rank correlation, over a replica's members, with the memorization that the whole
    ensemble measures, averaged over replicas with a bootstrap interval over subset seeds. Columns
    ``recipe_id, against, correlation, low, high``.
    """
    members = ensemble.members
    scores = memorization(ensemble.signal("train", "correct")[:, 0], members)
    members = members & np.isfinite(scores)
    weights = resample(ensemble.clusters, resamples, seed)
    rows = []
    ranks = [_centred_ranks(scores[m]) for m in members]
    for name, (signal, sign) in PROXIES.items():
        if signal == "curvature" and not ensemble.context.curvature:
            continue
        values = ensemble.signal("train", signal)[:, 0]
        each = np.array(
            [sign * _of_members(v[m], scores[m], r) for v, m, r in zip(values, members, ranks, strict=True)]
        )
        known = np.isfinite(each)
        if not known.any():
            continue
        with np.errstate(invalid="ignore"):  # a resample may draw none of the known
            draws = weights[:, known] @ each[known] / weights[:, known].sum(axis=1)
        ends = interval(draws, int(ensemble.clusters.max()) + 1, confidence=confidence)
        estimate = Correlation(float(each[known].mean()), *ends)
        rows.append({"recipe_id": ensemble.recipe_id, "against": f"{name}_of_one_replica", **_row(estimate)})
    return pd.DataFrame(rows, columns=["recipe_id", "against", "correlation", "low", "high"])


def tail_estimate(ensemble: Ensemble, *, level: float = 0.001) -> NDArray[np.float64]:
    """Return the share of test examples whose loss only ``level`` of the members exceed, for each replica.

    The true-negative rate of an attack that calls an example with a large loss a non-member (Dodd et al.
    2025): one model's training and test losses tell it, no shadow model takes part. That ``level`` is the
    false-negative rate of 0.1 % is our choice.

    Args:
        ensemble: Replicas with test examples.
        level: The largest share of members that the attack may call non-members.

    Returns:
        ``[R]`` in 0 to 1, higher for a model that leaks more; NaN without members or test examples.
    """
    train, test = (-ensemble.signal(side, "log_p_true")[:, 0] for side in ("train", "test"))
    shares = np.full(len(train), np.nan)
    for i, own in enumerate(ensemble.members):
        if own.any() and test.shape[1]:
            losses = np.sort(train[i, own])
            shares[i] = (test[i] > losses[len(losses) - 1 - int(level * len(losses))]).mean()
    return shares


def tail_ranking(
    ensembles: Mapping[str, Ensemble],
    audits: Mapping[str, Audit],
    *,
    figure: str = "lira_tpr_at_0.1pct",
    among: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well the tail estimate ranks the recipes of a sweep that LiRA ranks at great cost.

    Args:
        ensembles: Ensembles by recipe_id.
        audits: Their audits by recipe_id.
        figure: The column of the audits that the estimate is compared with.
        among: The ``cluster_ids`` that the audits' bootstrap draws are paired by; see `analysis.audit`.
        confidence: Level of the interval.
        resamples: How often subset seeds are redrawn; as many as the audits'.
        seed: Seed of the resampling, that of the audits.

    Returns:
        One row with an empty ``recipe_id``: Spearman's correlation, over recipes, of a replica's mean tail
        estimate with ``figure``, and its bootstrap interval over subset seeds, which keeps the recipes. No
        row with fewer than three recipes that have both.
    """
    tails, risks, drawn, clusters = [], [], [], []
    for recipe_id, ensemble in ensembles.items():
        found = audits[recipe_id]
        risk = found.row.get(figure, np.nan)
        if not np.isfinite(risk) or len(found.draws[figure]) != resamples:
            continue
        tail = tail_estimate(ensemble)
        if not np.isfinite(tail).all():
            continue
        weights = paired(ensemble.cluster_ids, among, resamples, seed)
        clusters.append(int(ensemble.clusters.max()) + 1)
        tails.append(float(tail.mean()))
        risks.append(risk)
        drawn.append((weights @ tail / weights.sum(axis=1), found.draws[figure]))
    columns = ["recipe_id", "against", "correlation", "low", "high"]
    if len(tails) < 3:
        return pd.DataFrame(columns=columns)
    x, y = (rankdata(side, axis=0) for side in np.swapaxes(drawn, 0, 1))  # [recipes, B] each
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = (x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    ends = interval(draws, min(clusters), confidence=confidence)
    estimate = Correlation(spearman(tails, risks), *ends)
    return pd.DataFrame(
        [{"recipe_id": "", "against": "tail_of_one_replica", **_row(estimate)}], columns=columns
    )


def _of_members(values: NDArray[Any], scores: NDArray[Any], ranks: NDArray[np.float64]) -> float:
    """`spearman` of values and scores whose centred ranks are known, unless some value is NaN."""
    if np.isnan(values).any():
        return spearman(values, scores)
    if len(values) < 3:
        return np.nan
    own = _centred_ranks(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((own @ ranks) / np.sqrt((own @ own) * (ranks @ ranks)))


def _centred_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return ranks less their mean, ties averaged, as `scipy.stats.rankdata` at a fraction of its cost."""
    order = np.argsort(values)
    rising = values[order]
    first = np.flatnonzero(np.append(True, rising[1:] != rising[:-1])[: len(values)])
    ends = np.append(first[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((first + ends - len(values)) / 2, ends - first)
    return ranks


def _row(correlation: Correlation) -> dict[str, float]:
    return {"correlation": correlation.estimate, "low": correlation.low, "high": correlation.high}


def _moments(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """1, a, b, a^2, b^2, ab of the centred ranks of every example without NaN: ``[n, 6]``, summed over S."""
    both = [np.atleast_2d(np.asarray(side, np.float64)) for side in (x, y)]
    known = ~np.isnan(both).any(axis=(0, 1))
    a, b = (np.array([_centred_ranks(row[known]) for row in side]) for side in both)
    return np.asarray(np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], axis=-1).sum(axis=0))


def _pearson(sums: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the correlation from summed moments ``[..., 6]``."""
    count, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((ab - a * b / count) / np.sqrt((aa - a * a / count) * (bb - b * b / count)))
