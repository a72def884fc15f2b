"""Update rules: a gradient rule, then gradient noise, then a base optimizer.

They compose; the gradient rules are in `trainables.optimizers.gradient_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd as momentum_sgd

from trainables.errors import UserError
from trainables.optimizers.gradient_rules import GradFn, Params, State, Step
from trainables.optimizers.registry import BASES, Optimizer, find_optimizer
from trainables.recipe import Recipe


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
        self._gradient = optimizer.rule

    @property
    def averages(self) -> bool:
        """Whether the weights to evaluate are an average, whose BatchNorm statistics must be taken anew."""
        return "average" in self.optimizer.slots

    def init(self, params: Params, seeds: Sequence[int] | None = None) -> State:
        """Make the state before the first step: plain tensors by name.

        Args:
            params: Parameters by name, each ``[K, ...]``.
            seeds: One a replica, for noise; by default 0 to K-1.
        """
        replicas = len(next(iter(params.values())))
        state = {"step": torch.tensor(0), "seeds": torch.tensor(list(seeds or range(replicas)))}
        if self.averages:
            state["averaged"] = torch.tensor(0)
        for slot in (*BASES[self.recipe.base], *self.optimizer.slots):
            for name, p in params.items():
                shape = () if slot == "steps" else p.shape
                dtype = torch.float32 if slot == "steps" else p.dtype
                state[f"{slot}/{name}"] = torch.zeros(shape, dtype=dtype, device=p.device)
        return state

    def step(
        self, params: Params, state: State, grad_fn: GradFn, *, lr: float | Tensor
    ) -> tuple[Params, State]:
        """Take one step; the arguments are left as they are.

        Args:
            params: Parameters by name, each ``[K, ...]``.
            state: What `init` or the last step gave.
            grad_fn: Parameters -> the batch gradient of each replica, by the same names.
            lr: The learning rate.

        Returns:
            The parameters and the state after the step.
        """
        params = {name: p.clone(memory_format=torch.contiguous_format) for name, p in params.items()}
        state = {name: t.clone() for name, t in state.items()}
        self.step_(params, state, grad_fn, lr=lr)
        return params, state

    @torch.no_grad()
    def step_(self, params: Params, state: State, grad_fn: GradFn, *, lr: float | Tensor) -> None:
        """Take one step in place; ``params`` are contiguous."""
        self.move(params, state, grad_fn, lr=lr)
        state["step"] += 1

    def phase(self, number: int) -> Any:
        """Return what the number of a step changes in the rule; None where it changes nothing."""
        return self.optimizer.phase(self.recipe, number) if self.optimizer.phase else None

    @torch.no_grad()
    def move(
        self,
        params: Params,
        state: State,
        grad_fn: GradFn,
        *,
        lr: float | Tensor,
        ahead: Callable[..., Params] | None = None,
        captured: bool = False,
    ) -> None:
        """Do the part of a step that happens on the device; the host counts it afterwards.

        Args:
            params: Contiguous, changed in place.
            state: Changed in place, but for its count of steps.
            grad_fn: The batch.
            lr: The learning rate.
            ahead: Random tensors drawn before the step; None draws them in it.
            captured: Whether the step is replayed for other steps of its phase.
        """
        phased = not captured or self.optimizer.phase is not None
        private, passes = self.optimizer.private, self.optimizer.passes
        step = Step(params, grad_fn, state, self.recipe, private, ahead, phased, passes)
        g = self._gradient(step)
        if self.recipe.noise:
            size = sum(p[0].numel() for p in params.values())
            g = step.noised(g, self.recipe.noise / size**0.5)
        self._descend(step, g, lr)

    def _descend(self, step: Step, g: Params, lr: float | Tensor) -> None:
        """Take the base optimizer's step. ``sgd``: b <- momentum b + (g + weight_decay w), w <- w - lr b.

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
        """End an epoch; ``done`` is the share of the epochs that are over.

        ``swa``: from the share ``swa_start`` (default 0.75) on, the epochs' last weights are averaged:
        Izmailov et al. 2018, section 3.2. Pair it with ``schedule: constant``: under a schedule that ends at
        0 there is little to average.
        """
        if self.recipe.swa_start is not None and done > self.recipe.swa_start:
            count = state["averaged"].add_(1)
            for name, p in params.items():
                state[f"average/{name}"].lerp_(p, 1 / int(count))

    def final(self, params: Params, state: State) -> Params:
        """Return the weights to evaluate: the average where the rule keeps one, else the last."""
        if not self.averages or not state["averaged"]:
            return params
        return {name: state[f"average/{name}"] for name in params}


def update_rule(recipe: Recipe) -> UpdateRule:
    """Make the update rule that a recipe describes.

    Args:
        recipe: Its optimizer, base, noise and penalty are used.

    Returns:
        The rule: ``state = rule.init(params)``, then ``params, state = rule.step(params, state, grad_fn,
        lr=...)`` with ``params = {name: tensor[K, ...]}`` of K replicas.

    Raises:
        UserError: A private recipe gives ``target_epsilon``, whose noise depends on the data's size; see
            ``privacy.make_definite``.
    """
    optimizer = find_optimizer(recipe.optimizer)
    if optimizer.private and recipe.noise_multiplier is None:
        raise UserError(
            f"optimizer {recipe.optimizer!r}: privacy.make_definite(recipe, ...) first finds noise_multiplier"
        )
    return UpdateRule(recipe, optimizer)
