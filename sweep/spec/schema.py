"""What to sweep: a YAML file, validated. A mistake is one line: the place, the value, what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from sweep.spec.explaining import explain
from sweep.spec.grid import build_recipe, expand, reference
from sweep.spec.reading import override, parse, read
from sweep.spec.sections import AuditSpec, Resources, SearchSpec, SeedRange
from sweep.watch.loggers import LOGGERS
from trainables.engine.compilation import MODES, Mode
from trainables.errors import UserError
from trainables.recipe import Recipe
from trainables.registry import nearest
from trainables.section import Section
from trainables.storage import located

if TYPE_CHECKING:
    from trainables.records import Context


def _named(value: Any) -> Any:
    """Take a bare name for a mapping with that name and no options."""
    value = {"name": value} if isinstance(value, str) else value
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ValueError("expected a name, or a mapping with 'name' and its options")
    return dict(value)


def _auto_or_count(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and value >= 1):
        return value
    raise ValueError("expected 'auto' or a number of replicas of at least 1")


def _compile(value: Any) -> Any:
    value = None if value == "none" else value
    if value not in (None, "auto", *MODES):
        raise ValueError(nearest(str(value), ("auto", "none", *MODES)))
    return value


Compile = Annotated[Mode | Literal["auto"] | None, BeforeValidator(_compile)]
Auto = Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)]
Named = Annotated[dict[str, Any], BeforeValidator(_named)]


class SweepSpec(Section):
    """A sweep: data, model, subsets, and the recipes to compare.

    >>> grid = [{"optimizer": "sam", "rho": [0.05, 0.1]}]
    >>> spec = SweepSpec.of({"name": "tiny", "dataset": "digits", "grid": grid})
    >>> [recipe.label for recipe in spec.recipes]
    ['sam rho=0.05', 'sam rho=0.1']
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    about: str = ""
    dataset: Named
    model: Named = Field(default={"name": "mlp"})
    subsets: SeedRange = SeedRange()
    training: dict[str, Any] = Field(default={})
    grid: list[dict[str, Any]] = Field(default=[])
    search: SearchSpec | None = None
    queries: Literal[1, 2] = 1
    curvature: int | None = Field(default=None, ge=1)
    sweep_seed: int = Field(default=0, ge=0)
    resources: Resources = Resources()
    block: Auto = "auto"
    stack: Auto = "auto"
    compile: Compile = "auto"
    progress_minutes: float = Field(default=5, gt=0)
    audit: AuditSpec = AuditSpec()
    show_examples: bool = True
    loggers: list[str] = Field(default=[])
    tune_dir: str | None = None

    @staticmethod
    def load(source: str | Path, overrides: Iterable[str] = ()) -> SweepSpec:
        """Read a spec.

        Args:
            source: A path, or the name of a shipped spec.
            overrides: ``key=value`` as after ``--set``, such as ``"training.epochs=5"``.

        Returns:
            The spec.

        Raises:
            UserError: The first mistake, in one line.
        """
        return SweepSpec.of(override(read(source), overrides))

    @staticmethod
    def of(values: Mapping[str, Any] | str) -> SweepSpec:
        """Make a spec of a mapping or of YAML text.

        Args:
            values: What a spec file holds.

        Returns:
            The spec.

        Raises:
            UserError: The first mistake, in one line.
        """
        try:
            return SweepSpec.model_validate(parse(values) if isinstance(values, str) else values)
        except ValidationError as error:
            raise explain(error, SweepSpec) from None

    def to_yaml(self) -> str:
        """Return the spec with every default that was not changed left out; ``of`` reads it back equal."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_defaults=True), sort_keys=False)

    def context(self, fingerprint: str) -> Context:
        """Return what decides the replicas besides recipes and seeds, on data with this fingerprint."""
        from trainables.models import complete_model
        from trainables.records import Context

        return Context(
            dataset=self.dataset,
            fingerprint=fingerprint,
            model=complete_model(self.model),
            subsets=self.subsets.rule,
            sweep_seed=self.sweep_seed,
            queries=self.queries,
            curvature=self.curvature,
        )

    @property
    def attacks(self) -> list[str]:
        """The attacks that this sweep names."""
        return [*(self.audit.attacks or []), *([self.search.attack] if self.search else [])]

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        """The grid's recipes in order: entries as written, in each the last list varies fastest."""
        found: dict[str, str] = {}
        recipes = []
        for at, values in expand(self.grid, "grid"):
            recipe = build_recipe({**self.training, **values}, at, values)
            if recipe.recipe_id in found:
                raise UserError(f"{at}: repeats recipe {recipe.label!r} of {found[recipe.recipe_id]}")
            found[recipe.recipe_id] = at
            recipes.append(recipe)
        return tuple(recipes)

    @cached_property
    def corners(self) -> tuple[Recipe, ...]:
        """The recipes at both ends of every entry of ``search.space``; none without a search."""
        found = self.search.corners() if self.search else ()
        return tuple(build_recipe({**self.training, **values}, at, values) for at, values in found)

    @model_validator(mode="after")
    def _everything_is_known(self) -> SweepSpec:
        from analysis.attacks.registry import ATTACKS
        from trainables.data.dataset import DATASETS
        from trainables.models import MODELS, complete_model

        _known("dataset", self.dataset["name"], DATASETS)
        _known("model", self.model["name"], MODELS)
        if self.model["name"] in MODELS:
            complete_model(self.model)  # refuses options that the model does not have
        if not self.recipes and self.search is None:
            raise UserError("grid: [] is empty; expected at least one entry such as {optimizer: sgd}")
        if self.tune_dir is not None:
            located(self.tune_dir, "tune_dir")
        for i, name in enumerate(self.audit.attacks or []):
            _known(f"audit.attacks[{i}]", name, ["default", *ATTACKS])
        if self.search is not None:
            _known("search.attack", self.search.attack, ATTACKS)
        for i, name in enumerate(self.loggers):
            if name not in LOGGERS:
                raise UserError(f"loggers[{i}]: {name!r} is not known; {nearest(name, LOGGERS)}")
        if self.search is None:
            reference(self.recipes, self.audit.reference)
        else:
            self._search_can_be_run(self.search)
        return self

    def _search_can_be_run(self, search: SearchSpec) -> None:
        odd = next((n for n in search.replicas if n % 2), None)
        if self.subsets.scheme == "half" and odd:
            raise UserError(
                f"search.replicas: {odd} is odd; scheme 'half' pairs seeds, expected even numbers"
            )
        _ = self.corners  # refuses a knob that is wrong at either end


def _known(kind: str, name: str, registry: Iterable[str]) -> None:
    """Refuse a name that is neither registered nor an import string."""
    if name not in registry and ":" not in name:
        raise UserError(f"{kind}: {name!r} is not known; {nearest(name, registry)}")
