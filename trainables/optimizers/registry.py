"""The optimizers by name, and what a recipe may set for each. Needs no torch, so that a spec is read at once.

A new optimizer is one function in `trainables.optimizers.gradient_rules` and one line here. One of your own
needs neither: ``optimizer: package.module:rule`` in a spec, with its knobs under ``options``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from trainables.errors import UserError
from trainables.registry import import_string, registered

RULES = "trainables.optimizers.gradient_rules"


@dataclass(frozen=True)
class Optimizer:
    """What the engine must know of an optimizer.

    Args:
        gradient: The gradient rule ``(step) -> {name: tensor[K, ...]}``, or its name in ``gradient_rules``.
        needs: Knobs that a recipe must give.
        takes: The optimizer's other knobs, with their defaults.
        passes: Gradient evaluations a step at the defaults; how long a step takes is estimated from it.
        slots: Names of the tensors that the rule keeps between steps, one a parameter.
        private: Whether the gradient is clipped example by example and noised at every evaluation.
        sharpness_aware: Whether it seeks flat minima.
        phase: What ``(recipe, number)`` a step's number changes in the rule. Steps of one phase are captured
            as one CUDA graph; a rule that asks for ``step.number`` and has no phase is not captured.
    """

    gradient: str | Callable[[Any], Any]
    needs: frozenset[str] = frozenset()
    takes: Mapping[str, Any] = field(default_factory=dict)
    passes: float = 2.0
    slots: Sequence[str] = ()
    private: bool = False
    sharpness_aware: bool = False
    phase: Callable[[Any, int], Any] | None = None

    @property
    def rule(self) -> Callable[[Any], Any]:
        """The gradient rule as a function."""
        if callable(self.gradient):
            return self.gradient
        found: Callable[[Any], Any] = getattr(import_module(RULES), self.gradient)
        return found


def _every_k(recipe: Any, number: int) -> bool:
    return number % int(recipe.k) == 0


def _first(_: Any, number: int) -> bool:
    return number == 0


RHO = frozenset({"rho"})
BUDGET = {"noise_multiplier": None, "target_epsilon": None, "delta": 1e-5}

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer("sgd", passes=1),
    "sam": Optimizer("sam", RHO, {"m": None}, sharpness_aware=True),
    "asam": Optimizer("asam", RHO, {"eta": 0.01}, sharpness_aware=True),
    "gsam": Optimizer("gsam", RHO, {"alpha": 0.4}, sharpness_aware=True),
    "looksam": Optimizer(
        "looksam", RHO, {"k": 5, "alpha": 0.7}, 1.2, ["v"], sharpness_aware=True, phase=_every_k
    ),
    "fsam": Optimizer(
        "fsam", RHO, {"sigma": 1.0, "lmbda": 0.9}, slots=["e"], sharpness_aware=True, phase=_first
    ),
    "esam": Optimizer("esam", RHO, {"beta": 0.5, "gamma": 0.5}, sharpness_aware=True),
    "swa": Optimizer("sgd", takes={"swa_start": 0.75}, passes=1, slots=["average"]),
    "dpsgd": Optimizer("sgd", frozenset({"clip"}), BUDGET, passes=1, private=True),
    "dpsam": Optimizer("sam", RHO | {"clip"}, BUDGET, private=True, sharpness_aware=True),
}

# What each base optimizer keeps between steps.
BASES = {"sgd": ("momentum",), "adamw": ("momentum", "square", "steps")}


def find_optimizer(name: str) -> Optimizer:
    """Return the optimizer called ``name``, or the one that an import string names.

    Args:
        name: A key of ``OPTIMIZERS``, or ``package.module:attribute`` where the attribute is a gradient rule,
            or an `Optimizer` for a rule that keeps ``slots`` or evaluates the gradient other than twice.

    Returns:
        Its entry. Its knobs, if it is your own, are the recipe's ``options``.

    Raises:
        UserError: The name is neither known nor importable; the text says the nearest one.
    """
    if name in OPTIMIZERS or ":" not in name:
        return registered("optimizer", name, OPTIMIZERS)
    found: Any = import_string("optimizer", name)
    if isinstance(found, Optimizer):
        return found
    if not callable(found):
        raise UserError(f"optimizer {name!r} is of type {type(found).__name__}; expected a gradient rule")
    return Optimizer(found)


def is_own(name: str) -> bool:
    """Return whether the name is an import string, not a key of ``OPTIMIZERS``."""
    return name not in OPTIMIZERS and ":" in name


def users(knob: str) -> list[str]:
    """Return the optimizers that a knob belongs to; empty where every optimizer takes it."""
    return sorted(name for name, o in OPTIMIZERS.items() if knob in o.needs | o.takes.keys())
