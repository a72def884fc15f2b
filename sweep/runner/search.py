"""``search:``: recipes found by Optuna's multi-objective sampler, trained by Tune like any others.

Nothing but records is kept of a search. The sampler is seeded and asked in batches of fixed size, so running
the spec again asks the same questions, finds their records and goes on where it stopped.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.spec.grid import build_recipe
from sweep.spec.schema import SweepSpec
from sweep.spec.sections import SearchSpec, Span
from trainables.directory import write_table
from trainables.errors import UserError
from trainables.labels import labels
from trainables.recipe import Recipe

if TYPE_CHECKING:
    from sweep.runner.outcome import Trained
    from sweep.runner.trainer import Trainer
    from trainables.block import Block

Objectives = tuple[float, float]  # test accuracy, attack advantage
MAXIMIZE = (True, False)


def require_optuna() -> Any:
    """Import optuna, quiet."""
    try:
        import optuna
    except ImportError as error:
        raise UserError("search: needs Optuna; install it with pip install 'flatleak[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    return optuna


@dataclass
class Search:
    """One search on one sweep.

    ``history`` has a row for each recipe at each number of replicas; ``failed`` are the blocks given up. The
    search's subset seeds follow those of the sweep. What is found is then verified on subsets that it never
    saw: those of the sweep itself.
    """

    spec: SweepSpec
    plan: SearchSpec
    trainer: Trainer
    history: list[dict[str, Any]] = field(default_factory=list)
    failed: list[Block] = field(default_factory=list)
    _knobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    _values: dict[tuple[str, int], Objectives] = field(default_factory=dict)

    def run(self) -> tuple[list[Recipe], Trained | None]:
        """Return the non-dominated recipes at the most replicas; or none, and the run that ended early.

        Raises:
            UserError: a combination that cannot be trained at all, before its batch; or that none could be.
        """
        from trainables.engine.checks import check

        candidates: dict[str, Recipe] = {}
        study, context = self._study(), self.trainer.context
        while len(study.trials) < self.plan.recipes:
            batch = [study.ask() for _ in range(min(self.plan.batch, self.plan.recipes - len(study.trials)))]
            recipes = [self._suggested(trial) for trial in batch]
            check(recipes, self.trainer.dataset, context.model, context.subsets, context.queries)
            stopped = self._evaluate(recipes, stage=0)
            if stopped:
                return [], stopped
            for trial, recipe in zip(batch, recipes, strict=True):
                study.tell(trial, *self._answer(recipe))
                candidates.setdefault(recipe.recipe_id, recipe)
        for stage in range(1, len(self.plan.replicas)):
            survivors = self._best(list(candidates.values()), stage - 1)
            candidates = {recipe.recipe_id: recipe for recipe in survivors}
            stopped = self._evaluate(survivors, stage)
            if stopped:
                return [], stopped
        found = self._ranked(list(candidates.values()), len(self.plan.replicas) - 1)[0]
        self._write({recipe.recipe_id for recipe in found})
        return found, None

    def _study(self) -> Any:
        optuna = require_optuna()
        joint = {"multivariate": True, "group": True, "constant_liar": True}
        sampler = optuna.samplers.TPESampler(seed=self.plan.seed, n_startup_trials=self.plan.batch, **joint)
        return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    def _suggested(self, trial: Any) -> Recipe:
        entries = self.plan.space
        chosen = trial.suggest_categorical("block", list(range(len(entries)))) if len(entries) > 1 else 0
        values = {key: _suggest(trial, f"{chosen}.{key}", value) for key, value in entries[chosen].items()}
        return build_recipe({**self.spec.training, **values}, f"search.space[{chosen}]", values)

    def _seeds(self, stage: int) -> range:
        start = self.spec.subsets.range.stop
        return range(start, start + self.plan.replicas[stage])

    def _evaluate(self, recipes: Sequence[Recipe], stage: int) -> Trained | None:
        """Train and audit what is new; the run where it ended early."""
        from analysis import audit, load_sweep

        new = {r.recipe_id: r for r in recipes if (r.recipe_id, stage) not in self._values}
        if not new:
            return None
        trained = self.trainer.train(list(new.values()), self._seeds(stage))
        self.failed += trained.failed
        if trained.interrupted or trained.fatal:
            return trained
        self._knobs |= {i: recipe.knobs for i, recipe in new.items()}
        failed = {block.address.recipe_id for block in trained.failed}
        knobs = {i: self._knobs[i] for i in new if i not in failed}
        options: dict[str, Any] = {"attacks": [self.plan.attack], "resamples": 1, "seed": self.plan.seed}
        ensembles = load_sweep(self.trainer.store, recipes=knobs, seeds=self._seeds(stage)) if knobs else {}
        for recipe_id in new:
            row = audit(ensembles[recipe_id], **options).row if recipe_id in ensembles else {}
            values = float(row.get("test_accuracy", np.nan)), float(row.get(self._risk, np.nan))
            self._values[recipe_id, stage] = values
            self.history.append(
                {
                    "stage": stage,
                    "order": len(self.history),
                    "recipe_id": recipe_id,
                    **{k: str(v) if isinstance(v, list) else v for k, v in self._knobs[recipe_id].items()},
                    "replicas": self.plan.replicas[stage],
                    "first_seed": self._seeds(stage).start,
                    "test_accuracy": values[0],
                    self._risk: values[1],
                }
            )
        self._write(set())
        return None

    @property
    def _risk(self) -> str:
        return f"{self.plan.attack.rpartition(':')[2]}_advantage"

    def _answer(self, recipe: Recipe) -> tuple[Any, ...]:
        """Return what the study is told: the objectives, or that the recipe could not be trained."""
        values = self._values[recipe.recipe_id, 0]
        if np.isnan(values).any():
            from optuna.trial import TrialState

            return None, TrialState.FAIL
        return (values,)

    def _ranked(self, recipes: Sequence[Recipe], stage: int) -> list[list[Recipe]]:
        """Fronts by non-dominated sorting, the best first; recipes that failed are in none."""
        from analysis.pareto import pareto_front

        left = [r for r in recipes if not np.isnan(self._values[r.recipe_id, stage]).any()]
        if not left and any(not np.isnan(self._values[r.recipe_id, stage][0]) for r in recipes):
            raise UserError(
                f"search.attack: {self.plan.attack!r} has no advantage with "
                f"{self.plan.replicas[stage]} replicas a recipe; expected an attack "
                "that gives scores to members and others"
            )
        if not left:
            raise UserError(
                "search.space: no recipe of it could be trained; see the sweep's failures/ folder"
            )
        fronts = []
        while left:
            points = np.array([self._values[r.recipe_id, stage] for r in left])
            best = pareto_front(points, maximize=MAXIMIZE)
            fronts.append([r for r, b in zip(left, best, strict=True) if b])
            left = [r for r, b in zip(left, best, strict=True) if not b]
        return fronts

    def _best(self, recipes: Sequence[Recipe], stage: int) -> list[Recipe]:
        """Keep the share ``keep`` of them, front by front; of one that fits in part, the most accurate."""
        room = math.ceil(self.plan.keep * len(recipes))
        kept: list[Recipe] = []
        for front in self._ranked(recipes, stage):
            front = sorted(front, key=lambda r: -self._values[r.recipe_id, stage][0])
            kept += front[: room - len(kept)]
        return kept

    def _write(self, found: set[str]) -> None:
        """``results/search.parquet``, complete after every batch."""
        table = pd.DataFrame(self.history)
        table.insert(3, "label", labels(self._knobs[recipe_id] for recipe_id in table["recipe_id"]))
        table["found"] = table["recipe_id"].isin(list(found)) & (table["stage"] == table["stage"].max())
        write_table(self.trainer.store, "search", table)


def _suggest(trial: Any, name: str, value: Any) -> Any:
    """Return a knob's value: fixed, one of a list, or from a span; of ``options`` each by itself."""
    if isinstance(value, list):
        return value[trial.suggest_categorical(name, list(range(len(value))))]
    if isinstance(value, Mapping) and name.endswith(".options"):
        return {key: _suggest(trial, f"{name}.{key}", inner) for key, inner in value.items()}
    if not isinstance(value, Mapping):
        return value
    span = Span.model_validate(value)
    if isinstance(span.low, int) and isinstance(span.high, int):
        return trial.suggest_int(name, span.low, span.high, log=span.log)
    return float(f"{trial.suggest_float(name, span.low, span.high, log=span.log):.4g}")
