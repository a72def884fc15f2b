"""Update rules: a gradient rule, then gradient noise, then a base optimizer. They compose; see
``gradients``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd as momentum_sgd

from trainables.errors import UserError
from trainables.optimizers.gradient_rules import (
    GradFn,
    Params,
    State,
    Step,
    asam,
    esam,
    fsam,
    gsam,
    looksam,
    sam,
    sgd,
)

if TYPE_CHECKING:
    from trainables.recipe import Recipe  # which itself reads the registry of optimizers


@dataclass(frozen=True)
class Optimizer:
    """A registry entry: the gradient rule and what a recipe may set for it.

    ``needs``: knobs without default. ``takes``: own knobs and their defaults. ``passes``: gradient
    evaluations a step at the defaults. ``slots``: tensors kept between steps. ``private``: the gradient is
    clipped example by example and noised at every evaluation.
    """

    gradient: Callable[[Step], Params]
    needs: frozenset[str] = frozenset()
    takes: Mapping[str, Any] = field(default_factory=dict)
    passes: float = 2.0
    slots: Sequence[str] = ()
    private: bool = False


RHO = frozenset({"rho"})
PRIVACY = {"noise_multiplier": None, "target_epsilon": None, "delta": 1e-5}

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(sgd, passes=1),
    "sam": Optimizer(sam, RHO, {"m": None}),
    "asam": Optimizer(asam, RHO, {"eta": 0.01}),
    "gsam": Optimizer(gsam, RHO, {"alpha": 0.4}),
    "looksam": Optimizer(looksam, RHO, {"k": 5, "alpha": 0.7}, passes=1.2, slots=["v"]),
    "fsam": Optimizer(fsam, RHO, {"sigma": 1.0, "lmbda": 0.9}, slots=["e"]),
    "esam": Optimizer(esam, RHO, {"beta": 0.5, "gamma": 0.5}),
    "swa": Optimizer(sgd, takes={"swa_start": 0.75}, passes=1, slots=["average"]),
    "dpsgd": Optimizer(sgd, frozenset({"clip"}), PRIVACY, passes=1, private=True),
    "dpsam": Optimizer(sam, RHO | {"clip"}, PRIVACY, private=True),
}

BASES = {"sgd": ("momentum",), "adamw": ("momentum", "square", "steps")}


class UpdateRule:
    """The composed rule of one recipe.

    >>> from trainables import Recipe
    >>> rule = update_rule(Recipe(optimizer="sam", rho=0.1, momentum=0, weight_decay=0))
    >>> params = {"w": torch.tensor([[3.0, 4.0]])}
    >>> params, state = rule.step(params, rule.init(params), lambda p: {"w": p["w"]}, lr=0.5)
    >>> params["w"]
    tensor([[1.4700, 1.9600]])
    """

    def __init__(self, recipe: Recipe, optimizer: Optimizer) -> None:
        self.recipe = recipe
        self.optimizer = optimizer

    @property
    def averages(self) -> bool:
        """Whether the weights to evaluate are an average, whose BatchNorm statistics must be taken anew."""
        return "average" in self.optimizer.slots

    def init(self, params: Params, seeds: Sequence[int] | None = None) -> State:
        """The state before the first step: plain tensors by name. ``seeds``: one a replica, for noise."""
        replicas = len(next(iter(params.values())))
        state = {"step": torch.tensor(0), "seeds": torch.tensor(list(seeds or range(replicas)))}
        for slot in (*BASES[self.recipe.base], *self.optimizer.slots):
            for name, p in params.items():
                shape = () if slot == "steps" else p.shape
                dtype = torch.float32 if slot == "steps" else p.dtype
                state[f"{slot}/{name}"] = torch.zeros(shape, dtype=dtype, device=p.device)
        return state

    def step(self, params: Params, state: State, grad_fn: GradFn, *, lr: float) -> tuple[Params, State]:
        """The parameters and the state after one step; the arguments are left as they are."""
        params = {name: p.clone(memory_format=torch.contiguous_format) for name, p in params.items()}
        state = {name: t.clone() for name, t in state.items()}
        self.step_(params, state, grad_fn, lr=lr)
        return params, state

    @torch.no_grad()
    def step_(self, params: Params, state: State, grad_fn: GradFn, *, lr: float) -> None:
        """One step in place; ``params`` are contiguous."""
        step = Step(params, grad_fn, state, self.recipe, self.optimizer.private)
        g = self.optimizer.gradient(step)
        if self.recipe.noise:
            size = sum(p[0].numel() for p in params.values())
            g = step.noised(g, self.recipe.noise / size**0.5)
        self._descend(step, g, lr)
        state["step"] += 1

    def _descend(self, step: Step, g: Params, lr: float) -> None:
        """The base optimizer. ``sgd``: b <- momentum b + (g + weight_decay w), w <- w - lr b.

        ``adamw``: momentum is beta 1, beta 2 = 0.999, epsilon = 1e-8, decoupled weight decay (Loshchilov and
        Hutter 2019, algorithm 2).
        """
        r = step.recipe
        # The fused kernels walk memory and take all tensors to be laid out alike.
        params, grads = list(step.params.values()), [g[name].contiguous() for name in step.params]
        slots: list[Any] = [list(step.memory(slot).values()) for slot in BASES[r.base]]
        common: dict[str, Any] = {"lr": lr, "weight_decay": r.weight_decay, "fused": True, "maximize": False}
        if r.base == "adamw":
            moments, squares, steps = slots
            betas: dict[str, Any] = {"beta1": r.momentum, "beta2": 0.999, "eps": 1e-8, "amsgrad": False}
            adamw(params, grads, moments, squares, [], steps, **betas, **common)
        else:
            momentum_sgd(
                params, grads, *slots, momentum=r.momentum, dampening=0.0, nesterov=r.nesterov, **common
            )

    @torch.no_grad()
    def end_epoch(self, params: Params, state: State, done: float) -> None:
        """Called after every epoch, ``done`` the share of the epochs that are over.

        ``swa``: from the share ``swa_start`` (default 0.75) on, the epochs' last weights are averaged:
        Izmailov et al. 2018, section 3.2. Pair it with ``schedule: constant``: under a schedule that ends at
        0 there is little to average.
        """
        if self.recipe.swa_start is not None and done > self.recipe.swa_start:
            count = state.setdefault("averaged", torch.tensor(0)).add_(1)
            for name, p in params.items():
                state[f"average/{name}"].lerp_(p, 1 / int(count))

    def final(self, params: Params, state: State) -> Params:
        """The weights to evaluate: the average where the rule keeps one, else the last."""
        if "averaged" not in state:
            return params
        return {name: state[f"average/{name}"] for name in params}


def update_rule(recipe: Recipe) -> UpdateRule:
    """The rule that a recipe describes.

    Raises:
        UserError: a private recipe gives ``target_epsilon``, whose noise depends on the data's size; see
            ``privacy.resolve``.
    """
    optimizer = OPTIMIZERS[recipe.optimizer]
    if optimizer.private and recipe.noise_multiplier is None:
        raise UserError(
            f"optimizer {recipe.optimizer!r}: privacy.resolve(recipe, ...) first finds its noise_multiplier"
        )
    return UpdateRule(recipe, optimizer)
