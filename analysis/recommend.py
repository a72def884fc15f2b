"""The recipe to take, given how much risk or how little accuracy one can accept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isnan
from typing import NamedTuple

import pandas as pd

from analysis.results import caveat_of, default_risk
from trainables.errors import UserError
from trainables.registry import nearest


class Choice(NamedTuple):
    """A recipe with its accuracy and its risk, each as (estimate, low, high)."""

    recipe_id: str
    label: str
    accuracy: tuple[float, float, float]
    risk: tuple[float, float, float]
    sure: bool  # the bounds hold for the whole interval, not only for the estimate
    column: str = "risk"  # the risk's name
    caveat: str = ""  # what to mind of its figures

    def __str__(self) -> str:
        mind = f" (mind: {self.caveat})" if self.caveat else ""
        return f"{self.label}: test accuracy {_shown(self.accuracy)}, {self.column} {_shown(self.risk)}{mind}"


class Recommendation(NamedTuple):
    """The best recipe within the bounds, the next ones, and why; ``risk`` names the column compared.

    ``safest`` is the best recipe whose intervals meet the bounds as a whole: the choice itself, another
    one, or None.
    """

    choice: Choice
    following: list[Choice]
    safest: Choice | None
    risk: str
    why: list[str]


def parse_bound(text: str) -> tuple[str, float]:
    """Read a risk bound of the command line.

    Args:
        text: ``COLUMN=NUMBER``, where a column may be written ``lira_tpr@0.1%fpr``.

    Returns:
        The column and the number.

    Raises:
        UserError: Another form.

    >>> parse_bound("lira_tpr@0.1%fpr=0.01")
    ('lira_tpr_at_0.1pct', 0.01)
    """
    column, separator, value = text.rpartition("=")
    try:
        bound = float(value)
    except ValueError:
        bound = float("nan")
    if not separator or not column.strip() or bound != bound:
        raise UserError(f"risk bound {text!r}: expected COLUMN=NUMBER, such as lira_tpr@0.1%fpr=0.01")
    return re.sub(r"@([0-9.]+)%\s*fpr$", r"_at_\1pct", column.strip().lower()), bound


def recommend(
    results: pd.DataFrame,
    *,
    max_risk: Mapping[str, float] | None = None,
    min_accuracy: float | None = None,
    following: int = 3,
) -> Recommendation:
    """Pick the most accurate recipe within ``max_risk``, or the least risky one of ``min_accuracy``.

    With both bounds it is the most accurate recipe within both. Without ``max_risk`` the page's default risk
    is compared: of LiRA the TPR at 0.1 % FPR, else at 1 %, else the AUC, whichever the sweep resolves first.
    Estimates decide; the text says where an interval reaches over a bound, and which recipe stays within it
    as a whole. Recipes without the metric are passed over.

    Args:
        results: ``results/recipes.parquet``.
        max_risk: The largest accepted value of each risk column, as ``{"lira_auc": 0.6}``.
        min_accuracy: The least accepted test accuracy, 0..1.
        following: How many next best recipes to name.

    Returns:
        The choice, the next ones, the safest one, and why.

    Raises:
        UserError: No bound, an unknown column, or bounds that no recipe meets (says the nearest one).
    """
    bounds = dict(max_risk or {})
    if not bounds and min_accuracy is None:
        raise UserError("recommend needs a bound: --max-risk COLUMN=NUMBER or --min-accuracy NUMBER")
    if min_accuracy is not None and min_accuracy > 1:
        raise UserError(f"--min-accuracy {min_accuracy:g}: expected a fraction; write {min_accuracy / 100:g}")
    for column in bounds:
        if column not in results or f"{column}_low" not in results:
            known_columns = [
                name.removesuffix("_low") for name in map(str, results.columns) if name.endswith("_low")
            ]
            raise UserError(f"risk {column!r} is not in the results; {nearest(column, known_columns)}")
    risk = next(iter(bounds), None) or _default_risk(results)
    known = results.dropna(subset=["test_accuracy", risk, *bounds])
    fits = _within(known, bounds, min_accuracy, "")
    if not fits.any():
        raise UserError(_unmet(known, bounds, min_accuracy))
    sure = _within(known, bounds, min_accuracy, "sure")
    by = [risk, "test_accuracy"] if not bounds else ["test_accuracy", risk]
    ranked = known.assign(_sure=sure)[fits].sort_values(by, ascending=[c == risk for c in by], kind="stable")
    choices = [_choice(row, risk) for _, row in ranked.iterrows()]
    best, safest = choices[0], next((c for c in choices if c.sure), None)
    why = _reasons(best, safest, len(choices), len(known), bounds, min_accuracy, risk)
    return Recommendation(best, choices[1 : 1 + following], safest, risk, why)


def _default_risk(results: pd.DataFrame) -> str:
    found = default_risk(results)
    if found is None:
        raise UserError("the results hold no attack's figures, so no recipe leaks less than another")
    return found.column


def _within(
    table: pd.DataFrame, bounds: Mapping[str, float], min_accuracy: float | None, how: str
) -> pd.Series:
    """Which recipes meet every bound: by estimate, or ("sure") by the unfavourable end of the interval."""
    high, low = ("_high", "_low") if how else ("", "")
    fits = pd.Series(True, index=table.index)
    for column, bound in bounds.items():
        fits &= table[column + high] <= bound
    if min_accuracy is not None:
        fits &= table["test_accuracy" + low] >= min_accuracy
    return fits


def _choice(row: pd.Series, risk: str) -> Choice:
    accuracy, at_risk = (
        (float(row[c]), float(row[f"{c}_low"]), float(row[f"{c}_high"])) for c in ("test_accuracy", risk)
    )
    sure, caveat = bool(row["_sure"]), caveat_of(row)
    return Choice(str(row["recipe_id"]), str(row["label"]), accuracy, at_risk, sure, risk, caveat)


def _reasons(
    best: Choice,
    safest: Choice | None,
    fitting: int,
    known: int,
    bounds: Mapping[str, float],
    min_accuracy: float | None,
    risk: str,
) -> list[str]:
    goal = "the most accurate" if bounds else f"the lowest {risk}"
    why = [f"{goal} of the {fitting} of {known} recipes with {_spoken(bounds, min_accuracy)}"]
    if best.sure:
        why.append("its whole intervals meet the bounds")
    elif isnan(best.accuracy[1]) or isnan(best.risk[1]):
        why.append("it has no interval, so nothing says how sure that is: more replicas would tell")
    elif safest is None:
        why.append(
            "its interval reaches over a bound, and so does every other recipe's: more replicas would tell"
        )
    else:
        why.append(f"its interval reaches over a bound; the best whose whole intervals do not is {safest}")
    return why


def _unmet(table: pd.DataFrame, bounds: Mapping[str, float], min_accuracy: float | None) -> str:
    if table.empty:
        return f"no recipe has {_spoken(bounds, min_accuracy)}; none has these figures"
    ends = []
    wanted = [(column, True) for column in bounds]
    wanted += [("test_accuracy", False)] if min_accuracy is not None else []
    for column, least in wanted:
        end = table.sort_values(column, ascending=least, kind="stable").iloc[0]
        ends.append(f"the {'lowest' if least else 'best'} {column} is {end[column]:.4g} ({end['label']})")
    return f"no recipe has {_spoken(bounds, min_accuracy)}; {', '.join(ends)}"


def _spoken(bounds: Mapping[str, float], min_accuracy: float | None) -> str:
    parts = [f"{column} <= {bound:g}" for column, bound in bounds.items()]
    parts += [f"test accuracy >= {min_accuracy:g}"] if min_accuracy is not None else []
    return " and ".join(parts)


def _shown(figure: tuple[float, float, float]) -> str:
    estimate, low, high = figure
    return f"{estimate:.4g}" + ("" if isnan(low) else f" [{low:.4g}, {high:.4g}]")
