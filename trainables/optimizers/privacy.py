"""Differential privacy: the noise that a privacy budget asks for, and the budget that training has spent."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from math import inf, sqrt

from torch import nn

from trainables.errors import UserError
from trainables.optimizers.registry import find_optimizer
from trainables.recipe import Recipe

# Least noise that the search for a target epsilon may end at; it corresponds to no privacy worth the name.
LEAST_NOISE = 0.1


@dataclass(frozen=True)
class Guarantee:
    """(epsilon, delta) for adding or removing one training example. Infinite and 0: none was given."""

    epsilon: float = inf
    delta: float = 0.0


def make_definite(recipe: Recipe, size: int, steps: int) -> tuple[Recipe, Guarantee]:
    """Work out the noise and batch size of a private recipe, and the guarantee that training then has.

    Every example is in a batch with probability ``batch_size / size``, independently (Poisson sampling).
    Every gradient is a sum of per-example gradients clipped to ``clip``, plus N(0, (noise_multiplier clip)^2
    I), over the expected batch size (Abadi et al. 2016, algorithm 1).

    ``dpsam`` releases two such gradients of one batch a step, the second at a point that depends on the
    first. Adaptive Gaussian releases with multiplier z compose exactly to one with z / sqrt(2) (Dong et al.
    2022, corollary 3.3), and Poisson sampling amplifies that composition as it does one release (Zhu et al.
    2022, theorem 11), so a step is accounted as a Poisson-sampled Gaussian mechanism with z / sqrt(2).

    epsilon is Opacus' Renyi accountant's: an upper bound. It covers one replica's training on its own subset;
    it does not cover the choice of hyper-parameters, nor the statistics of the training set that inputs are
    scaled, filled or coded by. Noise comes from PyTorch's ordinary generator, which is not made for secrets.

    Args:
        recipe: Any recipe; one that is not private comes back as it is, with no guarantee.
        size: A replica's training examples.
        steps: Batches in the whole run.

    Returns:
        The recipe with ``noise_multiplier`` and ``batch_size`` made definite, and its guarantee.

    Raises:
        UserError: A ``target_epsilon`` that no noise reaches.

    >>> recipe = Recipe(optimizer="dpsgd", clip=1, noise_multiplier=1.1, batch_size=600)
    >>> round(make_definite(recipe, 60_000, 10_000)[1].epsilon, 2)
    5.63
    """
    if not find_optimizer(recipe.optimizer).private:
        return recipe, Guarantee()
    batch_size, delta = min(recipe.batch_size, size), recipe.delta or 0.0
    rate = batch_size / size
    releases = sqrt(find_optimizer(recipe.optimizer).passes)
    noise = recipe.noise_multiplier or releases * _noise_for(recipe.target_epsilon or inf, delta, rate, steps)
    definite = recipe.model_copy(update={"batch_size": batch_size, "noise_multiplier": noise})
    return definite, Guarantee(epsilon(noise / releases, rate, steps, delta), delta)


@cache
def epsilon(noise: float, rate: float, steps: int, delta: float) -> float:
    """Return the epsilon that Poisson-sampled Gaussian mechanisms spend: Opacus' upper bound.

    Args:
        noise: The noise multiplier.
        rate: The probability of an example to be in a batch, in 0..1.
        steps: Batches in the whole run.
        delta: At which epsilon is read, above 0 and below 1.
    """
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise, rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # "optimal order is the largest alpha": still a valid bound
        return float(accountant.get_epsilon(delta=delta))


@cache
def _noise_for(target: float, delta: float, rate: float, steps: int) -> float:
    """Find the least noise multiplier, to one part in a thousand, whose epsilon keeps the target."""
    low, high = LEAST_NOISE, 1.0
    while epsilon(high, rate, steps, delta) > target:
        low, high = high, high * 2
        if high > 1e6:
            raise UserError(
                f"target_epsilon {target:g} cannot be had at delta {delta:g}; expected a larger one"
            )
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if epsilon(middle, rate, steps, delta) <= target else (middle, high)
    return high


def check_model(recipe: Recipe, module: nn.Module) -> None:
    """Refuse BatchNorm under differential privacy.

    Raises:
        UserError: names the layer, the reason and the remedy.
    """
    if not find_optimizer(recipe.optimizer).private:
        return
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            raise UserError(
                f"model: layer {name!r} is {type(layer).__name__}, through which every example of a batch "
                f"changes all gradients, so {recipe.optimizer} cannot be private; use norm: group"
            )
