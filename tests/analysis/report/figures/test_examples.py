"""Figures of single examples: pairs with the reference, exposure, and which are drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from analysis.report.figures.examples import exposure_info, pair_info, sample, stacked
from analysis.results import Tables


def test_pairs_are_the_same_examples_and_the_reference_has_none(tables: Tables) -> None:
    recipe = tables.recipes.index[2]
    info = pair_info(tables, recipe)
    own, other = (tables.examples(r)["memorization"].to_numpy() for r in (recipe, tables.reference))
    assert info is not None
    pairs = Counter(zip(other.round(4).tolist(), own.round(4).tolist(), strict=True))
    assert dict(zip(zip(info.reference, info.recipe, strict=True), info.examples_at, strict=True)) == pairs
    assert info.share_above == (own > other).mean()
    assert pair_info(tables, str(tables.reference)) is None


def test_exposure_correlates_by_rank(tables: Tables) -> None:
    from scipy.stats import spearmanr

    recipe = tables.recipes.index[3]
    table = tables.examples(recipe)
    for info in exposure_info(tables, recipe):
        expected = spearmanr(table["memorization"], table[f"risk_{info.attack}"]).statistic
        assert info.correlation == pytest.approx(expected)


def test_samples_are_the_same_for_all_recipes() -> None:
    assert sample(500, 1200).tolist() == list(range(500))
    large = sample(60_000, 50)
    assert len(large) == 50
    assert large.tolist() == sample(60_000, 50).tolist()
    assert len(np.unique(large)) == len(large)


def test_dots_count_the_examples_that_share_a_place() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-6, 7, 5000) / 6, rng.integers(0, 7, 5000) / 6
    x[:10] = np.nan
    at_x, at_y, count = stacked(x, y, 12)
    expected = Counter(zip(x[10:].round(4).tolist(), y[10:].round(4).tolist(), strict=True))
    assert dict(zip(zip(at_x.tolist(), at_y.tolist(), strict=True), count.tolist(), strict=True)) == expected
    *_, many = stacked(rng.normal(size=5000), rng.normal(size=5000), 12)
    assert many.sum() == 1200, "a sample, where nearly every example has a place of its own"
