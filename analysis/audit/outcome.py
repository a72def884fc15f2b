"""What an audit of one ensemble is asked for and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Options:
    """How an audit is done: the ``audit`` part of a spec."""

    attacks: tuple[str, ...] | None = None
    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0
    delta: float = 1e-5


def _no_table() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()


@dataclass(frozen=True)
class Audit:
    """One ensemble's figures.

    ``row``: one row of ``recipes.parquet``. ``metrics``: every figure of every attack with its interval over
    replicas (``low``, ``high``), over examples (``examples_low``, ``examples_high``), and its mean and
    deviation over single targets. ``examples``: one row a training example. ``roc`` and ``scores``: thinned
    curves and histograms. ``draws``: the bootstrap of each figure, paired between ensembles of the same
    seeds. ``notes``: what was left out and why. ``correlations``, ``influence`` and ``growth`` are what the
    audit of a sweep adds: see `analysis.audit.jobs`.
    """

    row: dict[str, Any]
    metrics: pd.DataFrame
    examples: pd.DataFrame
    roc: pd.DataFrame
    scores: pd.DataFrame
    draws: dict[str, Floats]
    notes: list[str]
    correlations: pd.DataFrame = field(default_factory=_no_table)
    influence: pd.DataFrame = field(default_factory=_no_table)
    growth: pd.DataFrame = field(default_factory=_no_table)
