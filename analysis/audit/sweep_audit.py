"""All audits of a sweep -> the tables of ``results/``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.attacks import registry
from analysis.audit import artefacts
from analysis.audit.buckets import bucket_table
from analysis.audit.caveats import caveats
from analysis.audit.ensemble_audit import audit
from analysis.audit.jobs import Execute, Job, in_threads
from analysis.audit.outcome import Audit, Options
from analysis.audit.proxies import risk_correlations, tail_ranking
from analysis.ensemble import Ensemble, all_clusters, load_sweep
from analysis.pareto import front_probability, hypervolume, pareto_front
from analysis.results import Risk, front_risk, risk_of
from analysis.statistics.intervals import holm, interval, p_value
from trainables.directory import (
    NO_MANIFEST,
    NOTES,
    Manifest,
    read_manifest,
    reference_recipe,
    table_path,
    write_table,
)
from trainables.labels import flat
from trainables.registry import import_string
from trainables.storage import Store, as_store

ALWAYS_SHOWN = ("optimizer", "rho", "noise", "grad_reg")
CLAIMS = "analysis.studies:study"  # tables of published claims, imported only where a spec asks for them
MOST_VULNERABLE = 20  # examples an attack in vulnerable.parquet
_FEW_SCORES = 10_000_000  # of a sweep small enough to keep its signals in memory
_NAMED = 6  # recipes in a line

Floats = NDArray[np.floating[Any]]


@dataclass
class Results:
    """The audits of a sweep by recipe_id, and the tables that follow; ``write`` computes and stores all."""

    ensembles: dict[str, Ensemble]
    manifest: Manifest
    options: Mapping[str, Any]
    claims: bool = False
    audits: dict[str, Audit] = field(default_factory=dict)
    audited: list[str] = field(default_factory=list)  # labels of what was not there yet
    damaged: list[str] = field(default_factory=list)  # what was there, but not whole
    restricted: dict[tuple[str, bytes], Audit] = field(default_factory=dict)  # by recipe_id, subset seeds

    @property
    def done(self) -> str:
        """What was done, in one line for who waits: ``"audited 1 recipe (sam rho=0.1), 10 were there"``."""
        audited, there = len(self.audited), len(self.audits) - len(self.audited)
        named = ", ".join([*self.audited[:_NAMED], *(["..."] if audited > _NAMED else [])])
        what = f"{audited} recipe{'s' * (audited != 1)}" + (f" ({named})" if audited else "")
        return f"audited {what}, {there} {'was' if there == 1 else 'were'} there"

    @cached_property
    def among(self) -> NDArray[np.int64]:
        """The ``cluster_ids`` of all recipes, by which the bootstrap draws of all audits are paired.

        Those of seeds that are only planned too, so that no audit depends on what other recipes have by now.
        """
        return all_clusters(self.ensembles.values(), self.manifest.seed_range)

    @property
    def confidence(self) -> float:
        """The level of all intervals, as 0.95."""
        return float(self.options.get("confidence", Options.confidence))

    @property
    def delta(self) -> float:
        """The delta of the epsilon that attacks prove."""
        return float(self.options.get("delta", Options.delta))

    @property
    def reference(self) -> str:
        """The recipe that all are compared with; see `trainables.directory.reference_recipe`."""
        knobs = {recipe_id: ensemble.recipe for recipe_id, ensemble in self.ensembles.items()}
        return cast(str, reference_recipe(knobs, self.manifest.reference))

    @cached_property
    def recipes(self) -> pd.DataFrame:
        """One row a recipe: its knobs, then its figures with their intervals."""
        shown = _knobs([ensemble.recipe for ensemble in self.ensembles.values()])
        rows = [
            {"recipe_id": recipe_id, "label": ensemble.label}
            | {name: column[i] for name, column in shown.items()}
            | self.audits[recipe_id].row
            for i, (recipe_id, ensemble) in enumerate(self.ensembles.items())
        ]
        table = pd.DataFrame(rows)
        risk = front_risk(table)
        if risk is not None:
            table["on_front"] = pareto_front(table[["test_accuracy", risk.column]].to_numpy(float))
            table["front_probability"] = self._front_probability(risk)
        table["caveat"] = caveats(table, self.ensembles, registry.select(self.options.get("attacks")))
        return table

    def _front_probability(self, risk: Risk) -> Floats:
        """How often each recipe is on the front of accuracy and a risk, NaN where it has no such figure."""
        none = np.full(int(self.options.get("resamples", Options.resamples)), np.nan)
        draws = [
            np.column_stack([a.draws["test_accuracy"], a.draws.get(risk.column, none)])
            for a in self.audits.values()
        ]
        known = [np.isfinite(a.row.get(risk.column, np.nan)) for a in self.audits.values()]
        return np.where(known, front_probability(np.stack(draws, axis=1)), np.nan)

    @property
    def front_probabilities(self) -> pd.DataFrame:
        """``front_probability`` of every recipe and risk, not only of the default one."""
        parts = [
            pd.DataFrame(
                {
                    "recipe_id": list(self.audits),
                    "risk": risk.column,
                    "probability": self._front_probability(risk),
                }
            )
            for risk in filter(None, map(risk_of, map(str, self.recipes.columns)))
        ]
        columns = ["recipe_id", "risk", "probability"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Every recipe minus the reference over the subset seeds that both have, figure by figure.

        ``p_adjusted`` is Holm's over the recipes compared in one figure. Where the seeds differ, both sides
        are audited again on the shared ones, so that no side has more shadows. Of simulated pairs of equally
        leaking recipes with 32 or 64 replicas, LiRA's figures differed at p < 0.05 in 1 to 8 %, where neither
        leaked in 3 to 10 %; confidence's AUC and balanced accuracy in 1 to 6 %.
        """
        rows = []
        for recipe_id in self.ensembles:
            if recipe_id == self.reference:
                continue
            seeds = np.intersect1d(self.ensembles[recipe_id].seeds, self.ensembles[self.reference].seeds)
            if not len(seeds):
                continue
            own, other = self.audit_on(recipe_id, seeds), self.audit_on(self.reference, seeds)
            clusters = int(self.ensembles[recipe_id].restrict(seeds).clusters.max()) + 1
            for figure in (f for f in own.draws if f in other.draws):
                difference, draws = (
                    own.row[figure] - other.row[figure],
                    own.draws[figure] - other.draws[figure],
                )
                low, high = interval(draws, clusters, confidence=self.confidence)
                rows.append(
                    {
                        "recipe_id": recipe_id,
                        "reference_id": self.reference,
                        "figure": figure,
                        "difference": difference,
                        "low": low,
                        "high": high,
                        "p_value": p_value(difference, draws, clusters),
                    }
                )
        table = pd.DataFrame(
            rows, columns=["recipe_id", "reference_id", "figure", "difference", "low", "high", "p_value"]
        )
        table["p_adjusted"] = table.groupby("figure")["p_value"].transform(lambda p: holm(p.to_numpy()))
        return table

    def audit_on(self, recipe_id: str, seeds: NDArray[np.int64]) -> Audit:
        """Return the audit of a recipe on these subset seeds only."""
        ensemble = self.ensembles[recipe_id]
        if np.array_equal(ensemble.seeds, seeds):
            return self.audits[recipe_id]
        key = recipe_id, seeds.tobytes()
        if key not in self.restricted:
            self.restricted[key] = audit(ensemble.restrict(seeds), **self.options, among=self.among)
        return self.restricted[key]

    def stacked(self, name: str) -> pd.DataFrame:
        """Return a table of every audit under its recipe_id: ``metrics``, ``roc`` or ``scores``."""
        parts = [getattr(a, name).assign(recipe_id=r) for r, a in self.audits.items()]
        table: pd.DataFrame = pd.concat(parts, ignore_index=True)
        return table[["recipe_id", *table.columns.drop("recipe_id")]]

    @property
    def vulnerable(self) -> pd.DataFrame:
        """The examples with the highest risk under each attack, ``rank`` 1 first.

        Maxima of many estimates overstate; ``<attack>_most_vulnerable`` in the recipes table is free of that.
        """
        parts = []
        for recipe_id, found in self.audits.items():
            for column in (c for c in map(str, found.examples.columns) if c.startswith("risk_")):
                risk = found.examples[column].to_numpy()
                top = np.argsort(np.nan_to_num(-risk, nan=np.inf), kind="stable")[:MOST_VULNERABLE]
                part = {"recipe_id": recipe_id, "attack": column.removeprefix("risk_"), "index": top}
                label = found.examples["label"].to_numpy()[top]
                rank = np.arange(1, len(top) + 1)
                parts.append(pd.DataFrame(part | {"label": label, "risk": risk[top], "rank": rank}))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @property
    def history(self) -> pd.DataFrame:
        """Hypervolume of (test accuracy, default risk) beyond (0, 1), had the sweep stopped earlier."""
        risk = front_risk(self.recipes)
        if risk is None:
            return pd.DataFrame(columns=["replicas", "hypervolume"])
        own = dict(zip(self.audits, self.recipes[risk.column], strict=True))
        most = max(e.replicas for e in self.ensembles.values())
        sizes = sorted({size for found in self.audits.values() for size in found.growth.get("replicas", [])})
        rows = []
        for size in [*sizes, most]:
            points = [_after(size, found, risk, own[r]) for r, found in self.audits.items()]
            rows.append((size, hypervolume(np.array(points), (0, 1))))
        return pd.DataFrame(rows, columns=["replicas", "hypervolume"])

    @property
    def notes(self) -> dict[str, Any]:
        """What was left out or could not be resolved, by label, and how the intervals were made."""
        risk = front_risk(self.recipes)
        return {
            "reference": self.reference,
            "risk": risk.column if risk else None,
            "confidence": self.confidence,
            "delta": self.delta,
            "notes": {
                e.label: self.audits[r].notes for r, e in self.ensembles.items() if self.audits[r].notes
            },
        }

    @property
    def correlations(self) -> pd.DataFrame:
        """Rank correlations of memorization with each attack's risk and with what single replicas show.

        The last row is of all recipes: how the tail estimate ranks them, against LiRA.
        """
        parts = []
        for recipe_id, found in self.audits.items():
            risks = risk_correlations(found.examples, **self.bootstrap)
            parts += [risks.assign(recipe_id=recipe_id), found.correlations]
        parts.append(tail_ranking(self.ensembles, self.audits, among=self.among, **self.bootstrap))
        return pd.concat(parts, ignore_index=True)[["recipe_id", "against", "correlation", "low", "high"]]

    def write(self, store: Store) -> None:
        """Compute and write every table; `recipes.parquet` last, as the sign of a whole audit."""
        tables = {
            **{name: self.stacked(name) for name in ("metrics", "roc", "scores")},
            **{f"examples/{recipe_id}": found.examples for recipe_id, found in self.audits.items()},
            "comparisons": self.comparisons,
            "front_probabilities": self.front_probabilities,
            "vulnerable": self.vulnerable,
            **(self._influence() if self._has_test else {}),
            "history": self.history,
            "correlations": self.correlations,
            **self._study(),
            "recipes": self.recipes,
        }
        for stale in ("claims", "theory"):
            if stale not in tables and store.exists(table_path(stale)):
                store.delete(table_path(stale))
        store.write(NOTES, json.dumps(self.notes, indent=1).encode())
        store.write(table_path("recipes", "csv"), self.recipes.to_csv(index=False).encode())
        for name, table in tables.items():
            write_table(store, name, table)

    def _study(self) -> dict[str, pd.DataFrame]:
        if not self.claims:
            return {}
        study: Callable[[Results], dict[str, pd.DataFrame]] = import_string("study", CLAIMS)
        return study(self)

    @property
    def _has_test(self) -> bool:
        return all(len(ensemble.labels_test) for ensemble in self.ensembles.values())

    @property
    def bootstrap(self) -> dict[str, Any]:
        """The options of a bootstrap: confidence, resamples and seed, where they are given."""
        return {k: v for k, v in self.options.items() if k in ("confidence", "resamples", "seed")}

    def _influence(self) -> dict[str, pd.DataFrame]:
        return {
            "buckets": bucket_table(self.ensembles, self.reference, **self.bootstrap),
            "influence": pd.concat([found.influence for found in self.audits.values()], ignore_index=True),
        }


def _after(size: int, found: Audit, risk: Risk, leak: float) -> tuple[float, float]:
    """Return test accuracy and risk of a recipe after so many replicas; with fewer, of all that it has."""
    at = found.growth[found.growth["replicas"] == size] if len(found.growth) else found.growth
    if not len(at):
        return found.row["test_accuracy"], leak
    accuracy, column, then = at[["test_accuracy", "risk", "leak"]].iloc[0]
    return accuracy, then if column == risk.column else np.nan


def _knobs(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns of the knobs that vary, absent ones as 0 or empty text; four of them always."""
    recipes = [flat(recipe) for recipe in recipes]
    names = dict.fromkeys([*ALWAYS_SHOWN, *(name for recipe in recipes for name in recipe)])
    columns = {}
    for name in names:
        values = [recipe.get(name) for recipe in recipes]
        text = any(isinstance(v, str | list) for v in values)
        plain = ["+".join(v) if isinstance(v, list) else v for v in values]
        column = [("" if text else 0.0) if v is None else v if text else float(v) for v in plain]
        if name in ALWAYS_SHOWN or len(set(column)) > 1:
            columns[name] = column
    return columns


def audit_sweep(
    directory: str | PathLike[str] | Store, *, execute: Execute = in_threads, **options: Any
) -> Results:
    """Audit every ensemble of a sweep directory and write ``results/``.

    A recipe whose records, options and attacks are those of its last audit is not audited again: see
    `analysis.audit.artefacts`. ``audited`` and ``damaged`` of the results say what was done.

    Args:
        directory: the sweep directory.
        execute: runs the jobs that are left; in threads of this process by default.
        options: those of `audit` and ``claims``, which adds the tables of published claims; they come before
            the manifest's.
    """
    store = as_store(directory)
    manifest = read_manifest(store) or NO_MANIFEST
    options = {**manifest.audit, **{k: v for k, v in options.items() if v is not None}}
    ensembles = load_sweep(store)
    if sum(e.replicas * len(e.labels_train) for e in ensembles.values()) < _FEW_SCORES:
        ensembles = {recipe_id: ensemble.kept() for recipe_id, ensemble in ensembles.items()}
    claims = bool(options.pop("claims", False))
    results = Results(ensembles, manifest, options, claims)
    found, left = {}, []
    wanted = _wanted(results)
    for key, ensemble in wanted.items():
        address = artefacts.address_of(ensemble, options, results.among)
        job = Job(ensemble, options, store, key, address, results.among)
        there, problem = artefacts.load(store, key, job.address) if job.address else (None, "")
        if problem:
            results.damaged.append(problem)
        if there is None:
            left.append(job)
        else:
            found[key] = there
    found |= {job.key: audited for job, audited in execute(left)}
    results.audits = {recipe_id: found.pop(recipe_id) for recipe_id in ensembles}
    results.restricted = {
        (wanted[key].recipe_id, wanted[key].seeds.tobytes()): pair for key, pair in found.items()
    }
    results.audited = [job.label for job in left if job.key in ensembles]
    results.write(store)
    return results


def _wanted(results: Results) -> dict[str, Ensemble]:
    """Every recipe, and where subset seeds differ from the reference's, both on those that they share."""
    wanted = dict(results.ensembles)
    base = results.ensembles[results.reference]
    for ensemble in results.ensembles.values():
        seeds = np.intersect1d(ensemble.seeds, base.seeds)
        for own, other in ((ensemble, base), (base, ensemble)):
            if 0 < len(seeds) < own.replicas:
                wanted[f"{own.recipe_id}-with-{other.recipe_id}"] = own.restrict(seeds)
    return wanted
