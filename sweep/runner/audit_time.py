"""How long the audit of a sweep will take, from two small audits that are timed here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.ensemble import Block, Ensemble
from trainables.data.subsets import Subsets, draw_members
from trainables.records import PER_REPLICA, Context

WARM_UP = (8, 100)  # loads what an audit imports
SIZES = ((16, 500), (64, 2000))  # replicas and examples of what is timed
MEASURED = "from audits of 16 x 500 and 64 x 2,000 simulated replicas x examples, timed now on this machine"


@dataclass(frozen=True)
class AuditTime:
    """Seconds of one recipe's audit on one core: ``fixed``, and ``a_score`` for each replica and example."""

    fixed: float
    a_score: float

    def of(self, replicas: int, examples: int) -> float:
        """Return the seconds of the audit of one recipe.

        Args:
            replicas: R.
            examples: Training examples.
        """
        return self.fixed + self.a_score * replicas * examples

    def of_sweep(self, recipes: int, replicas: int, examples: int, cores: int) -> float:
        """Return the seconds of all audits, recipes side by side on so many cores.

        Args:
            recipes: How many.
            replicas: R, of each.
            examples: Training examples.
            cores: How many.
        """
        return self.of(replicas, examples) * -(-recipes // max(cores, 1))


def time_audits(options: Mapping[str, Any]) -> AuditTime:
    """Time audits of simulated ensembles.

    Args:
        options: Those of `analysis.audit`, which the sweep's audit will have.

    Returns:
        The line through both times; its slope and its height are at least 0.
    """
    _seconds(WARM_UP, options)
    scores = [float(replicas * examples) for replicas, examples in SIZES]
    (small, large), seconds = scores, [_seconds(size, options) for size in SIZES]
    slope = max((seconds[1] - seconds[0]) / (large - small), 0.0)
    return AuditTime(max(seconds[0] - slope * small, 0.0), slope)


def _seconds(size: Sequence[int], options: Mapping[str, Any]) -> float:
    from analysis import audit

    ensemble = _simulated(*size)
    begin = time.perf_counter()
    audit(ensemble, **options)
    return time.perf_counter() - begin


def _simulated(replicas: int, examples: int) -> Ensemble:
    """Return replicas whose margins are those of `sweep.runner.estimate.SIMULATED`."""
    random, seeds = np.random.default_rng(0), list(range(replicas))
    members = draw_members(Subsets(), seeds, examples)
    values: dict[str, NDArray[Any]] = {name: np.ones(replicas) for name in PER_REPLICA}
    for side, inside in (("train", members), ("test", np.zeros_like(members))):
        center, leak = random.normal(size=examples), random.exponential(0.5, examples)
        margin = random.normal(center + leak * inside)[:, None].astype(np.float32)
        true = 1 / (1 + np.exp(-margin))
        values |= {
            f"{side}_correct": margin > 0,
            f"{side}_margin": margin,
            f"{side}_log_p_true": np.log(true),
            f"{side}_entropy": -true * np.log(true),
            f"{side}_modified_entropy": -(1 - true) * np.log(true),
        }
    labels = np.arange(examples, dtype=np.int32) % 10
    block = Block({"seeds": np.array(seeds), "members": members, **values}, np.arange(replicas))
    context = Context(dataset={"name": "simulated"}, fingerprint="", model={"name": "none"})
    none = np.zeros(0, np.int32)
    return Ensemble("simulated", {"optimizer": "sgd"}, "simulated", context, [block], labels, labels, none)
