"""The same examples twice: memorization by a recipe and the reference, memorization and risk."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.report.figures.panel import Panel, Trace, short
from analysis.results import Risk, Tables, pretty

# Points kept over a whole sweep, so that a page with thousands of recipes stays small.
BUDGET = 50_000


class PairInfo(NamedTuple):
    """Memorization by the reference and by the recipe; ``examples_at[k]`` examples share the k-th pair."""

    reference: NDArray[np.float64]
    recipe: NDArray[np.float64]
    examples_at: NDArray[np.int64]
    examples: int
    share_above: float
    share_below: float


class ExposureInfo(NamedTuple):
    """Memorization and one attack's risk, ``examples_at[k]`` at each; the correlation is over all."""

    attack: str
    memorization: NDArray[np.float64]
    risk: NDArray[np.float64]
    examples_at: NDArray[np.int64]
    examples: int
    correlation: float


def sample(examples: int, keep: int) -> NDArray[np.int64]:
    """Return rows to show: all, or a random sample that is the same for every recipe of the sweep."""
    if examples <= keep:
        return np.arange(examples)
    return np.sort(np.random.default_rng(0).choice(examples, keep, replace=False))


def stacked(
    x: NDArray[np.float64], y: NDArray[np.float64], recipes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return each distinct point once with the number of examples on it, so that none hides others.

    Few replicas leave few possible values. Where there are more distinct points than the page has room for,
    those of a random sample of the examples, the same sample for every recipe.
    """
    keep = int(np.clip(BUDGET // max(recipes, 1), 50, 1200))
    points = np.column_stack([x, y]).round(4)
    known = np.asarray(np.isfinite(points).all(axis=1))
    found, count = np.unique(points[known], axis=0, return_counts=True)
    if len(found) > keep:
        rows = sample(len(points), keep)
        found, count = np.unique(points[rows][known[rows]], axis=0, return_counts=True)
    return found[:, 0], found[:, 1], count


def pair_info(tables: Tables, recipe_id: str) -> PairInfo | None:
    """Return memorization of both recipes; None for the reference itself, and where no example is in both."""
    own, other = tables.examples(recipe_id), tables.reference_examples
    if recipe_id == tables.reference or own.empty or len(own) != len(other):
        return None
    x, y = other["memorization"].to_numpy(float), own["memorization"].to_numpy(float)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return None
    above, below = float((y > x)[known].mean()), float((y < x)[known].mean())
    return PairInfo(*stacked(x, y, len(tables.recipes)), len(own), above, below)


def exposure_info(tables: Tables, recipe_id: str) -> list[ExposureInfo]:
    """Return memorization beside the risk of each attack that has per-example risks."""
    table = tables.examples(recipe_id)
    if table.empty:
        return []
    memorization = table["memorization"]
    return [
        ExposureInfo(
            column.removeprefix("risk_"),
            *stacked(memorization.to_numpy(float), table[column].to_numpy(float), len(tables.recipes)),
            len(table),
            float(memorization.rank().corr(table[column].rank())),
        )
        for column in table.columns
        if column.startswith("risk_") and table[column].notna().any()
    ]


def _dots(info: PairInfo | ExposureInfo, x: NDArray[Any], y: NDArray[Any], hover: str, fact: str) -> Trace:
    """Draw dots whose area grows with the examples on them, the largest 26 pixels wide."""
    most = max(int(info.examples_at.max(initial=1)), 30)
    size = 5 + 21 * np.sqrt((info.examples_at - 1) / most)
    return {
        "type": "scatter",
        "x": short(x, 3),
        "y": short(y, 3),
        "name": fact,
        "mode": "markers",
        "customdata": info.examples_at.tolist(),
        "marker": {"color": "@slot", "size": short(size, 3), "opacity": 0.45, "line": {"width": 0}},
        "hovertemplate": f"{hover}<br>examples here: %{{customdata}}<extra></extra>",
    }


def _pair_traces(tables: Tables, recipe_id: str) -> list[Trace]:
    info = pair_info(tables, recipe_id)
    if info is None:
        return []
    hover = "reference %{x:.3f}<br>this recipe %{y:.3f}"
    fact = f"{info.share_above:.1%} of the examples above the diagonal, {info.share_below:.1%} below"
    return [_dots(info, info.reference, info.recipe, hover, fact)]


def _exposure_traces(tables: Tables, recipe_id: str) -> list[Trace]:
    return [
        _dots(
            info,
            info.memorization,
            info.risk,
            f"memorization %{{x:.3f}}<br>{pretty(info.attack)} AUC on the example %{{y:.3f}}",
            f"rank correlation {info.correlation:.2f}",
        )
        | {"meta": info.attack}
        for info in exposure_info(tables, recipe_id)
    ]


def _diagonal(_: Tables, __: Risk) -> list[Trace]:
    line = {"color": "@muted", "width": 1, "dash": "dot"}
    return [
        {"type": "scatter", "x": [-1, 1], "y": [-1, 1], "mode": "lines", "line": line, "hoverinfo": "skip"}
    ]


PAIRS = Panel(
    name="pairs",
    title="Memorization against the reference",
    about=(
        "Each point is a training example: memorized by the reference (across) and by the selected "
        "recipe (up). Points above the dotted diagonal are memorized more by this recipe. A dot's area "
        "tells how many examples lie on it; of too many different ones, a random sample is shown."
    ),
    layout={
        "xaxis": {"title": {"text": "By the reference"}, "range": [-0.3, 1.05]},
        "yaxis": {"title": {"text": "By this recipe"}, "range": [-0.3, 1.05]},
    },
    traces=_pair_traces,
    of_reference="This is the reference itself: select another recipe.",
    backdrop=_diagonal,
)
EXPOSURE = Panel(
    name="exposure",
    title="Memorization and exposure",
    about=(
        "Each point is a training example: its memorization (across) and its risk (up), the chance that "
        "the chosen attack scores a model that trained on it above one that did not; 0.5 is guessing. "
        "Both sides come from the same models, whose luck alone correlates them. "
        "A dot's area tells how many examples lie on it; of too many, a random sample is shown."
    ),
    layout={
        "xaxis": {"title": {"text": "Memorization"}},
        "yaxis": {"title": {"text": "Risk of the example"}},
    },
    traces=_exposure_traces,
)
