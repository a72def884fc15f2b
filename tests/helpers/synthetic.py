"""Ensembles made of given arrays, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.ensemble import Block, Ensemble
from analysis.statistics.intervals import interval, p_value
from trainables.data.subsets import Subsets, draw_members
from trainables.records import Context


def make_ensemble(recipe: dict[str, Any], replicas: int, n: int, m: int, **arrays: np.ndarray) -> Ensemble:
    """Paired halves over seeds 0 .. replicas-1; ``arrays`` are its record's, such as ``test_correct``.

    Signals may be given as ``[R, n]``; they get the axis of queries.
    """
    seeds = np.arange(replicas)
    members = draw_members(Subsets(), seeds.tolist(), n)
    values = {k: v[:, None] if v.ndim == 2 and k != "members" else v for k, v in arrays.items()}
    context = Context(dataset={"name": "synthetic"}, fingerprint="0", model={"name": "mlp"})
    name = " ".join(f"{k}={v}" if k != "optimizer" else str(v) for k, v in recipe.items())
    return Ensemble(
        recipe_id=name,
        recipe=recipe,
        label=name,
        context=context,
        blocks=[Block({"seeds": seeds, "members": members, **values}, np.arange(replicas))],
        labels_train=np.zeros(n, np.int32),
        labels_test=np.zeros(m, np.int32),
        canaries=np.zeros(0, np.int32),
    )


def losses(seed: int, replicas: int = 7, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities of the true class, ``[R, n]``, and members that they do not depend on."""
    rng = np.random.default_rng(seed)
    members = rng.random((replicas, n)) < 0.5
    return -rng.exponential(size=members.shape), members


Draws = tuple[float, np.ndarray, np.ndarray]  # of a figure: its estimate, draws without a noise, and with it


def covered_and_differing(pairs: list[list[Draws]], which: int, clusters: int) -> tuple[float, float]:
    """By simulated pairs of equal recipes: the share of intervals, from the draws ``which`` (1 or 2), that
    hold the mean of all estimates, and the share of pairs whose difference has p < 0.05."""
    truth = np.mean([estimate for pair in pairs for estimate, *_ in pair])
    ends = [interval(found[which], clusters) for pair in pairs for found in pair]
    p = [p_value(a[0] - b[0], a[which] - b[which], clusters) for a, b in pairs]
    return float(np.mean([low <= truth <= high for low, high in ends])), float(np.mean(np.array(p) < 0.05))
