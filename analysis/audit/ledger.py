"""An audit in the making: figures with their bootstrap draws, tables and notes, each under its name."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.audit.outcome import Audit, Options
from analysis.ensemble import Ensemble
from analysis.statistics.intervals import interval, paired

# Replicas IN, or OUT, of a mean example. With halves and no leakage, LiRA's AUC was 0.50 at 32, 0.49 at 8 and
# 0.38 at 2; it seemed to prove an epsilon up to 6 of each, and with fraction 0.7 at 10 OUT, but not at 14.
FEW = 16

Floats = NDArray[np.floating[Any]]


class Ledger:
    """An audit in the making: figures go in by name, with their bootstrap draws."""

    def __init__(self, ensemble: Ensemble, options: Options, among: ArrayLike | None = None) -> None:
        self.whole, self.ensemble, self.options = ensemble, ensemble.drawn().kept(), options
        self.members = self.ensemble.members
        self.clusters = int(ensemble.clusters.max()) + 1
        self.weights = paired(ensemble.cluster_ids, among, options.resamples, options.seed)
        self.row: dict[str, Any] = {"replicas": ensemble.replicas}
        self.draws: dict[str, Floats] = {}
        self.columns: dict[str, Any] = {
            "index": np.arange(self.members.shape[1]),
            "label": self.ensemble.labels_train,
        }
        self.metrics: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self.histograms: list[dict[str, Any]] = []
        self.notes: list[str] = []
        if self.clusters < 2:
            self.note("no intervals: they need at least two independent draws of the subsets")
        if self.by_coin:
            self.note(
                f"only the {self.members.shape[1]} canaries are drawn, every replica was trained on all "
                "other examples: memorization and attacks are those of the canaries"
            )
        share = float(self.members.mean())
        rarer, side = ensemble.replicas * min(share, 1 - share), "IN" if share < 0.5 else "OUT"
        self.few = rarer < FEW
        if self.few:
            self.note(
                f"only {ensemble.replicas} replicas, {rarer:.0f} {side} an example: leaving one out moves "
                "the centre and spread of a side, which biases LiRA and calibrated loss even without leakage "
                f"and can look like a proof of epsilon, so none is given; take at least {FEW} on each side"
            )

    @property
    def by_coin(self) -> bool:
        """Whether only canaries are drawn, each by a coin of its own."""
        return self.whole.context.subsets.scheme == "canaries"

    def figure(self, name: str, estimate: float, draws: Floats, lower: Floats | None = None) -> None:
        """Enter a figure with its interval, whose lower end may be that of other draws."""
        low, high = self.ends(draws, lower, self.clusters)
        self.row |= {name: float(estimate), f"{name}_low": low, f"{name}_high": high}
        self.draws[name] = draws

    def ends(self, draws: Floats, lower: Floats | None, clusters: int) -> tuple[float, float]:
        """Return the interval of draws, or with the lower end of others."""
        confidence = self.options.confidence
        low, high = interval(draws, clusters, confidence=confidence)
        return low if lower is None else interval(lower, clusters, confidence=confidence)[0], high

    def note(self, text: str) -> None:
        """Note what the audit could not do; what holds for many attacks is said once."""
        if text not in self.notes:
            self.notes.append(text)

    def branch(self) -> Ledger:
        """Return a report of the same ensemble that holds nothing yet: one attack's, for `join`."""
        part = copy(self)
        part.row, part.draws, part.columns = {}, {}, {}
        part.metrics, part.curves, part.histograms, part.notes = [], [], [], []
        return part

    def join(self, part: Ledger) -> None:
        """Take what a branch found."""
        self.row |= part.row
        self.draws |= part.draws
        self.columns |= part.columns
        self.metrics += part.metrics
        self.curves += part.curves
        self.histograms += part.histograms
        for text in part.notes:
            self.note(text)

    def finish(self) -> Audit:
        """Give what was entered as an audit's tables."""
        import pandas as pd

        examples = pd.DataFrame(self.columns)
        if self.by_coin:
            examples = examples.set_axis(self.whole.canaries).reindex(np.arange(len(self.whole.labels_train)))
            examples = examples.assign(index=examples.index, label=self.whole.labels_train)
        if len(self.whole.canaries):
            examples["canary"] = np.isin(examples["index"], self.whole.canaries)

        def joined(parts: list[dict[str, Any]]) -> pd.DataFrame:
            return (
                pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
                if parts
                else pd.DataFrame()
            )

        return Audit(
            row=self.row,
            metrics=pd.DataFrame(self.metrics),
            examples=examples,
            roc=joined(self.curves),
            scores=joined(self.histograms),
            draws=self.draws,
            notes=self.notes,
        )
