"""Figures by the numbers that they show (their Info), and by how they are composed; never pixels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.report import figures
from analysis.report.figures.axes import log_ticks, with_log_ticks
from analysis.report.figures.buckets import buckets_info
from analysis.report.figures.compose import compose
from analysis.report.figures.examples import exposure_info, pair_info, sample, stacked
from analysis.report.figures.front import front_info, staircase
from analysis.report.figures.growth import growth_info
from analysis.report.figures.memorization import bins, memorization_info
from analysis.report.figures.panel import (
    PALETTE,
    THEMES,
    paint,
    plain,
    short,
)
from analysis.report.figures.points import View, resolve
from analysis.report.figures.roc import roc_info
from analysis.report.figures.scores import scores_info
from analysis.report.figures.spread import spread_info
from analysis.results import Tables, risk_of
from tests.helpers.simulated_results import simulate
from trainables.errors import UserError


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables.of(simulate(tmp_path_factory.mktemp("figures") / "sweep", 12))


def _dominated(points: np.ndarray) -> np.ndarray:
    """By the definition, pair by pair: accuracy (first) up, risk (second) down."""
    return np.array([any(q[0] >= p[0] and q[1] <= p[1] and (q != p).any() for q in points) for p in points])


def test_front_is_what_no_recipe_dominates_and_its_line_rises(tables: Tables) -> None:
    for column in ("lira_tpr_at_0.1pct", "lira_auc", "confidence_balanced_accuracy"):
        info = front_info(tables, column)
        points = np.column_stack([info.accuracy, info.value])
        assert (info.on_front == ~_dominated(points)).all()
        assert (np.diff(info.line[0]) > 0).all()
        assert (np.diff(info.line[1]) > 0).all()
        assert set(info.line[0]) == set(info.value[info.on_front])


def test_staircase_says_equal_points_once() -> None:
    x, y = staircase(np.array([[0.9, 0.2], [0.8, 0.1], [0.9, 0.2]]))
    assert x.tolist() == [0.1, 0.2]
    assert y.tolist() == [0.8, 0.9]


def test_reference_and_the_best_without_noise(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 12)
    table = pd.read_parquet(directory / "results/recipes.parquet").iloc[:4].copy()
    table["noise"] = [0.0, 0.0, 0.0, 3.0]
    table["test_accuracy"] = [0.95, 0.95, 0.949, 0.96]
    table["lira_auc"] = [0.60, 0.58, 0.51, 0.50]
    table.to_parquet(directory / "results/recipes.parquet")
    info = front_info(Tables.of(directory), "lira_auc")
    assert info.reference == 0
    assert info.baseline == 1  # 2 is less accurate than the reference, 3 injects noise


def test_a_level_that_is_not_resolvable_is_counted_not_drawn_as_zero(tables: Tables) -> None:
    assert "correctness_tpr_at_0.1pct" not in tables.risks
    spoiled = tables.recipes.copy()
    spoiled.loc[spoiled.index[:3], "rmia_auc"] = np.nan
    partial = Tables(tables.store)
    partial.__dict__["recipes"] = spoiled
    info = front_info(partial, "rmia_auc")
    assert info.unresolved == 3
    assert not info.on_front[:3].any()


def test_front_figure_draws_the_front_above_its_line(tables: Tables) -> None:
    figure = figures.draw("front", tables, risk="lira_auc")
    names = [trace.name for trace in figure.data]
    line = names.index(None)
    info = front_info(tables, "lira_auc")
    above = figure.data[line + 1 :]
    below, above = (sum(len(t.x) for t in part if t.name) for part in (figure.data[:line], above))
    assert (below, above) == (len(info.value), info.on_front.sum())
    legend = [t.name for t in figure.data if t.showlegend is not False and t.name]
    assert legend == sorted(set(tables.recipes["optimizer"])), "the page's order, so the page's colours"
    assert figure.layout.xaxis.title.text.startswith("LiRA AUC")
    reached = {
        i: x + up for t in figure.data[:line] for i, x, up in zip(t.ids, t.x, t.error_x.array, strict=True)
    }
    assert reached == pytest.approx(tables.recipes["lira_auc_high"].to_dict(), rel=1e-3)
    ring = figures.draw("front", tables, [str(tables.recipes.index[5])], risk="lira_auc").data[-1]
    assert list(ring.x) == pytest.approx([tables.recipes["lira_auc"].iloc[5]], rel=1e-5)


def test_a_trace_of_recipes_leaves_out_what_is_unknown_and_orders_by_a_column(tables: Tables) -> None:
    spoiled = Tables(tables.store)
    table = tables.recipes.copy()
    table.loc[table.index[3], "train_seconds"] = np.nan
    spoiled.__dict__["recipes"] = table
    trace = {
        "type": "bar",
        "recipes": "shown",
        "x": "$label",
        "y": "$train_seconds",
        "order": "train_seconds",
    }
    (found,) = resolve(trace, View(spoiled, spoiled.default_risk))
    expected = table.dropna(subset=["train_seconds"]).sort_values("train_seconds")
    assert found["ids"] == expected.index.tolist()
    assert found["y"] == pytest.approx(expected["train_seconds"].tolist(), rel=1e-5)
    assert found["x"] == expected["label"].tolist()
    assert found.keys() == {"type", "x", "y", "ids"}


def test_roc_leaves_out_what_a_log_axis_cannot_show(tables: Tables) -> None:
    recipe = tables.recipes.index[1]
    rows = tables.of_recipe("roc", recipe)
    for info in roc_info(tables, recipe):
        own = rows[(rows["attack"] == info.attack) & (rows["fpr"] > 0) & (rows["tpr"] > 0)]
        assert info.fpr.tolist() == own["fpr"].tolist()
        assert info.tpr.tolist() == own["tpr"].tolist()
        assert (info.fpr > 0).all()


def test_score_histograms_are_densities(tables: Tables) -> None:
    found = scores_info(tables, tables.recipes.index[0])
    assert {info.attack for info in found} == {r.attack for r in tables.risks.values()} | {"correctness"}
    for info in found:
        for density in (info.members, info.nonmembers):
            assert (density * np.diff(info.edges)).sum() == pytest.approx(1, abs=0.01)


def test_memorization_histogram_counts_known_examples_only(tables: Tables) -> None:
    recipe = tables.recipes.index[0]
    info = memorization_info(tables, recipe)
    values = tables.examples(recipe)["memorization"]
    assert info is not None
    assert info.share.sum() == pytest.approx(1)
    assert info.mean == pytest.approx(values.mean())
    low = int(np.searchsorted(info.edges, 0.5))
    inside = ((values >= info.edges[low]) & (values < info.edges[low + 1])).mean()
    assert info.share[low] == pytest.approx(inside)


@pytest.mark.parametrize("replicas", [2, 7, 16, 64, 100, 200, 1000])
def test_bins_hold_as_many_values_of_memorization_each_and_split_none(replicas: int) -> None:
    half = replicas // 2
    values = np.arange(-half, half + 1) / (replicas / 2)
    edges = bins(replicas)
    inside = np.histogram(values, edges)[0]
    assert inside.sum() == len(values)
    assert np.abs(values[:, None] - edges).min() > 0.1 / replicas
    assert len(set(inside[inside > 0][1:-1].tolist())) <= 1
    assert (np.diff(edges) > 0.0499).all()


def test_memorization_of_few_replicas_is_drawn_bin_by_bin(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2)
    table = pd.read_parquet(directory / "results/recipes.parquet").assign(replicas=16)
    table.to_parquet(directory / "results/recipes.parquet")
    recipe = str(table["recipe_id"].iloc[0])
    file = directory / f"results/examples/{recipe}.parquet"
    values = np.repeat([0.0, 0.25, 1.0], [200, 60, 40])
    pd.read_parquet(file).assign(memorization=values).to_parquet(file)
    (trace,) = figures.FIGURES["memorization"].traces(Tables.of(directory), recipe)  # type: ignore[misc]
    at = dict(zip(trace["x"][1:], trace["customdata"][1:], strict=True))
    step = {low: share for low, share in at.items() if share}
    assert step == pytest.approx({-0.0625: 200 / 300, 0.1875: 60 / 300, 0.9375: 40 / 300}, abs=1e-4)
    assert None not in trace["y"], "a gap would leave a lone bin without a line"
    assert min(trace["y"]) == pytest.approx(0.5 / 300, rel=1e-3)


def test_pairs_are_the_same_examples_and_the_reference_has_none(tables: Tables) -> None:
    recipe = tables.recipes.index[2]
    info = pair_info(tables, recipe)
    own, other = (tables.examples(r)["memorization"].to_numpy() for r in (recipe, tables.reference))
    assert info is not None
    pairs = Counter(zip(other.round(4).tolist(), own.round(4).tolist(), strict=True))
    assert dict(zip(zip(info.reference, info.recipe, strict=True), info.examples_at, strict=True)) == pairs
    assert info.share_above == (own > other).mean()
    assert pair_info(tables, str(tables.reference)) is None
    assert buckets_info(tables, str(tables.reference)) is None


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


def test_three_objectives_keep_what_any_one_of_them_excuses(tables: Tables) -> None:
    names = ["test_accuracy", "lira_tpr_at_0.1pct", "train_seconds"]
    points = tables.recipes[names].to_numpy() * [-1, 1, 1]
    dominated = [any((q <= p).all() and (q < p).any() for q in points) for p in points]
    expected = dict(zip(tables.recipes.index, (~np.array(dominated)).astype(int).tolist(), strict=True))
    (trace,) = figures.draw("objectives", tables, risk=names[1]).data
    assert dict(zip(trace.ids, trace.line.color, strict=True)) == expected
    assert sorted(trace.line.color) == list(trace.line.color), "strong lines lie on top"
    chosen = tables.recipes.index[[4, 2]].tolist()
    (marked,) = figures.draw("objectives", tables, chosen, risk=names[1]).data
    standing = dict(zip(marked.ids, marked.line.color, strict=True))
    assert standing == expected | dict(zip(chosen, (2, 3), strict=True))


def test_spread_and_growth_read_their_tables(tables: Tables) -> None:
    spread, growth = spread_info(tables, tables.recipes.index[1]), growth_info(tables)
    assert spread is not None
    assert growth is not None
    assert spread.variance.tolist() == [tables.recipes["nonmember_variance"].iloc[1]]
    assert spread.low[0] < spread.variance[0] < spread.high[0]
    assert growth.hypervolume.tolist() == tables.history["hypervolume"].tolist()


def test_dots_count_the_examples_that_share_a_place() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-6, 7, 5000) / 6, rng.integers(0, 7, 5000) / 6
    x[:10] = np.nan
    at_x, at_y, count = stacked(x, y, 12)
    expected = Counter(zip(x[10:].round(4).tolist(), y[10:].round(4).tolist(), strict=True))
    assert dict(zip(zip(at_x.tolist(), at_y.tolist(), strict=True), count.tolist(), strict=True)) == expected
    *_, many = stacked(rng.normal(size=5000), rng.normal(size=5000), 12)
    assert many.sum() == 1200, "a sample, where nearly every example has a place of its own"


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1e-4, 1),
        (9.5, 13),
        (0.5, 40),
        (3.1, 3.2),
        (1e-5, 1e7),
        (0.011, 0.9),
        (2, 4),
        (99, 1001),
        (1.2e-4, 8e-4),
    ],
)
def test_log_axes_have_three_to_seven_ticks(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    assert all(low * 0.99 <= tick <= high * 1.01 for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_log_axes_reach_over_the_error_bars() -> None:
    trace = {"x": [10.0, 12.0], "error_x": {"array": [5.0, None], "arrayminus": [2.0, None]}}
    axis = with_log_ticks([trace], {"xaxis": {"type": "log"}, "yaxis": {}})["xaxis"]
    assert 10 ** axis["range"][0] < 8
    assert 10 ** axis["range"][1] > 15


def test_the_theory_is_drawn_from_its_table_and_says_so_without(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2)
    drawn = figures.draw("theory", directory)
    table = pd.read_parquet(directory / "results/theory.parquet")
    variance = table[table["metric"] == "variance"]
    assert list(drawn.data[0].y) == pytest.approx(variance["predicted"].tolist(), rel=1e-3)
    (directory / "results/theory.parquet").unlink()
    assert "claims: true" in figures.draw("theory", directory).layout.annotations[0].text


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_draws_in_both_themes(tables: Tables, name: str) -> None:
    for theme in THEMES:
        text = figures.draw(name, tables, theme=theme).to_json()
        assert '"@' not in text, "a colour of the theme is still a name"
        assert len(figures.draw(name, tables).data) > 0


def test_only_the_chosen_attack_is_drawn(tables: Tables) -> None:
    recipes = figures.default_recipes(tables)
    traces, _ = compose(figures.FIGURES["roc"], tables, recipes, tables.risk("rmia_auc"))
    attacks = {trace["meta"] for trace in traces if "meta" in trace}
    assert attacks == {"rmia"}


def test_unknown_names_are_answered_with_the_nearest(tables: Tables) -> None:
    with pytest.raises(UserError, match="roc"):
        figures.draw("rok", tables)
    with pytest.raises(UserError, match="lira_auc"):
        figures.draw("roc", tables, risk="lira_acu")
    with pytest.raises(UserError, match="recipe 'nobody'"):
        figures.draw("roc", tables, ["nobody"])


def test_no_results_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="flatleak audit"):
        figures.draw("front", tmp_path)


def test_risk_columns_are_told_from_others() -> None:
    risk = risk_of("lira_offline_tpr_at_0.1pct")
    assert risk is not None
    assert (risk.attack, risk.metric, risk.chance) == ("lira_offline", "tpr_at_0.1pct", 0.001)
    assert risk.title == "LiRA offline TPR at 0.1 % FPR"
    assert risk_of("test_accuracy") is None


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_text_has_the_contrast_that_wcag_asks_for() -> None:
    for theme, colours in THEMES.items():
        for ink in ("ink", "muted", "good", "bad"):
            for ground in ("page", "surface"):
                light, dark = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, ink, ground)


def test_small_tools() -> None:
    assert paint({"a": ["@x", "@unknown", "plain"]}, {"x": "red"}) == {"a": ["red", "@unknown", "plain"]}
    assert short([0.123456, np.nan, np.inf, 3]) == [0.1235, None, None, 3]
    assert plain("<b>&") == "&lt;b&gt;&amp;"
    assert len(set(PALETTE)) == len(PALETTE)
