"""The same examples twice: memorization by a recipe and the reference, memorization and risk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import Panel, Trace, short
from analysis.results import Tables

# Points kept over a whole sweep, so that a page with thousands of recipes stays small.
BUDGET = 50_000


class PairInfo(NamedTuple):
    """Memorization by the reference and by the recipe, for the same sample of the examples."""

    reference: NDArray[np.float64]
    recipe: NDArray[np.float64]
    examples: int
    share_above: float
    share_below: float


class ExposureInfo(NamedTuple):
    """Memorization and one attack's risk for a sample of the examples; the rank correlation is over all."""

    attack: str
    memorization: NDArray[np.float64]
    risk: NDArray[np.float64]
    examples: int
    correlation: float


def sample(examples: int, recipes: int) -> NDArray[np.int64]:
    """Rows to show: all, or a random sample that is the same for every recipe of the sweep."""
    keep = int(np.clip(BUDGET // max(recipes, 1), 50, 1200))
    if examples <= keep:
        return np.arange(examples)
    return np.sort(np.random.default_rng(0).choice(examples, keep, replace=False))


def pair_info(tables: Tables, recipe_id: str) -> PairInfo | None:
    """None for the reference itself, and where the two recipes have no examples in common."""
    own, other = tables.examples(recipe_id), tables.reference_examples
    if recipe_id == tables.reference or own.empty or len(own) != len(other):
        return None
    x, y = other["memorization"].to_numpy(float), own["memorization"].to_numpy(float)
    rows = sample(len(own), len(tables.recipes))
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return None
    above, below = float((y > x)[known].mean()), float((y < x)[known].mean())
    return PairInfo(x[rows], y[rows], len(own), above, below)


def exposure_info(tables: Tables, recipe_id: str) -> list[ExposureInfo]:
    """One entry an attack that has per-example risks."""
    table = tables.examples(recipe_id)
    if table.empty:
        return []
    rows = sample(len(table), len(tables.recipes))
    memorization = table["memorization"]
    return [
        ExposureInfo(
            column.removeprefix("risk_"),
            memorization.to_numpy(float)[rows],
            table[column].to_numpy(float)[rows],
            len(table),
            float(memorization.rank().corr(table[column].rank())),
        )
        for column in table.columns
        if column.startswith("risk_") and table[column].notna().any()
    ]


def _dots(x: NDArray[np.float64], y: NDArray[np.float64], hover: str, fact: str) -> Trace:
    return {
        "type": "scatter",
        "x": short(x, 3),
        "y": short(y, 3),
        "name": fact,
        "mode": "markers",
        "marker": {"color": "@slot", "size": 5, "opacity": 0.45},
        "hovertemplate": f"{hover}<extra></extra>",
    }


def _pair_traces(tables: Tables, recipe_id: str) -> list[Trace]:
    info = pair_info(tables, recipe_id)
    if info is None:
        return []
    hover = "reference %{x:.3f}<br>this recipe %{y:.3f}"
    fact = f"{info.share_above:.1%} of the examples above the diagonal, {info.share_below:.1%} below"
    return [_dots(info.reference, info.recipe, hover, fact)]


def _exposure_traces(tables: Tables, recipe_id: str) -> list[Trace]:
    hover = "memorization %{x:.3f}<br>risk %{y:.3f}"
    return [
        _dots(info.memorization, info.risk, hover, f"rank correlation {info.correlation:.2f}")
        | {"meta": info.attack}
        for info in exposure_info(tables, recipe_id)
    ]


def _diagonal(_: Tables) -> list[Trace]:
    line = {"color": "@muted", "width": 1, "dash": "dot"}
    return [
        {"type": "scatter", "x": [-1, 1], "y": [-1, 1], "mode": "lines", "line": line, "hoverinfo": "skip"}
    ]


PAIRS = Panel(
    name="pairs",
    title="Memorization against the reference",
    about=(
        "Each point is a training example: memorized by the reference (across) and by the selected "
        "recipe (up). Points above the dotted diagonal are memorized more by this recipe. Large data "
        "sets show a random sample."
    ),
    layout={
        "xaxis": {"title": {"text": "By the reference"}, "range": [-0.3, 1.05]},
        "yaxis": {"title": {"text": "By this recipe"}, "range": [-0.3, 1.05]},
    },
    traces=_pair_traces,
    backdrop=_diagonal,
)
EXPOSURE = Panel(
    name="exposure",
    title="Memorization and exposure",
    about=(
        "Each point is a training example: its memorization (across) and its risk (up), the chance that "
        "the chosen attack scores a model that trained on it above one that did not; 0.5 is guessing, "
        "but LiRA, which leaves each model out of its own comparison, gives 0.41 to 0.46 where nothing "
        "leaks. Both sides come from the same models, whose luck alone correlates them. "
        "Large data sets show a random sample."
    ),
    layout={
        "xaxis": {"title": {"text": "Memorization"}},
        "yaxis": {"title": {"text": "Risk of the example"}},
    },
    traces=_exposure_traces,
)
