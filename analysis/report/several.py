"""Several sweeps on one page: their fronts beside each other, and what each optimizer changes in each.

``summary`` holds the sweeps with their recipes, accuracies and paired differences; ``risk/<column>`` one risk
of every sweep. Recipes with the same label have the same colour in every front.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.figures import front
from analysis.report.figures.front import ACCURACY
from analysis.report.figures.panel import BASE, MANTISSAS, PALETTE, SYMBOLS, THEMES
from analysis.report.figures.points import MOST_BARS
from analysis.report.glossary import TERMS
from analysis.report.html import page
from analysis.report.payload import about_risk, column, packed, records, risk_chunk
from analysis.results import DEFAULT_RISKS, Risk, Tables
from trainables.directory import MANIFEST, REPORT
from trainables.errors import UserError
from trainables.knobs import DEFENCES
from trainables.storage import Store, as_store


def write_joint_report(directories: Sequence[str], out: str | Path | Store) -> str:
    """Write the page of several sweeps as ``report.html`` of a directory of its own.

    Args:
        directories: audited sweep directories, paths or URIs, at least two.
        out: where the page goes; not a sweep directory, whose own page has that name.

    Returns:
        Where the page is.

    Raises:
        UserError: fewer than two sweeps, one given twice, one without results, or an ``out`` that is a
            sweep or a file. Nothing is written then.
    """
    places = [str(as_store(d)) for d in directories]
    twice = next((p for k, p in enumerate(places) if p in places[:k]), None)
    if twice or len(places) < 2:
        raise UserError(
            f"report --out: {f'{twice} is named twice' if twice else 'one sweep has its page in it'}; "
            "expected two sweeps or more"
        )
    store = as_store(out)
    if store.local is not None and store.local.exists() and not store.local.is_dir():
        raise UserError(f"--out {store}: is a file, expected a directory")
    if store.exists(MANIFEST):
        raise UserError(f"--out {store}: is a sweep, whose own page is {REPORT}; expected another directory")
    sweeps = [Tables.of(d) for d in directories]
    parts = {name: packed(value) for name, value in chunks(sweeps)}
    names = ", ".join(names_of(sweeps))
    written = page(parts, title=f"{names}: privacy and accuracy", body="several.html", entry="several")
    store.write(REPORT, written.encode())
    return f"{store}/{REPORT}"


def chunks(sweeps: Sequence[Tables]) -> Iterator[tuple[str, Any]]:
    """Yield the names and JSON values of all that the page shows, the first needed first."""
    risks = {name: risk for sweep in sweeps for name, risk in sweep.risks.items()}
    shared = [name for name in risks if all(name in sweep.risks for sweep in sweeps)]
    default = next((n for n in (*DEFAULT_RISKS, *shared) if n in shared), sweeps[0].default_risk.column)
    labels = sorted({label for sweep in sweeps for label in sweep.recipes["label"].astype(str)})
    optimizers = sorted({name for sweep in sweeps for name in sweep.recipes["optimizer"].astype(str)})
    yield (
        "summary",
        {
            "sweeps": [_sweep(*pair) for pair in zip(sweeps, names_of(sweeps), strict=True)],
            "labels": labels,
            "optimizers": optimizers,
            "risks": [about_risk(risk) for risk in risks.values()],
            "risk": default,
            "layout": front.PANEL.layout,
            "mostBars": MOST_BARS,
            "base": BASE,
            "themes": THEMES,
            "palette": PALETTE,
            "symbols": SYMBOLS,
            "mantissas": MANTISSAS,
            "words": TERMS,
        },
    )
    for name, risk in risks.items():
        yield f"risk/{name}", [_risk(sweep, risk) for sweep in sweeps]


def names_of(sweeps: Sequence[Tables]) -> list[str]:
    """Return each sweep's name; the directory's, or the whole path, where others have that name, too."""
    choices = [(s.manifest.name, s.directory, str(s.store)) for s in sweeps]
    for kind in range(2):
        names = [choice[kind] for choice in choices]
        if len(set(names)) == len(names):
            return names
    return [path for *_, path in choices]


def _sweep(tables: Tables, name: str) -> dict[str, Any]:
    """Return everything of a sweep that no risk changes."""
    parts = {key: dict(tables.manifest.context.get(key) or {}).get("name") for key in ("dataset", "model")}
    return {
        "name": name,
        **parts,
        "caption": tables.caption,
        "labels": tables.recipes["label"].astype(str).tolist(),
        "optimizers": tables.recipes["optimizer"].astype(str).tolist(),
        "accuracy": column(tables, ACCURACY),
        "front": front.PANEL.backdrop(tables, tables.default_risk),
        "pairs": plain_pairs(tables),
        "differences": _differences(tables, ACCURACY),
    }


def _risk(tables: Tables, risk: Risk) -> dict[str, Any] | None:
    """Return a risk of a sweep with the differences from its reference; None where its audit lacks it."""
    if risk.column not in tables.risks:
        return None
    return risk_chunk(tables, risk) | {"differences": _differences(tables, risk.column)}


def plain_pairs(tables: Tables) -> list[dict[str, str]]:
    """Return the recipes without a defence that were compared with a reference without one, by label."""
    known, reference = tables.manifest.recipes, tables.reference
    plain = [str(r) for r in tables.recipes.index if not DEFENCES & known.get(str(r), {}).keys()]
    if reference not in plain:
        return []
    rows = tables.recipes.loc[[r for r in plain if r != reference], ["recipe_id", "label", "optimizer"]]
    other = tables.recipes.loc[[reference]].iloc[0]
    return records(rows.assign(reference=other["label"], reference_optimizer=other["optimizer"]))


def _differences(tables: Tables, figure: str) -> dict[str, dict[str, Any]]:
    """Return the differences from the reference in one figure, paired over shared seeds, by recipe_id."""
    table = tables.comparisons
    if table.empty:
        return {}
    rows = table[(table["figure"] == figure) & (table["reference_id"] == tables.reference)]
    columns = ["difference", "low", "high", "p_adjusted"]
    known = rows.reindex(columns=columns)
    return dict(zip(rows["recipe_id"].astype(str), records(pd.DataFrame(known)), strict=True))
