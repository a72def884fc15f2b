"""How long a replica trains, and the learning rate of each step. Needs no torch."""

from __future__ import annotations

from math import ceil, cos, pi

from trainables.recipe import Recipe

# From this batch size on, batches keep the size that was asked for and the last one takes what is left.
FULL_BATCHES = 128
# GPUs multiply matrices in tiles; sizes that are multiples of this fill them.
TILE = 8
# Fewer examples than this make no batch of their own: BatchNorm's statistics would be too rough.
FEWEST = 16


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of one step.

    Args:
        recipe: Gives ``lr``, ``warmup`` (a share of all steps) and ``schedule``.
        step: The number of the step, from 0.
        steps: Steps in all epochs of the recipe.

    Returns:
        ``lr`` times a linear rise over the warm-up, then times 1, or a fall to 0 along a line or half a
        cosine (Loshchilov and Hutter 2017).
    """
    warmup = round(recipe.warmup * steps)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    past = (step - warmup) / (steps - warmup)
    falls = {"constant": 1.0, "linear": 1 - past, "cosine": (1 + cos(pi * past)) / 2}
    return recipe.lr * falls[recipe.schedule]


def epochs_run(recipe: Recipe) -> int:
    """Epochs until training ends: early stopping leaves the schedule of all of them as it is."""
    # Rounded first, for 0.55 of 100 epochs is a little more than 55 in floating point.
    return max(1, ceil(round((recipe.early_stopping or 1) * recipe.epochs, 9)))


def batch_sizes(size: int, batch_size: int) -> list[int]:
    """Return the sizes of an epoch's batches: at most two different ones, none above ``batch_size``.

    Args:
        size: Examples of an epoch; each is in one batch.
        batch_size: The recipe's.

    Returns:
        Batches of ``batch_size`` and one of what is left, where ``batch_size`` is a multiple of 8 and at
        least 128. Batches of nearly equal size otherwise.

    >>> batch_sizes(300, 128)
    [128, 128, 44]
    >>> batch_sizes(150, 64)
    [50, 50, 50]
    """
    batch_size = min(size, batch_size)
    steps, left = ceil(size / batch_size), size % batch_size
    if batch_size >= FULL_BATCHES and batch_size % TILE == 0 and left >= FEWEST:
        return [batch_size] * (steps - 1) + [left]
    return [size // steps + (step < size % steps) for step in range(steps)]
