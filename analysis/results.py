"""The finished results of a sweep, as the page and the figures read them: tables, never signals."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trainables.directory import (
    NO_MANIFEST,
    NOTES,
    Manifest,
    read_manifest,
    read_table,
    reference_recipe,
    table_path,
)
from trainables.errors import UserError
from trainables.knobs import TRAINING
from trainables.labels import flat
from trainables.registry import nearest, registered
from trainables.storage import Store, as_store

METRICS = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "advantage": "advantage",
    "tpr_at_10pct": "TPR at 10 % FPR",
    "tpr_at_1pct": "TPR at 1 % FPR",
    "tpr_at_0.1pct": "TPR at 0.1 % FPR",
    "tpr_at_0.01pct": "TPR at 0.01 % FPR",
}
CHANCE = {"auc": 0.5, "balanced_accuracy": 0.5, "advantage": 0.0} | {
    f"tpr_at_{level}pct": float(level) / 100 for level in ("10", "1", "0.1", "0.01")
}
DEFAULT_RISKS = ("lira_tpr_at_0.1pct", "lira_tpr_at_1pct", "lira_auc")
MOST_NAMED = 3  # recipes that share a caveat
NAMES = {
    "lira": "LiRA",
    "rmia": "RMIA",
    "lr": "learning rate",
    "grad": "gradient",
    "reg": "penalty",
    "pct": "%",
}


class Risk(NamedTuple):
    """A column of the recipes table that says how much one attack learns."""

    column: str
    attack: str
    metric: str

    @property
    def title(self) -> str:
        """The column's name for people, as ``"LiRA AUC"``."""
        return f"{pretty(self.attack)} {METRICS[self.metric]}"

    @property
    def chance(self) -> float:
        """What an attacker who guesses would get."""
        return CHANCE[self.metric]


def pretty(name: str) -> str:
    """``"lira_offline"`` as ``"LiRA offline"``: names of columns for readers."""
    return " ".join(NAMES.get(word, word) for word in name.split("_"))


def risk_of(column: str) -> Risk | None:
    """Return the risk that a column's name spells, or None for any other column."""
    match = re.fullmatch(rf"(.+?)_({'|'.join(map(re.escape, METRICS))})", column)
    return Risk(column, match[1], match[2]) if match else None


def caveat_of(row: Mapping[str, Any] | pd.Series) -> str:
    """Say what to mind of a recipe's figures: the text of a row's ``caveat``, empty where it has none."""
    text = row.get("caveat")
    return text if isinstance(text, str) else ""


def caveat_lines(recipes: pd.DataFrame) -> Iterator[str]:
    """Each caveat once: ``"8 replicas: no interval"``; before it the recipes, where it is not of all."""
    of: dict[str, list[str]] = {}
    for _, row in recipes.iterrows():
        for part in filter(None, caveat_of(row).split("; ")):
            of.setdefault(part, []).append(str(row["label"]))
    for part, labels in of.items():
        more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
        whose = "" if len(labels) == len(recipes) else f"{', '.join(labels[:MOST_NAMED])}{more}: "
        yield whose + part


def front_risk(table: pd.DataFrame) -> Risk | None:
    """Return the risk of ``on_front``, which all recipes must resolve.

    LiRA's TPR at 0.1 % FPR, else at 1 %, else its AUC, else the first there is.
    """
    return _first_risk(c for c in table.columns if risk_of(c) and table[c].notna().all())


def default_risk(table: pd.DataFrame) -> Risk | None:
    """`front_risk`; where no risk is resolved by all recipes, the first that any of them resolves."""
    return front_risk(table) or _first_risk(c for c in table.columns if risk_of(c) and table[c].notna().any())


def _first_risk(columns: Iterable[str]) -> Risk | None:
    names = list(columns)
    wanted = [c for c in DEFAULT_RISKS if c in names] + names
    return risk_of(wanted[0]) if wanted else None


@dataclass(frozen=True)
class Tables:
    """Lazy views of ``results/`` and the manifest of one sweep directory."""

    store: Store

    @staticmethod
    def of(source: str | PathLike[str] | Store | Tables) -> Tables:
        """Return the tables of a sweep directory; tables stay as they are."""
        return source if isinstance(source, Tables) else Tables(as_store(source))

    @property
    def directory(self) -> str:
        """The sweep directory's own name."""
        return str(self.store).partition("?")[0].rstrip("/").rpartition("/")[2]

    def _parquet(self, name: str) -> pd.DataFrame:
        try:
            return read_table(self.store, name)
        except FileNotFoundError:
            return pd.DataFrame()

    def _json(self, path: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self.store.read(path)))
        except FileNotFoundError:
            return {}

    @cached_property
    def recipes(self) -> pd.DataFrame:
        """One row a recipe, indexed by recipe_id.

        Raises:
            UserError: the directory holds no audited results.
        """
        table = self._parquet("recipes")
        if table.empty and self.store.exists(table_path("recipes", "csv")):
            table = pd.read_csv(io.BytesIO(self.store.read(table_path("recipes", "csv"))))
        if table.empty:
            raise UserError(
                f"{self.store}: no results/recipes.parquet with a row; run `flatleak audit {self.store}`"
            )
        return table.set_index("recipe_id", drop=False)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the sweep; an empty one where there is none."""
        return read_manifest(self.store) or NO_MANIFEST

    @cached_property
    def notes(self) -> dict[str, Any]:
        """What the audit noted for who reads its figures."""
        return self._json(NOTES)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """One row a recipe and metric: the difference from the reference, paired over shared seeds."""
        return self._parquet("comparisons")

    @cached_property
    def buckets(self) -> pd.DataFrame:
        """One row a recipe and bucket of influence entropy."""
        return self._parquet("buckets")

    @cached_property
    def influence(self) -> pd.DataFrame:
        """One row a recipe, test example and training example, the strongest influences only."""
        return self._parquet("influence")

    @cached_property
    def claims(self) -> pd.DataFrame:
        """What the sweep says to the published claims; empty without ``audit: {claims: true}``."""
        return self._parquet("claims")

    @cached_property
    def theory(self) -> pd.DataFrame:
        """What `analysis.studies.theory` simulates; empty without ``audit: {claims: true}``."""
        return self._parquet("theory")

    @cached_property
    def history(self) -> pd.DataFrame:
        """The hypervolume of the front, had the sweep stopped at fewer replicas."""
        return self._parquet("history")

    @cached_property
    def search(self) -> pd.DataFrame:
        """One row a recipe that a search tried, at each number of replicas; empty where there was none."""
        return self._parquet("search")

    @cached_property
    def published(self) -> pd.DataFrame:
        """Agreement with published scores, where `analysis.studies.published` was run."""
        return self._parquet("published_agreement")

    @cached_property
    def published_histogram(self) -> pd.DataFrame:
        """How memorization spreads here and as published, where `analysis.studies.published` was run."""
        return self._parquet("published_histogram")

    @cached_property
    def _front_probabilities(self) -> pd.DataFrame:
        """A column a risk, a row a recipe; empty for results of before there was such a table."""
        table = self._parquet("front_probabilities")
        return table if table.empty else table.pivot(index="recipe_id", columns="risk", values="probability")

    def front_probability(self, risk: str) -> pd.Series | None:
        """Return how often each recipe is on the front of accuracy and this risk, where the audit says so."""
        if risk not in self._front_probabilities:
            return None
        return self._front_probabilities[risk].reindex(self.recipes.index)

    @cached_property
    def _curves(self) -> dict[str, dict[str, pd.DataFrame]]:
        return {
            name: _by_recipe(self._parquet(name))
            for name in ("roc", "scores", "buckets", "influence", "comparisons")
        }

    def of_recipe(self, name: str, recipe_id: str) -> pd.DataFrame:
        """Return the rows of ``roc``, ``scores``, ``buckets`` or ``influence`` that belong to one recipe."""
        return self._curves[name].get(recipe_id, pd.DataFrame())

    def examples(self, recipe_id: str) -> pd.DataFrame:
        """Return one row a training example: memorization, risk by attack; empty where none was written."""
        return self._examples(recipe_id)

    @cached_property
    def _examples(self) -> Callable[[str], pd.DataFrame]:
        """Several figures in a row read the same recipe's; those of thousands do not fit in memory."""
        return lru_cache(maxsize=2)(lambda recipe_id: self._parquet(f"examples/{recipe_id}"))

    @property
    def show_examples(self) -> bool:
        """Whether pages may show examples of the data set."""
        return self.manifest.show_examples

    @cached_property
    def reference(self) -> str | None:
        """The recipe that differences are taken from; see `trainables.directory.reference_recipe`."""
        known, optimizers = self.manifest.recipes, self.recipes["optimizer"]
        there = {str(i): known.get(str(i), {"optimizer": name}) for i, name in optimizers.items()}
        return reference_recipe(there, self.manifest.reference)

    @cached_property
    def reference_examples(self) -> pd.DataFrame:
        """One row a training example of the reference recipe."""
        return self.examples(self.reference) if self.reference else pd.DataFrame()

    @cached_property
    def knobs(self) -> list[str]:
        """The knobs that vary over the sweep, optimizer first, training hyper-parameters last."""
        recipes = [flat(k) for k in self.manifest.recipes.values()]
        names = {name for recipe in recipes for name in recipe} & set(self.recipes.columns)
        varying = {n for n in names if self.recipes[n].astype(str).nunique() > 1} | {"optimizer"}
        return sorted(varying, key=lambda n: (n != "optimizer", n in TRAINING, n))

    @cached_property
    def common(self) -> str:
        """The knobs that no recipe varies, which labels leave out: ``"epochs 40, batch_size 64"``."""
        recipes = [dict(k) for k in self.manifest.recipes.values()]
        shared = recipes[0] if recipes else {}
        same = {n: v for n, v in shared.items() if all(r.get(n) == v for r in recipes)}
        return ", ".join(f"{name} {value}" for name, value in same.items() if name in TRAINING)

    @cached_property
    def risks(self) -> dict[str, Risk]:
        """Risk columns by name, those with a figure for at least one recipe."""
        found = (risk_of(column) for column in self.recipes.columns)
        return {r.column: r for r in found if r is not None and self.recipes[r.column].notna().any()}

    @property
    def default_risk(self) -> Risk:
        """`default_risk` of the recipes."""
        found = default_risk(self.recipes)
        if found is None:
            raise UserError(f"{self.store}: results/recipes.parquet holds no attack's figures")
        return found

    def risk(self, column: str | None = None) -> Risk:
        """Return the named risk, or the default one."""
        if column is None:
            return self.default_risk
        if column not in self.risks:
            raise UserError(f"risk {column!r} is not in {self.store}/results; {nearest(column, self.risks)}")
        return self.risks[column]

    def recipe_id(self, name: str) -> str:
        """Return the recipe that a label or a recipe_id names.

        Raises:
            UserError: neither; says the nearest label.
        """
        ids: list[str] = self.recipes.index.astype(str).tolist()
        by_label = dict(zip(self.recipes["label"].astype(str), ids, strict=True))
        if name in self.recipes.index:
            return name
        return registered("recipe", name, by_label)

    @property
    def caption(self) -> str:
        """Sweep, data, replicas, intervals and date in one line, for captions of figures."""
        names = [
            (kind, dict(self.manifest.context.get(key) or {}).get("name"))
            for kind, key in (("data set", "dataset"), ("model", "model"))
        ]
        replicas = sorted({int(n) for n in self.recipes.get("replicas", pd.Series(dtype=int))})
        ends = " to ".join(map(str, dict.fromkeys(replicas[:1] + replicas[-1:])))
        confidence = self.notes.get("confidence")
        created = (self.manifest.created or "").partition("T")[0]
        parts = [
            f"Sweep {self.manifest.name}",
            *(f"{kind} {name}" for kind, name in names if name),
        ]
        parts += [f"{ends} replicas a recipe"] if ends else []
        parts += [f"{100 * confidence:g} % bootstrap intervals"] if confidence else []
        parts += [created] if created else []
        return ", ".join(parts)

    def interval(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper ends of a column's intervals, NaN where it has none."""
        missing = np.full(len(self.recipes), np.nan)
        low, high = (self.recipes.get(f"{column}_{end}") for end in ("low", "high"))
        return (
            missing if low is None else low.to_numpy(float),
            missing if high is None else high.to_numpy(float),
        )


def _by_recipe(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    if table.empty:
        return {}
    return {str(key): rows for key, rows in table.groupby("recipe_id", sort=False)}
