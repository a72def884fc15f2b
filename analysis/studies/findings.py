"""The tables of a page of findings, drawn from finished sweeps.

    python -m analysis.studies.findings runs docs/reading-the-page.md docs/findings.md

A page says where a table goes by two comment lines, and what lies between them is replaced:

    <!-- table: claims digits location30 -->
    <!-- end -->

The words after ``table:`` are an entry of ``TABLES`` and the names of sweeps below the first argument. A page
whose sweep is missing keeps its table. Estimates stand with their intervals; accuracies, rates and reductions
in percent or percentage points, AUC, advantage and correlations as they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from analysis.audit.ensemble_audit import audit
from analysis.audit.outcome import Audit
from analysis.ensemble import load_sweep
from analysis.pareto import pareto_front
from analysis.results import Tables
from analysis.studies.pairs import Pair, Sweep
from analysis.studies.paper import ACCURACY_LOSS, ALSO, PUBLISHED, RISK_REDUCTION, TITLES, Published, data_of
from trainables.directory import table_path
from trainables.errors import UserError
from trainables.knobs import DEFENCES
from trainables.registry import lookup
from trainables.storage import as_store

VERDICTS = {"reproduced": "✓", "contradicted": "✗", "cannot tell": "?"}
_PLAIN = ("_auc", "_advantage", "_correlation", "variance", "_surplus")  # as they are, all else in percent
_RESAMPLES = 4000  # for intervals that hold together over many recipes
_BLOCK = re.compile(r"<!-- table: (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)

Table = Callable[[Sequence[Tables]], str]


def figure(value: float, low: float, high: float, name: str = "", *, signed: bool = False) -> str:
    """``"96.7 [96.4, 97.0]"``: an estimate with its interval, in percent unless its name says otherwise.

    >>> figure(0.0065, 0.0052, 0.0077, "test_accuracy", signed=True)
    '+0.65 [+0.52, +0.77]'
    """
    if np.isnan(value):
        return "–"
    scale, digits = (1, 3) if name.endswith(_PLAIN) else (100, 2 if signed else 1)
    form = f"{{:{'+' if signed else ''}.{digits}f}}"
    ends = "" if np.isnan(low) else f" [{form.format(scale * low)}, {form.format(scale * high)}]"
    return form.format(scale * value) + ends


def of_row(row: Any, name: str) -> str:
    """`figure` of a column of the recipes table."""
    low, high = (float(row.get(f"{name}_{end}", np.nan)) for end in ("low", "high"))
    return figure(float(row[name]), low, high, name)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in GitHub's Markdown, text left and figures right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def recipes(sweeps: Sequence[Tables]) -> str:
    """Every recipe, the most accurate first; those on the front of accuracy and LiRA's advantage in bold."""
    names = {
        "test_accuracy": "test accuracy %",
        "lira_auc": "LiRA AUC",
        "lira_advantage": "LiRA advantage",
        "lira_tpr_at_0.1pct": "LiRA TPR at 0.1 % FPR, %",
        "confidence_balanced_accuracy": "confidence attack %",
        "memorization_rate": "memorization rate %",
    }
    rows = []
    for tables in sweeps:
        ahead = pareto_front(tables.recipes[["test_accuracy", "lira_advantage"]].to_numpy(float))
        found = tables.recipes.copy().assign(ahead=ahead).sort_values("test_accuracy", ascending=False)
        for row in found.to_dict("records"):
            label = f"**{row['label']}**" if row["ahead"] else str(row["label"])
            rows.append([label, *(of_row(row, name) for name in names)])
    return markdown(["recipe", *names.values()], rows)


def claims(sweeps: Sequence[Tables]) -> str:
    """List the published claims, a row a figure and a column a sweep, each estimate with its verdict."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for tables in sweeps:
        for row in tables.claims.to_dict("records"):
            definition = row["definition"].split(": reproduced if")[0].removeprefix("alternative: ")
            key = row["claim"], row["published"], definition
            ends = (row["estimate"], row["low"], row["high"])
            cell = f"{VERDICTS[row['verdict']]} {figure(*ends, row['figure'], signed=True)}"
            found.setdefault(key, {})[tables.directory] = cell
    names = [tables.directory for tables in sweeps]
    order = {claim: i for i, claim in enumerate(dict.fromkeys(claim for claim, _, _ in found))}
    rows, last = [], ("", "")
    for (claim, published, definition), cells in sorted(found.items(), key=lambda item: order[item[0][0]]):
        if claim != last[0]:
            rows.append([f"**{claim}**", *[""] * (len(names) + 1)])
        said = "" if (claim, published) == last else published.replace("->", "→")
        rows.append([definition.replace(" - ", " − "), said, *(cells.get(name, "") for name in names)])
        last = claim, published
    return markdown(["claim and figure", "published", *names], rows)


def paper(sweeps: Sequence[Tables]) -> str:
    """Return every figure that the paper published of SGD and SAM, beside ours on the same data set.

    Ours are of the plain recipe of each optimizer with the best test accuracy. Below them stand metrics that
    we have and the paper, as far as we know it, does not.
    """
    rows = []
    for tables in sweeps:
        data = data_of(tables.directory)
        known = {row.metric: row for row in PUBLISHED if row.data == data}
        best = [_best_plain(tables, optimizer) for optimizer in ("sgd", "sam")]
        titles = {name: row.title for name, row in known.items()}
        for name, title in (ALSO | titles).items():
            said = _said(known.get(name))
            ours = [of_row(row, name) for row in best]
            rows.append([f"{TITLES[data]}, {title}", said[0], ours[0], said[1], ours[1]])
    measured = {data_of(tables.directory) for tables in sweeps}
    for row in PUBLISHED:
        if row.data not in measured:
            said = _said(row)
            rows.append(
                [f"{TITLES[row.data]}, {row.title}", said[0], "not measured", said[1], "not measured"]
            )
    return markdown(["figure", "SGD, published", "SGD, here", "SAM, published", "SAM, here"], rows)


def _said(row: Published | None) -> list[str]:
    """Return what the paper has for SGD and for SAM, in the unit of our own figures."""
    if row is None:
        return ["–", "–"]
    return [figure(value, np.nan, np.nan, row.metric) for value in (row.sgd, row.sam)]


def _best_plain(tables: Tables, optimizer: str) -> Any:
    knobs = tables.manifest.recipes
    plain = [
        recipe_id
        for recipe_id, its in knobs.items()
        if its.get("optimizer", "sgd") == optimizer and not DEFENCES & its.keys()
    ]
    return tables.recipes.loc[plain].sort_values("test_accuracy", ascending=False).iloc[0]


def contrast(sweeps: Sequence[Tables]) -> str:
    """SAM against SGD in one row a sweep: what changes in accuracy and in what leaks."""
    head = {
        "test_accuracy": "test accuracy, points",
        "lira_auc": "LiRA AUC",
        "lira_advantage": "LiRA advantage",
        "lira_tpr_at_0.1pct": "LiRA TPR at 0.1 % FPR, points",
        "confidence_balanced_accuracy": "confidence attack, points",
        "nonmember_variance": "variance of non-member margin",
    }
    rows = []
    for tables in sweeps:
        measured = tables.claims[tables.claims["claim"].str.startswith(("SAM tests", "SAM contracts"))]
        by_figure = {row["figure"]: row for row in measured.to_dict("records")}
        sgd = tables.recipes.loc[by_figure["test_accuracy"]["reference_id"]]
        cells = [
            figure(row["estimate"], row["low"], row["high"], name, signed=True)
            if (row := by_figure.get(name))
            else "–"
            for name in head
        ]
        about = [of_row(sgd, "train_accuracy"), of_row(sgd, "test_accuracy"), of_row(sgd, "lira_auc")]
        rows.append([tables.directory, *about, *cells])
    sgd_head = ["SGD: training accuracy %", "SGD: test accuracy %", "SGD: LiRA AUC"]
    return markdown(["sweep", *sgd_head, *(f"SAM − SGD: {text}" for text in head.values())], rows)


def tuning(sweeps: Sequence[Tables]) -> str:
    """Test accuracy of every setting tried, by sweep and optimizer; the best of each optimizer in bold."""
    rows = []
    for tables in sweeps:
        for optimizer, group in tables.recipes.groupby("optimizer", sort=False):
            best = group["test_accuracy"].idxmax()
            tried = [
                f"{'**' if i == best else ''}{_setting(str(row['label']))}: {100 * row['test_accuracy']:.2f}"
                f"{'**' if i == best else ''}"
                for i, row in group.sort_values("test_accuracy", ascending=False).iterrows()
            ]
            rows.append([tables.directory, str(optimizer), str(len(group)), "; ".join(tried)])
    return markdown(["sweep", "optimizer", "settings tried", "test accuracy %, best first"], rows)


def mitigation(sweeps: Sequence[Tables]) -> str:
    """Every defended recipe against plain SAM, and against itself undefended: what LiRA loses, at what cost.

    Plain SAM is the most accurate one of each number of epochs it was trained for, as training for less is a
    defence itself. What a search found is measured on the sweep's own subset seeds, which the search never
    saw. The intervals of one sweep hold together (Bonferroni), so that the best of many rows may be believed.
    Bold: within the published bounds by estimate; with a tick: by the whole interval.
    """
    rows = []
    for tables in sweeps:
        sweep = _lira_only(tables)
        against = _comparisons(sweep)
        confidence = 1 - (1 - sweep.confidence) / max(1, sum(map(len, against.values())))
        for heading, pairs in against.items():
            rows.append([f"*{tables.directory}, against {heading}*", "", ""])
            measured = [_defence(sweep.pair(own, other, confidence=confidence)) for own, other in pairs]
            rows += [row for row in measured if row]
    return markdown(["recipe", "accuracy given up, points", "LiRA advantage taken away, %"], rows)


def _comparisons(sweep: Sweep) -> dict[str, list[tuple[str, str]]]:
    """Return the pairs of recipes to compare, the most accurate first, by what they are compared with."""
    recipes = {r: e.recipe for r, e in sweep.ensembles.items()}
    plain = {recipes[r]["epochs"]: r for r in reversed(sweep.plain("sam"))}
    found = [r for r, knobs in recipes.items() if DEFENCES & knobs.keys()] + list(plain.values())
    found.sort(key=lambda r: -sweep.ensembles[r].per_replica("test_accuracy").mean())
    pairs = {
        sweep.ensembles[other].label: [(own, other) for own in found if own != other]
        for other in sorted(plain.values(), key=found.index)
    }
    bare = {r: {k: v for k, v in recipes[r].items() if k not in DEFENCES} for r in found}
    same = [(own, r) for own in found for r, knobs in recipes.items() if r != own and knobs == bare[own]]
    return pairs | ({"the same recipe without its defences": same} if same else {})


def _defence(pair: Pair | None) -> list[str] | None:
    loss = pair and pair.compare("test_accuracy", lambda a, b: b - a)
    cut = pair and pair.compare("lira_advantage", lambda a, b: 1 - a / b)
    if not (pair and loss and cut):
        return None
    label = pair.ensembles[0].label
    within = loss[0] < ACCURACY_LOSS and cut[0] >= RISK_REDUCTION
    sure = loss[2] < ACCURACY_LOSS and cut[1] >= RISK_REDUCTION
    shown = f"**{label}**{' ✓' * sure}" if within else label
    return [shown, *(figure(value, low, high, signed=True) for value, low, high in (loss, cut))]


def agreement(sweeps: Sequence[Tables]) -> str:
    """Rank correlation of memorization with published scores of the same images, by number of replicas.

    From what `analysis.studies.published` left in the sweep.
    """
    rows = []
    for tables in sweeps:
        for row in tables.published.to_dict("records"):
            found = figure(row["correlation"], row["low"], row["high"], "_correlation", signed=True)
            noise = [
                f"{row[name]:.3f}" if row[name] == row[name] else "–" for name in ("reliability", "ceiling")
            ]
            rows.append([tables.directory, row["scores"], str(int(row["replicas"])), found, *noise])
    head = ["sweep", "scores of", "replicas", "rank correlation", "with other replicas", "at most possible"]
    return markdown(head, rows)


def histogram(sweeps: Sequence[Tables]) -> str:
    """Return the shares of examples by memorization, published and here, in percent, in bins a sixth wide."""
    rows = []
    for tables in sweeps:
        table = tables.published_histogram
        for start in range(0, len(table), 3):
            part = table.iloc[start : start + 3]
            span = f"{part['low'].iloc[0]:.2f} to {part['high'].iloc[-1]:.2f}"
            rows.append(
                [tables.directory, span, *(f"{100 * part[c].sum():.1f}" for c in ("published", "here"))]
            )
    return markdown(["sweep", "memorization", "published %", "here %"], rows)


def _lira_only(tables: Tables) -> Sweep:
    """Return the sweep, audited by LiRA alone."""
    ensembles = load_sweep(tables.store)

    @cache
    def audited(recipe_id: str, seeds: tuple[int, ...]) -> Audit:
        part = ensembles[recipe_id].restrict(np.array(seeds))
        return audit(part, attacks=["lira"], resamples=_RESAMPLES)

    return Sweep(ensembles, lambda r, seeds: audited(r, tuple(seeds)), 0.95, _RESAMPLES, 0)


def _setting(label: str) -> str:
    return " ".join(label.split()[1:]) or "default"


TABLES: dict[str, Table] = {
    "recipes": recipes,
    "claims": claims,
    "paper": paper,
    "contrast": contrast,
    "tuning": tuning,
    "mitigation": mitigation,
    "agreement": agreement,
    "histogram": histogram,
}


def _audited(tables: Tables) -> bool:
    return any(tables.store.exists(table_path("recipes", suffix)) for suffix in ("parquet", "csv"))


def fill(text: str, runs: str | PathLike[str]) -> str:
    """Draw every table of the page anew from the sweeps below ``runs``; those that are missing are left.

    Raises:
        UserError: a table that is not known.
    """

    def drawn(match: re.Match[str]) -> str:
        name, *sweeps = match[1].split()
        table = lookup("table", name, TABLES)
        found = [Tables(as_store(runs) / sweep) for sweep in sweeps]
        there = [t for t in found if _audited(t)]
        body = table(there) if len(there) == len(found) else match[2]
        return f"<!-- table: {match[1]} -->\n{body}<!-- end -->"

    return _BLOCK.sub(drawn, text)


def main(runs: str, *pages: str) -> None:
    """Fill the tables of some pages from the results below ``runs``."""
    for page in map(Path, pages):
        page.write_text(fill(page.read_text(encoding="utf-8"), runs), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
