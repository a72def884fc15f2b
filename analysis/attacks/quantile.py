"""Quantile regression: the margin that a non-member of this difficulty would hardly reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analysis.attacks.arrays import Floats, finite, masks

_MOST_CATEGORIES = 255  # what scikit-learn's histogram trees can split on


def quantile_regression(
    margin: ArrayLike,
    members: ArrayLike,
    labels: ArrayLike,
    population: ArrayLike,
    population_labels: ArrayLike,
    *,
    quantile: float = 0.95,
) -> Floats:
    """Return the margin minus the quantile that a regressor predicts for a non-member (Bertran et al. 2023).

    The paper regresses on the input; records hold none, so a point is described by its label and by mean and
    deviation of its margin over the OUT shadows, a population point over those of a candidate drawn at
    random. Cost: one scikit-learn histogram gradient boosting a target; not run by default.

    Args:
        margin: Scaled logits ``[R, n]``.
        members: bool ``[R, n]``.
        labels: Classes ``[n]``.
        population: Scaled logits ``[R, m]`` on points that no replica trained on.
        population_labels: Their classes ``[m]``.
        quantile: In 0..1; the false-positive rate at a score of 0 is about 1 - quantile.

    Returns:
        Scores ``[R, n]``; above 0 means "member". NaN without an OUT shadow.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # slow to import, seldom needed

    x, z = finite(margin).astype(np.float64), finite(population).astype(np.float64)
    out = ~masks(members, *x.shape)
    # Described by more shadows than candidates are, the population would look easier to predict than they.
    borrowed = out[:, np.random.default_rng(0).integers(out.shape[1], size=z.shape[1])]
    categorical = [0] if max(np.max(labels), np.max(population_labels)) < _MOST_CATEGORIES else None
    scores = np.empty(x.shape)
    for target in range(len(x)):
        shadows = np.arange(len(x)) != target
        own = _describe(x[shadows], out[shadows], labels)
        features = _describe(z[shadows], borrowed[shadows], population_labels)
        if np.isnan(own[:, 1]).all() or np.isnan(features[:, 1]).all():
            scores[target] = np.nan
            continue
        # Leaves wide enough that their quantile is not an extreme of a handful of points.
        regressor = HistGradientBoostingRegressor(
            loss="quantile",
            quantile=quantile,
            max_iter=50,
            max_leaf_nodes=8,
            min_samples_leaf=max(20, z.shape[1] // 10),
            categorical_features=categorical,
            random_state=0,
        ).fit(features, z[target])
        scores[target] = np.where(np.isnan(own[:, 1]), np.nan, x[target] - regressor.predict(own))
    return scores


def _describe(margin: Floats, out: Floats, labels: ArrayLike) -> Floats:
    """Return label, mean and deviation of the OUT margins of each point: ``[n, 3]``."""
    count = out.sum(axis=0)
    mean = np.divide((margin * out).sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)
    square = ((margin - mean) ** 2 * out).sum(axis=0) / np.maximum(count, 1)
    return np.column_stack([labels, mean, np.sqrt(square)])
