"""What to sweep: a YAML file, validated. A mistake is one line: the place, the value, what was expected."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sweep.spec.explaining import explain, short
from sweep.spec.reading import override, parse, read_text
from sweep.watch.loggers import LOGGERS
from trainables.data.subsets import Subsets
from trainables.engine.compilation import MODES, Mode
from trainables.errors import UserError, first_line
from trainables.recipe import Recipe
from trainables.registry import nearest
from trainables.section import Section
from trainables.storage import located

if TYPE_CHECKING:
    from trainables.records import Context

SHIPPED = files("sweep.spec") / "shipped"


def _named(value: Any) -> Any:
    """A bare name stands for a mapping with that name and no options."""
    value = {"name": value} if isinstance(value, str) else value
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ValueError("expected a name, or a mapping with 'name' and its options")
    return dict(value)


def _auto_or_count(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and value >= 1):
        return value
    raise ValueError("expected 'auto' or a number of replicas of at least 1")


def _some(value: Any) -> Any:
    if value == []:
        raise ValueError("is empty; expected at least one attack, or no such key for those of every audit")
    return value


def _compile(value: Any) -> Any:
    value = None if value == "none" else value
    if value not in (None, "auto", *MODES):
        raise ValueError(nearest(str(value), ("auto", "none", *MODES)))
    return value


def _gpu(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value == "auto" or (number and (0 <= value <= 1 or (value > 1 and float(value).is_integer()))):
        return value
    raise ValueError("expected 'auto', a fraction up to 1, or a whole number")


Compile = Annotated[Mode | Literal["auto"] | None, BeforeValidator(_compile)]
Auto = Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)]
Named = Annotated[dict[str, Any], BeforeValidator(_named)]


class SeedRange(Subsets):
    """Which subsets to train on: a scheme, and the subset seeds ``first ... first + seeds - 1``."""

    seeds: int = Field(default=64, ge=1)
    first: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _halves_come_in_pairs(self) -> SeedRange:
        for name, value in (("seeds", self.seeds), ("first", self.first)):
            if self.scheme == "half" and value % 2:
                raise UserError(
                    f"subsets.{name}: {value} is odd; scheme 'half' pairs seeds, expected an even number"
                )
        return self

    @property
    def rule(self) -> Subsets:
        """How a seed draws its subset, without how many are drawn."""
        return Subsets(scheme=self.scheme, fraction=self.fraction)

    @property
    def range(self) -> range:
        """The subset seeds."""
        return range(self.first, self.first + self.seeds)


class Resources(Section):
    """What one trial asks Ray for: cores, GPUs and custom resources.

    ``cpu`` is also the number of the trial's threads, at least one. ``gpu`` may be a fraction, so that
    several trials share one; ``gpu: auto`` is a whole GPU, on which a trial trains several replicas at once.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Annotated[float, Field(gt=0)]]

    cpu: float = Field(default=1, gt=0)
    gpu: Annotated[float | Literal["auto"], BeforeValidator(_gpu)] = 0.0

    @property
    def demand(self) -> dict[str, float]:
        """The resources by the names of Ray's tasks, zeros left out; ``auto`` is a whole GPU."""
        amounts = {**self.model_dump(), "gpu": 1.0 if self.gpu == "auto" else self.gpu}
        return {name: amount for name, amount in amounts.items() if amount}


class AuditSpec(Section):
    """How the ensembles are audited.

    ``reference`` is what every recipe is compared with: an optimizer's name or the knobs of a recipe of the
    grid; by default plain ``sgd`` where the grid has it. ``delta`` is that of the epsilon that the attacks
    prove. ``claims`` adds what was published about sharpness-aware optimizers beside what the sweep measured.
    """

    reference: str | dict[str, Any] | None = None
    attacks: Annotated[list[str] | None, BeforeValidator(_some)] = None
    confidence: float = Field(default=0.95, gt=0, lt=1)
    resamples: int = Field(default=1000, ge=10)
    seed: int = 0
    delta: float = Field(default=1e-5, ge=0, lt=1)
    claims: bool = False


class Span(Section):
    """A stretch of numbers to search, both ends included; whole numbers where both ends are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ends_in_order(self) -> Span:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("expected low < high, and low > 0 with log")
        return self


def _span(value: Any, at: str) -> list[Any]:
    """The values to check a knob's space with: its ends, its choices or its one value."""
    if isinstance(value, Mapping):
        try:
            span = Span.model_validate(value)
        except ValidationError as error:
            raise explain(error, Span, at) from None
        return [span.low, span.high]
    return _choices(at.rpartition(".")[2], value, at)


class SearchSpec(Section):
    """Recipes found rather than listed: accuracy against LiRA advantage, by Optuna's multi-objective sampler.

    ``space`` is like ``grid``: entries of knobs, each with a fixed value, a list of choices or a span
    ``{low, high, log}``. ``recipes`` of them are drawn, ``batch`` at a time, and trained with the first
    number of ``replicas``; the better share ``keep`` goes on to the next number. Subset seeds are those
    after the sweep's; the non-dominated recipes join the grid, on the sweep's own seeds.
    """

    space: list[dict[str, Any]] = Field(min_length=1)
    recipes: int = Field(default=32, ge=1)
    batch: int = Field(default=8, ge=1)
    replicas: list[Annotated[int, Field(ge=4)]] = Field(default=[16, 32, 64], min_length=1)
    keep: float = Field(default=0.5, gt=0, le=1)
    attack: str = "lira"
    seed: int = 0

    @model_validator(mode="after")
    def _replicas_grow(self) -> SearchSpec:
        if self.replicas != sorted(set(self.replicas)):
            raise UserError(f"search.replicas: {self.replicas}: expected growing numbers")
        return self

    def corners(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(place, knobs) of both ends of every entry, to see that all between can be trained."""
        for i, entry in enumerate(self.space):
            spans = {key: _span(value, f"search.space[{i}].{key}") for key, value in entry.items()}
            for end in (0, -1):
                yield f"search.space[{i}]", {key: values[end] for key, values in spans.items()}


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
        """The spec with every default that was not changed left out; ``of`` reads it back equal."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_defaults=True), sort_keys=False)

    def context(self, fingerprint: str) -> Context:
        """What decides the sweep's replicas besides recipes and seeds, on data with this fingerprint."""
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


def reference(recipes: Iterable[Recipe], wanted: str | Mapping[str, Any] | None) -> str | None:
    """Find the recipe that ``audit.reference`` means.

    Args:
        recipes: The recipes of the sweep.
        wanted: An optimizer's name, or knobs; None is plain ``sgd``.

    Returns:
        The recipe_id of the plainest match; None where nothing was wanted and there is no ``sgd``.

    Raises:
        UserError: No recipe matches what was wanted.
    """
    knobs = {"optimizer": wanted or "sgd"} if not isinstance(wanted, Mapping) else wanted
    matching = [r for r in recipes if all(r.knobs.get(k, 0) == (v or 0) for k, v in knobs.items())]
    if matching:
        return min(matching, key=lambda r: len(r.knobs)).recipe_id
    if wanted is None:
        return None
    names = {r.optimizer for r in recipes}
    hint = (
        f"; {nearest(wanted, names)}"
        if isinstance(wanted, str)
        else "; expected knobs of a recipe of the grid"
    )
    raise UserError(f"audit.reference: {short(wanted)} matches no recipe{hint}")


def expand(entries: Iterable[Mapping[str, Any]], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Cross the lists of each entry of a grid.

    Args:
        entries: Knobs by name; a list is crossed with the others of its entry.
        at: What errors call the grid.

    Yields:
        The place of the entry and one combination of its knobs.

    Raises:
        UserError: A list is empty.
    """
    for i, entry in enumerate(entries):
        axes = [_choices(key, value, f"{at}[{i}].{key}") for key, value in entry.items()]
        for combination in itertools.product(*axes):
            yield f"{at}[{i}]", dict(zip(entry, combination, strict=True))


def _choices(key: str, value: Any, at: str) -> list[Any]:
    """The values to cross; a knob that is itself a list varies only as a list of lists."""
    if key == "options" and isinstance(value, Mapping):
        axes = [_choices(name, choices, f"{at}.{name}") for name, choices in value.items()]
        return [dict(zip(value, combination, strict=True)) for combination in itertools.product(*axes)]
    field = Recipe.model_fields.get(key)
    is_list = field is not None and get_origin(field.annotation) is tuple
    if not isinstance(value, list) or (is_list and not any(isinstance(v, list) for v in value)):
        return [value]
    if not value:
        raise UserError(f"{at}: [] is empty; expected at least one value")
    return value


def build_recipe(values: Mapping[str, Any], at: str, own: Mapping[str, Any]) -> Recipe:
    """Make a recipe, and say where a mistake lies.

    Args:
        values: All knobs.
        at: The place of the entry that gave ``own``.
        own: Those of the entry; a mistake in any other is blamed on ``training``.

    Returns:
        The recipe.

    Raises:
        UserError: A knob that cannot be had.
    """
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        location = error.errors()[0]["loc"]
        blamed = at if not location or location[0] in own else "training"
        raise explain(error, Recipe, blamed) from None


def _known(kind: str, name: str, registry: Iterable[str]) -> None:
    """Refuses a name that is neither registered nor an import string."""
    if name not in registry and ":" not in name:
        raise UserError(f"{kind}: {name!r} is not known; {nearest(name, registry)}")


def read(source: str | Path) -> dict[str, Any]:
    """Read the raw mapping of a spec.

    Args:
        source: A path, or the name of a shipped spec.

    Returns:
        The mapping, not yet checked.

    Raises:
        UserError: There is no such file or shipped spec, or it is not valid YAML.
    """
    try:
        path = Path(source).expanduser()
        path.is_file()  # a name may be too long
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"spec {short(str(source))}: {first_line(error)}") from error
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise UserError(f"spec {str(source)!r}: there is no such file")
        return parse(read_text(path), str(source))
    if str(source) in shipped():
        return parse((SHIPPED / f"{source}.yaml").read_text(), str(source))
    raise UserError(f"spec {str(source)!r} is neither a file nor shipped; {nearest(str(source), shipped())}")


def shipped() -> list[str]:
    """Names of the specs that come with the package."""
    return sorted(p.name.removesuffix(".yaml") for p in SHIPPED.iterdir() if p.name.endswith(".yaml"))
