"""Subset seed -> which examples a replica trains on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trainables.section import Section
from trainables.seeding import stream


class Subsets(Section):
    """How subset seeds draw training subsets.

    ``half``: seeds 2k and 2k+1 draw complementary halves, so every example is IN for exactly half of the
    replicas (Carlini et al. 2022, section IV). ``fraction``: independent uniform subsets of that share of the
    examples (Feldman and Zhang 2020, section 2). ``canaries``: all examples but the data set's canaries, each
    of which a fair coin of its own lets in (Steinke, Nasr and Jagielski 2023).
    """

    scheme: Literal["half", "fraction", "canaries"] = "half"
    fraction: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _fraction_belongs_to_its_scheme(self) -> Subsets:
        if self.scheme == "fraction" and self.fraction is None:
            raise ValueError("scheme 'fraction' needs 'fraction', a number between 0 and 1")
        if self.scheme != "fraction" and self.fraction is not None:
            raise ValueError(f"'fraction' belongs to scheme 'fraction', not to '{self.scheme}'")
        return self

    def size(self, n: int, canaries: int = 0) -> int:
        """Return examples that a replica sees in one epoch, the same number for all replicas.

        For odd n the larger half leaves one out an epoch. With ``canaries`` it is the mean number: a replica
        with more of them leaves as many out an epoch, one with fewer sees some twice, drawn anew each time.

        Args:
            n: Training examples.
            canaries: How many of them are canaries.
        """
        if self.scheme == "canaries":
            return n - canaries + canaries // 2
        return n // 2 if self.fraction is None else max(1, round(self.fraction * n))


def draw_members(
    subsets: Subsets,
    seeds: Sequence[int],
    n: int,
    sweep_seed: int = 0,
    canaries: Sequence[int] | NDArray[np.integer[Any]] = (),
) -> NDArray[np.bool_]:
    """Draw the membership masks of subset seeds.

    Args:
        subsets: The scheme.
        seeds: K subset seeds, at least 0.
        n: Examples to draw from.
        sweep_seed: What all random streams start from.
        canaries: Which examples are canaries; only scheme ``canaries`` asks.

    Returns:
        bool ``[K, n]``: True where the replica of a seed trains on an example.

    >>> draw_members(Subsets(), [0, 1], 6).sum(axis=0)  # complementary halves
    array([1, 1, 1, 1, 1, 1])
    """
    return np.stack([_mask(subsets, int(seed), n, sweep_seed, np.asarray(canaries)) for seed in seeds])


def _mask(
    subsets: Subsets, seed: int, n: int, sweep_seed: int, canaries: NDArray[np.integer[Any]]
) -> NDArray[np.bool_]:
    if subsets.scheme == "canaries":
        mask = np.ones(n, dtype=bool)
        mask[canaries.astype(np.intp)] = stream(sweep_seed, seed, "canaries").random(len(canaries)) < 0.5
        return mask
    mask = np.zeros(n, dtype=bool)
    if subsets.scheme == "half":
        mask[stream(sweep_seed, seed // 2, "half").permutation(n)[: n // 2]] = True
        return ~mask if seed % 2 else mask
    mask[stream(sweep_seed, seed, "fraction").permutation(n)[: subsets.size(n)]] = True
    return mask
