"""The spread of non-members' confidence, recipe by recipe."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.report import figures
from analysis.report.figures.spread import COLUMN, spread_info
from analysis.results import Tables


def test_a_recipe_has_its_variance_within_its_interval(tables: Tables) -> None:
    spread = spread_info(tables, tables.recipes.index[1])
    assert spread is not None
    assert spread.variance.tolist() == [tables.recipes["nonmember_variance"].iloc[1]]
    assert spread.low[0] < spread.variance[0] < spread.high[0]


def test_every_recipe_is_a_tick_and_the_chosen_one_a_dot_with_its_interval(tables: Tables) -> None:
    everybody = spread_info(tables)
    assert everybody is not None
    assert everybody.variance.tolist() == tables.recipes[COLUMN].tolist()
    assert everybody.optimizer == tables.recipes["optimizer"].tolist()
    chosen = str(tables.recipes.index[2])
    ticks, dot = figures.draw("spread", tables, [chosen]).data
    assert sorted(ticks.x) == pytest.approx(sorted(tables.recipes[COLUMN]), rel=1e-3)
    (low, value, high) = tables.recipes.loc[chosen, [f"{COLUMN}_low", COLUMN, f"{COLUMN}_high"]]
    assert list(dot.x) == pytest.approx([value], rel=1e-3)
    assert dot.error_x.array[0] == pytest.approx(high - value, rel=1e-2)
    assert dot.error_x.arrayminus[0] == pytest.approx(value - low, rel=1e-2)


def test_a_sweep_that_did_not_measure_it_draws_nothing(tables: Tables) -> None:
    without = Tables(tables.store)
    without.__dict__["recipes"] = tables.recipes.drop(columns=COLUMN)
    assert spread_info(without) is None
    assert not figures.draw("spread", without).data
    assert np.isnan(without.interval("nothing")[0]).all()
