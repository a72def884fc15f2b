"""What does not go together, said before a sweep starts and not in every trial."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import nn

from trainables.data.dataset import Dataset
from trainables.data.subsets import Subsets
from trainables.engine.networks import trained
from trainables.errors import UserError
from trainables.models import ModelSpec, complete_model, model_factory
from trainables.optimizers.privacy import Guarantee, check_model, make_definite
from trainables.optimizers.registry import find_optimizer
from trainables.optimizers.schedule import batch_sizes, epochs_run
from trainables.recipe import Recipe


def check(
    recipes: Sequence[Recipe], dataset: Dataset, model: ModelSpec, subsets: Subsets, queries: int
) -> None:
    """Refuse recipes, data and a model that do not go together.

    Tries the network on blank examples; trains nothing and needs no device.

    Raises:
        UserError: Too few examples, no such views, or a recipe or model that cannot take the data.
    """
    n, images = len(dataset.y_train), dataset.x_train.ndim == 4
    size = subsets.size(n, len(dataset.canaries))
    if subsets.scheme == "canaries" and not len(dataset.canaries):
        raise UserError(
            "subsets.scheme: 'canaries' lets the data set's canaries in by chance and there are none; "
            "expected dataset.canaries of at least 1"
        )
    if size < 1:
        raise UserError(f"dataset: {n} training example leaves none for a half; expected at least 2")
    if size == n:
        raise UserError(
            f"subsets.fraction: {subsets.fraction:g} of {n} training examples leaves no non-member to tell "
            "members from; expected a smaller share"
        )
    if queries not in (1, 2):
        raise UserError(
            f"queries {queries!r}: expected 1 (the example) or 2 (the example and its mirror image)"
        )
    if queries == 2 and not images:
        raise UserError(
            f"queries 2: dataset {dataset.name!r} is a table, and only images have a mirror image"
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module = _tried_module(model, dataset)
        for recipe in recipes:
            _check_recipe(recipe, module, dataset, complete_model(model)["name"], size)


def definite(recipe: Recipe, size: int) -> tuple[Recipe, Guarantee]:
    """Work out a recipe's privacy noise for ``size`` examples, and what that noise guarantees."""
    return make_definite(recipe, size, len(batch_sizes(size, recipe.batch_size)) * epochs_run(recipe))


def _tried_module(model: ModelSpec, dataset: Dataset) -> nn.Module:
    shape, name = dataset.x_train.shape[1:], complete_model(model)["name"]
    module = model_factory(model)(shape, dataset.num_classes)
    if not isinstance(module, nn.Module):
        raise UserError(f"model {name!r} returned {type(module).__name__}; expected a torch.nn.Module")
    if not list(trained(module)):
        raise UserError(f"model {name!r} has no parameter that requires a gradient, so nothing to train")
    logits, expected = _tried(name, module.eval(), 2, shape), (2, dataset.num_classes)
    if logits != expected:
        raise UserError(
            f"model {name!r} gives {list(logits)} for 2 examples; expected logits {list(expected)}"
        )
    return module


def _check_recipe(recipe: Recipe, module: nn.Module, dataset: Dataset, name: str, size: int) -> None:
    shape = dataset.x_train.shape[1:]
    if recipe.augment and len(shape) != 3:
        raise UserError(f"augment {list(recipe.augment)}: the data are a table; only images can be augmented")
    check_model(recipe, module)
    definite(recipe, size)
    private = find_optimizer(recipe.optimizer).private
    if private and recipe.delta and recipe.delta >= 1 / size:
        warnings.warn(
            f"recipe {recipe.label!r}: delta {recipe.delta:g} lets one of a replica's {size} examples be "
            f"given away whole; expected less than {1 / size:.1g}",
            stacklevel=2,
        )
    fewest = min(*batch_sizes(size, recipe.batch_size), recipe.m or size)
    if fewest == 1 and not private:
        _tried(name, module.train(), 1, shape)  # BatchNorm may have nothing to take deviations of


def _tried(name: str, module: nn.Module, n: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of what the network gives for ``n`` blank examples."""
    try:
        return tuple(module(torch.zeros(n, *shape)).shape)
    except (RuntimeError, ValueError, AssertionError) as error:
        what = "a batch of 1 example" if n == 1 else f"examples of {list(shape)}"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"model {name!r} cannot take {what}: {reason}") from error
