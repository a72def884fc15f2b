"""What the page is told: named chunks of JSON.

The page opens on the first and unpacks the others when asked. ``summary`` holds the recipes' main columns,
the panels and what every recipe shares; ``risk/<column>`` one risk; ``recipe/<recipe_id>`` the traces and
examples of one recipe; ``pictures`` the examples' pictures; ``tables`` the rest of the results for download.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import yaml

from analysis.audit.outcome import Options
from analysis.report import figures
from analysis.report.figures.front import front_info
from analysis.report.figures.panel import BASE, MANTISSAS, PALETTE, SYMBOLS, THEMES, risk_names, short
from analysis.report.figures.points import MOST_BARS, named_columns
from analysis.report.glossary import TERMS
from analysis.report.pictures import Pictures, notable, touched_by
from analysis.results import Risk, Tables, caveat_lines, caveat_of, pretty
from trainables.directory import FAILURES

# Columns of the summary besides the knobs: everything that the cards and the table show.
SHOWN = {
    "test_accuracy": "Test accuracy",
    "train_accuracy": "Training accuracy",
    "memorization": "Mean memorization",
    "memorization_rate": "Memorization rate",
    "memorization_middle": "Memorization from 0.6 to 0.85",
    "nonmember_variance": "Variance of non-member confidence",
    "train_seconds": "Training seconds a replica",
    "front_probability": "Probability to be on the front",
    "epsilon": "Epsilon (differential privacy)",
    "replicas": "Replicas",
}
OF_THE_MACHINE = {"host", "log", "traceback"}  # of a failure
MOST_ROWS = 20_000
# Attacks times recipes whose curves are kept, so that the page of 500 recipes stays below 8 MB.
MOST_CURVES = 2_500


def chunks(tables: Tables) -> Iterator[tuple[str, Any]]:
    """Yield the names and JSON values of all that the page may show, the first needed first."""
    yield "summary", summary(tables)
    for risk in tables.risks.values():
        yield f"risk/{risk.column}", risk_chunk(tables, risk)
    attacks = drawn_attacks(tables)
    for recipe_id in tables.recipes.index:
        yield f"recipe/{recipe_id}", recipe_chunk(tables, str(recipe_id), attacks)
    pictures = Pictures.read(tables.store) if tables.show_examples else None
    yield "pictures", pictures.as_json() if pictures else {"train": {}, "test": {}, "classes": []}


def packed(value: Any) -> str:
    """Return a JSON value, compressed and as base64: text that no page has to escape."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def summary(tables: Tables) -> dict[str, Any]:
    """Return everything of the first view but the chosen risk."""
    manifest = tables.manifest
    attack, delta = tables.default_risk.attack, tables.notes.get("delta", Options.delta)
    of_attack = {
        f"{attack}_epsilon": f"{pretty(attack)}: epsilon at least, at delta {delta:g}",
        f"{attack}_most_vulnerable": f"{pretty(attack)}: AUC on the 1 % most vulnerable",
    }
    shown = {name: title for name, title in (SHOWN | of_attack).items() if name in tables.recipes}
    panels = [panel for panel in map(partial(_panel, tables), figures.FIGURES.values()) if panel]
    return {
        "name": manifest.name,
        "about": {
            key: getattr(manifest, key)
            for key in (
                "created",
                "seeds",
                "versions",
                "hardware",
                "git",
                "stack",
                "seconds_per_replica",
                "context",
                "data",
            )
        },
        "spec": yaml.safe_dump(manifest.spec, sort_keys=False, allow_unicode=True),
        "leftOut": left_out(tables),
        "confidence": tables.notes.get("confidence"),
        "failures": failures(tables),
        "reference": tables.reference,
        "showExamples": tables.show_examples,
        "ids": tables.recipes.index.tolist(),
        "labels": tables.recipes["label"].astype(str).tolist(),
        "caveats": [caveat_of(row) for _, row in tables.recipes.iterrows()],
        "caveatLines": list(caveat_lines(tables.recipes)),
        "knobs": tables.knobs,
        "columns": {name: column(tables, name) for name in (*tables.knobs, *shown)},
        "titles": {name: pretty(name) for name in tables.knobs} | shown,
        "risks": [about_risk(risk) for risk in tables.risks.values()],
        "risk": tables.default_risk.column,
        "attacks": drawn_attacks(tables),
        "selected": figures.default_recipes(tables),
        "mostBars": MOST_BARS,
        "base": BASE,
        "themes": THEMES,
        "palette": PALETTE,
        "symbols": SYMBOLS,
        "mantissas": MANTISSAS,
        "panels": panels,
        "ofFigures": {
            name: column(tables, name) for name in sorted(_named_by(panels, tables) - {*tables.knobs, *shown})
        },
        "caption": tables.caption,
        "words": TERMS,
        "tables": {name: records(table) for name, table in _shared_tables(tables)},
    }


def about_risk(risk: Risk) -> dict[str, Any]:
    """Return what the page says of a risk."""
    return risk._asdict() | {"title": risk.title, "chance": risk.chance, "names": risk_names(risk)}


def _panel(tables: Tables, panel: figures.Panel) -> dict[str, Any] | None:
    """Return what the script draws a figure from; None where nothing of the sweep is to be shown."""
    backdrop = panel.backdrop(tables, tables.default_risk)
    if not (panel.traces or backdrop):
        return None
    return {
        "name": panel.name,
        "section": panel.section,
        "title": panel.title,
        "about": panel.about,
        "layout": panel.layout,
        "backdrop": backdrop,
        "ofRecipe": panel.traces is not None,
        "ofAllRecipes": any("recipes" in trace for trace in backdrop),
        "empty": panel.empty,
        "ofReference": panel.of_reference,
        "size": panel.size,
    }


def _named_by(panels: Iterable[dict[str, Any]], tables: Tables) -> set[str]:
    """Return the columns that traces of all recipes name."""
    traces = [t for panel in panels for t in panel["backdrop"] if "recipes" in t]
    return {name for trace in traces for name in named_columns(trace)} & set(tables.recipes)


def _shared_tables(tables: Tables) -> Iterator[tuple[str, pd.DataFrame]]:
    for name in ("claims", "history", "search"):
        table = getattr(tables, name)
        if not table.empty:
            yield name, table.head(MOST_ROWS)


def column(tables: Tables, name: str) -> dict[str, list[Any]]:
    """Return a column's values, and the ends of its intervals where it has them."""
    values = tables.recipes[name]
    if values.dtype == bool or not pd.api.types.is_numeric_dtype(values):
        return {"value": [_scalar(v) for v in values]}
    out = {"value": short(values, 6)}
    if f"{name}_low" in tables.recipes:
        out |= {
            "low": short(tables.recipes[f"{name}_low"], 5),
            "high": short(tables.recipes[f"{name}_high"], 5),
        }
    return out


def risk_chunk(tables: Tables, risk: Risk) -> dict[str, Any]:
    """Return one risk of every recipe, with the recipes that it singles out, by position."""
    info = front_info(tables, risk.column)
    probability = tables.front_probability(risk.column)
    return {
        "frontProbability": None if probability is None else {"value": short(probability, 6)},
        **column(tables, risk.column),
        "front": np.flatnonzero(info.on_front).tolist(),
        "reference": info.reference,
        "baseline": info.baseline,
        "knee": info.knee,
    }


def drawn_attacks(tables: Tables) -> list[str]:
    """Return the attacks whose curves the page has room for: the default risk's, then by mean AUC."""
    auc = {r.attack: float(tables.recipes[c].mean()) for c, r in tables.risks.items() if r.metric == "auc"}
    others = {r.attack: 0.0 for r in tables.risks.values()} | auc
    ranked = sorted(others, key=lambda a: (a != tables.default_risk.attack, -others[a]))
    return ranked[: max(3, MOST_CURVES // len(tables.recipes))]


def recipe_chunk(tables: Tables, recipe_id: str, attacks: Sequence[str]) -> dict[str, Any]:
    """Return what the panels below the front show of one recipe, with the curves of these attacks."""
    knobs = tables.manifest.recipes.get(recipe_id, {})
    compared = tables.of_recipe("comparisons", recipe_id)
    if not compared.empty:
        risks = {c for c, r in tables.risks.items() if r.attack in attacks}
        compared = compared[compared["figure"].isin(risks | SHOWN.keys())]
    return {
        "knobs": knobs,
        "snippet": snippet(knobs),
        "traces": {
            name: [t for t in panel.traces(tables, recipe_id) if t.get("meta", attacks[0]) in attacks]
            for name, panel in figures.FIGURES.items()
            if panel.traces
        },
        "comparisons": records(compared),
        "who": who(tables, recipe_id) if tables.show_examples else {},
    }


def snippet(knobs: dict[str, Any]) -> str:
    """Return a recipe as an entry of a spec's ``grid``, ready to paste."""
    return (
        "- "
        + yaml.safe_dump(
            knobs, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True
        ).strip()
    )


def who(tables: Tables, recipe_id: str) -> dict[str, list[dict[str, Any]]]:
    """List the most memorized and most exposed training examples, with the test points they help and harm."""
    found = notable(tables, recipe_id)
    touched = touched_by(
        tables.of_recipe("influence", recipe_id), {i for rows in found.values() for i in rows["index"]}
    )
    own = ["index", "label", "memorization", "memorization_se", "canary"]
    return {
        kind: [
            example | touched.get(example["index"], {})
            for example in records(rows[[c for c in rows.columns if c in own or c.startswith("risk_")]], 3)
        ]
        for kind, rows in found.items()
    }


def left_out(tables: Tables) -> list[dict[str, Any]]:
    """Say what is wrong with the data, then what the audit could not use or resolve, by recipes' labels."""
    labels = tables.recipes["label"].astype(str).tolist()
    found = {str(warning): labels for warning in tables.manifest.data.get("warnings", [])}
    for label, notes in dict(tables.notes.get("notes", {})).items():
        for note in notes:
            found.setdefault(str(note), []).append(str(label))
    return [{"note": note, "recipes": labels} for note, labels in found.items()]


def failures(tables: Tables) -> list[dict[str, Any]]:
    """List what failed trials left behind, without what tells of the machines: a report travels."""
    found = []
    for entry in tables.store.list(FAILURES)[:200]:
        try:
            failure = dict(json.loads(tables.store.read(entry.path)))
        except (ValueError, TypeError, FileNotFoundError):
            failure = {}
        found.append({"file": entry.path} | {k: v for k, v in failure.items() if k not in OF_THE_MACHINE})
    return found


def records(table: pd.DataFrame, digits: int = 5) -> list[dict[str, Any]]:
    """Return the rows as JSON objects, numbers shortened, NaN as None."""
    names = list(table.columns)
    return [
        dict(zip(names, map(_scalar, row, [digits] * len(names)), strict=True))
        for row in table.itertuples(index=False)
    ]


def _scalar(value: Any, digits: int = 5) -> Any:
    if isinstance(value, str | bool | np.bool_) or value is None:
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.{digits}g}") if np.isfinite(value) else None
    if isinstance(value, np.ndarray | list | tuple):
        return [_scalar(v, digits) for v in value]
    return None if value is pd.NaT else str(value)
