"""A recipe: one point of the grid, validated, hashable and addressed by its content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from trainables.labels import label
from trainables.optimizers.registry import find_optimizer, is_own, users
from trainables.records import content_id
from trainables.section import Section


class Recipe(Section):
    """Everything about training that a user may vary. Unset knobs are None; 0 and None mean "not used".

    ``optimizer`` is a name of the registry, or an import string of a gradient rule of your own, whose knobs
    are ``options``. ``lr`` is the peak of the schedule, ``epochs`` count passes over a replica's own members,
    ``warmup`` is a share of the epochs. Which optimizer takes which knob, and in what unit, is said in
    `trainables.optimizers`.

    Defences: ``grad_reg`` penalises the gradient's norm (``gradient_rules.Step.gradient``). ``noise`` sigma
    adds N(0, sigma^2/d I) to the final gradient of d parameters, so its expected norm is about sigma; that is
    noise injection, not differential privacy, which ``dpsgd`` and ``dpsam`` are. ``label_smoothing``,
    ``mixup``, ``confidence_penalty`` and ``relaxloss`` change the loss (``losses``). ``early_stopping`` ends
    training after that share of the epochs, under the schedule of all of them (Song and Mittal 2021, section
    5.4).

    >>> Recipe(optimizer="sam", rho=0.1).label
    'sam rho=0.1'
    """

    optimizer: str = "sgd"
    options: dict[str, Any] = Field(default={})
    base: Literal["sgd", "adamw"] = "sgd"
    epochs: int = Field(default=40, ge=1)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    augment: tuple[str, ...] = ()
    precision: Literal["float32", "bfloat16"] = "float32"

    rho: float | None = Field(default=None, gt=0)
    eta: float | None = Field(default=None, ge=0)
    alpha: float | None = Field(default=None, ge=0)
    k: int | None = Field(default=None, ge=1)
    sigma: float | None = Field(default=None, ge=0)
    lmbda: float | None = Field(default=None, ge=0, le=1)
    beta: float | None = Field(default=None, gt=0, le=1)
    gamma: float | None = Field(default=None, gt=0, le=1)
    m: int | None = Field(default=None, ge=1)
    swa_start: float | None = Field(default=None, ge=0, lt=1)

    grad_reg: float = Field(default=0.0, ge=0)
    noise: float = Field(default=0.0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0)
    confidence_penalty: float = Field(default=0.0, ge=0)
    relaxloss: float = Field(default=0.0, ge=0)
    early_stopping: float = Field(default=0.0, ge=0, lt=1)

    clip: float | None = Field(default=None, gt=0)
    noise_multiplier: float | None = Field(default=None, gt=0)
    target_epsilon: float | None = Field(default=None, gt=0)
    delta: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _knobs_belong_to_the_optimizer(cls, values: Any) -> Any:
        """Fill the optimizer's own defaults; refuse knobs that it would ignore and lacks that it needs."""
        if not isinstance(values, Mapping):
            return values
        name = values.get("optimizer", "sgd")
        optimizer = find_optimizer(str(name))
        given = {key for key, value in values.items() if value is not None}
        missing = sorted(optimizer.needs - given)
        if missing:
            raise ValueError(f"optimizer {name!r} needs {', '.join(missing)}")
        own = optimizer.needs | optimizer.takes.keys()
        foreign = sorted(knob for knob in given - own if users(knob))
        if foreign:
            hint = f"it belongs to {', '.join(users(foreign[0]))}"
            if is_own(str(name)):
                hint = f"write it as options: {{{foreign[0]}: ...}}"
            raise ValueError(f"optimizer {name!r} has no knob {foreign[0]!r}; {hint}")
        if values.get("options") and not is_own(str(name)):
            raise ValueError(f"options are for an optimizer of your own; {name!r} takes {_listed(own)}")
        defaults = {knob: value for knob, value in optimizer.takes.items() if knob not in given}
        return {**values, **defaults}

    @field_validator("augment")
    @classmethod
    def _augmentations_are_a_set(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            from trainables.data.augmentation import Augmentation

            Augmentation.of(value)
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _knobs_agree(self) -> Recipe:
        if self.nesterov and (self.base != "sgd" or not self.momentum):
            raise ValueError("nesterov needs base 'sgd' and a momentum above 0")
        if self.swa_start is not None and 0 < self.early_stopping <= self.swa_start:
            raise ValueError(
                f"early_stopping {self.early_stopping:g} ends before swa_start {self.swa_start:g}"
            )
        if find_optimizer(self.optimizer).private:
            self._is_private()
        return self

    def _is_private(self) -> None:
        if (self.noise_multiplier is None) == (self.target_epsilon is None):
            raise ValueError(f"optimizer {self.optimizer!r} needs either noise_multiplier or target_epsilon")
        for knob in ("grad_reg", "mixup", "relaxloss"):
            if getattr(self, knob):
                raise ValueError(
                    f"{knob} does not go with optimizer {self.optimizer!r}: it mixes the examples of a batch "
                    "or takes gradients that the privacy accounting does not count"
                )

    @property
    def knobs(self) -> dict[str, Any]:
        """The canonical content, as JSON values: ``Recipe(**knobs)`` is the recipe.

        A knob that is absent is 0, off or none.
        """
        values = self.model_dump(mode="json")
        # A knob whose default is not 0 says its 0 aloud; leaving out the others keeps ids when knobs are
        # added.
        on = {name for name, field in type(self).model_fields.items() if field.default}
        on |= {name for name, default in find_optimizer(self.optimizer).takes.items() if default}
        return {name: value for name, value in values.items() if value or (name in on and value is not None)}

    @property
    def recipe_id(self) -> str:
        """Ten hexadecimal digits; equal for recipes that train alike, stable when new knobs are added."""
        return content_id(self.knobs)

    @property
    def label(self) -> str:
        """The recipe's name for people, as ``"sam rho=0.1"``."""
        return label(self.knobs)

    def __hash__(self) -> int:
        return hash(self.recipe_id)


def _listed(knobs: Iterable[str]) -> str:
    return ", ".join(sorted(knobs)) or "no knobs of its own"
