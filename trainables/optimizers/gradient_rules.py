"""Gradient rules: what sgd, sam and its family hand to the base optimizer. One function each.

``params`` and gradients are ``{name: tensor[K, ...]}``: K replicas stacked, each with its own norms. A tensor
with two or more dimensions a replica counts as weights, the rest are biases and norm parameters. Throughout,
g(w) is the batch gradient at w of one replica, u = g / ||g|| with the L2 norm over all its parameters, and
g_s = g(w + rho u), ``rho`` > 0 in units of the parameters' norm, 0.01 to 0.5 unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from math import inf
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor

from trainables.errors import UserError
from trainables.optimizers.noise import DRAWS, fill
from trainables.recipe import Recipe

Params = dict[str, Tensor]
State = dict[str, Tensor]
GradFn = Callable[[Params], Params]
T = TypeVar("T")

# Finite-difference step of the gradient penalty (Zhao et al. 2022, section 4.1).
PENALTY_STEP = 0.05
TINY = 1e-12


class Batch(Protocol):
    """What a gradient function must also offer to ``esam`` and to ``sam`` with ``m``.

    Other rules only call it. BatchNorm's running statistics may move at the first evaluation of a step, and
    at no later one.
    """

    size: int

    def __call__(self, params: Params) -> Params:
        """Return mean gradient over the examples; clipped example by example where the recipe is private."""

    def losses(self, params: Params) -> Tensor:
        """Loss of every example ``[K, size]``."""

    def select(self, index: Tensor) -> Batch:
        """Return the batch of the examples ``index[K, b]`` of this one."""


class CannotCapture(Exception):
    """Why a step cannot be captured; it runs as it is."""


def given(knob: T | None) -> T:
    """Return a knob that the recipe must have: the registry says that the optimizer needs it."""
    assert knob is not None
    return knob


@dataclass
class Step:
    """One step as a gradient rule sees it.

    Args:
        params: The parameters ``{name: tensor[K, ...]}``.
        batch: The batch's mean gradient at any parameters.
        state: What the rule and the base optimizer keep between steps.
        recipe: Its knobs, each with its type.
        private: Whether every gradient is clipped example by example and noised.
        passes: Gradients of a step that a private rule may take: what its privacy is accounted for.
        ahead: Random tensors drawn before the step, by the number of the draw; None draws them in it.
        phased: Whether the registry says which steps differ; only then may a captured step ask its number.
    """

    params: Params
    batch: GradFn
    state: State
    recipe: Recipe
    private: bool = False
    ahead: Callable[..., Params] | None = None
    phased: bool = True
    passes: float = inf
    draws: int = 0
    released: int = 0

    @property
    def number(self) -> int:
        """Steps taken before this one."""
        if not self.phased:
            raise CannotCapture("the optimizer's rule asks for the number of its step and has no phase")
        return int(self.state["step"])

    def memory(self, slot: str) -> Params:
        """Tensors that the rule keeps between steps, one a parameter."""
        return {name: self.state[f"{slot}/{name}"] for name in self.params}

    def gradient(self, at: Params | None = None, batch: GradFn | None = None) -> Params:
        """g(at), by default at the parameters; of the penalised loss where the recipe has ``grad_reg``.

        ``grad_reg`` lambda: the loss becomes L + lambda ||g||, whose gradient is taken as (1-a) g(w) + a g(w
        + r u), a = lambda / r, r = 0.05 (Zhao et al. 2022, equation 7). lambda in units of loss per gradient
        norm, 0.01 to 0.5.

        Args:
            at: The parameters to take it at.
            batch: Another batch than the step's, as a part of it.
        """
        at, batch, r = at or self.params, batch or self.batch, self.recipe
        g = batch(at)
        if self.private:
            self.released += 1
            if self.released > self.passes:
                raise UserError(
                    f"optimizer {r.optimizer!r}: its rule takes {self.released} gradients in a step, and "
                    f"privacy is accounted for {self.passes:g}; expected that many, or a higher 'passes'"
                )
            g = self.noised(g, given(r.noise_multiplier) * given(r.clip) / r.batch_size)
        if not r.grad_reg:
            return g
        ahead = batch(climb(at, g, PENALTY_STEP))
        return {name: torch.lerp(g[name], ahead[name], r.grad_reg / PENALTY_STEP) for name in g}

    def noised(self, g: Params, std: float) -> Params:
        """Add independent normal noise of this standard deviation to the gradient."""
        return {name: noise.add_(g[name]) for name, noise in self.drawn("normal_", 0.0, std).items()}

    def drawn(self, law: str, *parameters: float) -> Params:
        """Random tensors like the parameters; a replica's depend on its own seed and the step alone."""
        draw = self.draws
        self.draws += 1
        if draw >= DRAWS:
            raise UserError(
                f"optimizer {self.recipe.optimizer!r}: a step draws random tensors {self.draws} times; "
                f"expected at most {DRAWS}"
            )
        if self.ahead is not None:
            return self.ahead(draw, law, *parameters)
        out = {name: torch.empty_like(p) for name, p in self.params.items()}
        fill(out, self.state["seeds"].tolist(), int(self.state["step"]) * DRAWS + draw, law, *parameters)
        return out


def dot(a: Params, b: Params) -> Tensor:
    """Inner product of each replica: ``[K]``."""
    parts: Iterator[Tensor] = (torch.linalg.vecdot(a[n].flatten(1), b[n].flatten(1)) for n in a)
    return reduce(torch.add, parts)


def norm(a: Params) -> Tensor:
    """L2 norm of each replica over all its parameters: ``[K]``."""
    parts = [torch.linalg.vector_norm(t.flatten(1), dim=1) for t in a.values()]
    whole: Tensor = parts[0] if len(parts) == 1 else torch.linalg.vector_norm(torch.stack(parts), dim=0)
    return whole


def plus(a: Params, scale: Tensor | float, b: Params) -> Params:
    """Add: a + scale b, with one scale for all replicas or one a replica ``[K]``."""
    if isinstance(scale, Tensor):
        return {n: torch.addcmul(t, b[n], scale.view(-1, *[1] * (t.ndim - 1))) for n, t in a.items()}
    return {n: torch.add(t, b[n], alpha=scale) for n, t in a.items()}


def climb(params: Params, direction: Params, radius: float) -> Params:
    """Take a step of a given length: w + radius d / ||d||; where d is 0, w."""
    return plus(params, radius / norm(direction).clamp_min(TINY), direction)


def sgd(step: Step) -> Params:
    """SGD: g(w). With ``base: sgd`` this is SGD with momentum."""
    return step.gradient()


def sam(step: Step) -> Params:
    """SAM: g(w + rho u), Foret et al. 2021, equation 3 and algorithm 1.

    ``m``: perturb for micro-batches of m examples each and average the gradients (m-sharpness, section 4.1);
    by default the whole batch. BatchNorm's running statistics and the loss that is recorded are then those of
    a step's first micro-batch.
    """
    if step.recipe.m is None:
        return step.gradient(climb(step.params, step.gradient(), given(step.recipe.rho)))
    batch = _selectable(step.batch, "sam with m")
    replicas = len(step.state["seeds"])
    device = next(iter(step.params.values())).device
    out: Params | None = None
    for index in torch.arange(batch.size, device=device).split(step.recipe.m):
        part = batch.select(index.expand(replicas, -1))
        g = step.gradient(climb(step.params, step.gradient(batch=part), given(step.recipe.rho)), part)
        share = len(index) / batch.size
        out = {n: t * share for n, t in g.items()} if out is None else plus(out, share, g)
    return cast(Params, out)


def asam(step: Step) -> Params:
    """ASAM: g(w + rho T^2 g / ||T g||), T = |w| + eta for weights and 1 for biases and norms.

    Adaptive SAM: Kwon et al. 2021, equation 8. ``rho`` 0.1 to 2, relative to the weights' own size; ``eta``
    >= 0 (default 0.01) in units of a weight.
    """
    g = step.gradient()
    scale = {n: w.abs().add_(given(step.recipe.eta)) for n, w in step.params.items() if w.ndim > 2}
    scaled = {n: t * scale[n] if n in scale else t for n, t in g.items()}
    length = norm(scaled).clamp_min(TINY)
    direction = {n: t.mul_(scale[n]) if n in scale else t for n, t in scaled.items()}
    return step.gradient(plus(step.params, given(step.recipe.rho) / length, direction))


def gsam(step: Step) -> Params:
    """GSAM: g_s - alpha (g - (g.g_s / ||g_s||^2) g_s).

    Surrogate gap guided SAM: Zhuang et al. 2022, section 4 and algorithm 1, with a constant rho. The part of
    g orthogonal to g_s shrinks the surrogate gap. ``alpha`` >= 0 (default 0.4), no unit.
    """
    g = step.gradient()
    g_s = step.gradient(climb(step.params, g, given(step.recipe.rho)))
    parallel = dot(g, g_s) / dot(g_s, g_s).clamp_min(TINY**2)
    return plus(plus(g_s, -given(step.recipe.alpha), g), given(step.recipe.alpha) * parallel, g_s)


def looksam(step: Step) -> Params:
    """LookSAM: every k-th step g_s, keeping v = g_s - (g_s.u) u; in between g + alpha (||g|| / ||v||) v.

    Liu et al. 2022, section 3.2 and algorithm 1. ``k`` >= 1 steps (default 5), ``alpha`` >= 0 (default 0.7),
    no unit.
    """
    g = step.gradient()
    v = step.memory("v")
    if step.number % given(step.recipe.k):
        return plus(g, given(step.recipe.alpha) * norm(g) / norm(v).clamp_min(TINY), v)
    g_s = step.gradient(climb(step.params, g, given(step.recipe.rho)))
    along = dot(g_s, g) / dot(g, g).clamp_min(TINY**2)
    for name, t in plus(g_s, -along, g).items():
        v[name].copy_(t)
    return g_s


def fsam(step: Step) -> Params:
    """FSAM: g(w + rho d / ||d||), d = g - sigma e, then e <- lmbda e + (1 - lmbda) g.

    Friendly SAM: Li et al. 2024, section 4 and algorithm 1, order of updates as in the authors' code. The
    first step is SAM's, with e = g. ``sigma`` >= 0 (default 1) and ``lmbda`` in 0..1 (default 0.9), no unit:
    e estimates the full-data gradient, which d leaves out.
    """
    g = step.gradient()
    e = step.memory("e")
    direction = plus(g, -given(step.recipe.sigma), e) if step.number else g
    for name, t in e.items():
        t.lerp_(g[name], 1 - given(step.recipe.lmbda) if step.number else 1.0)
    return step.gradient(climb(step.params, direction, given(step.recipe.rho)))


def esam(step: Step) -> Params:
    """ESAM: gradient at w + rho (b / beta) u on the share gamma of the batch whose loss rises most.

    Efficient SAM: Du et al. 2022, sections 3.1 (stochastic weight perturbation, a draw b ~ Bernoulli(beta)
    for every parameter) and 3.2 (sharpness-sensitive data selection). ``beta`` and ``gamma`` in (0, 1]
    (default 0.5); both 1 is SAM.
    """
    g = step.gradient()
    chosen = g
    if given(step.recipe.beta) < 1:
        chosen = {n: b.mul_(g[n]) for n, b in step.drawn("bernoulli_", given(step.recipe.beta)).items()}
    radius = given(step.recipe.rho) / given(step.recipe.beta)
    ahead = plus(step.params, radius / norm(g).clamp_min(TINY), chosen)
    if given(step.recipe.gamma) == 1:
        return step.gradient(ahead)
    batch = _selectable(step.batch, "esam with gamma below 1")
    rise = batch.losses(ahead) - batch.losses(step.params)
    index = rise.topk(max(1, round(given(step.recipe.gamma) * batch.size)), dim=1).indices
    return step.gradient(ahead, batch.select(index))


def _selectable(batch: GradFn, what: str) -> Batch:
    if not hasattr(batch, "select"):
        raise UserError(
            f"optimizer: {what} needs a grad_fn with 'size', 'losses' and 'select' (gradient_rules.Batch)"
        )
    return cast(Batch, batch)
