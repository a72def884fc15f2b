"""The parts of a spec: which subsets, what a trial asks for, how to audit, what to search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sweep.spec.explaining import explain
from sweep.spec.grid import choices
from trainables.data.subsets import Subsets
from trainables.errors import UserError
from trainables.section import Section


def _some(value: Any) -> Any:
    if value == []:
        raise ValueError("is empty; expected at least one attack, or no such key for those of every audit")
    return value


def _gpu(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value == "auto" or (number and (0 <= value <= 1 or (value > 1 and float(value).is_integer()))):
        return value
    raise ValueError("expected 'auto', a fraction up to 1, or a whole number")


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
    """Return the values to check a knob's space with: its ends, its choices or its one value."""
    if isinstance(value, Mapping) and at.endswith(".options"):
        spans = {key: _span(inner, f"{at}.{key}") for key, inner in value.items()}
        return [{key: values[end] for key, values in spans.items()} for end in (0, -1)]
    if isinstance(value, Mapping):
        try:
            span = Span.model_validate(value)
        except ValidationError as error:
            raise explain(error, Span, at) from None
        return [span.low, span.high]
    return choices(at.rpartition(".")[2], value, at)


class SearchSpec(Section):
    """Recipes found rather than listed: accuracy against LiRA advantage, by Optuna's multi-objective sampler.

    ``space`` is like ``grid``: entries of knobs, each with a fixed value, a list of choices or a span
    ``{low, high, log}``. ``recipes`` of them are drawn, ``batch`` at a time, and trained with the first
    number of ``replicas``; the better share ``keep`` goes on to the next number. Meanwhile recipes train on
    subset seeds that come after the sweep's own. The non-dominated recipes are then trained again, on the
    sweep's own seeds, and reported with the grid.
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
