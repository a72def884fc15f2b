"""Two recipes compared on the subset seeds that both have, and what an interval says about a claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.ensemble import Ensemble
from analysis.statistics.intervals import interval, resample
from trainables.knobs import DEFENCES
from trainables.optimizers.registry import OPTIMIZERS

if TYPE_CHECKING:
    from analysis.audit.outcome import Audit

Estimate = tuple[float, float, float]  # with the ends of its interval


def _sharpness_aware(optimizer: str) -> bool:
    known = OPTIMIZERS.get(optimizer)
    return known is not None and known.sharpness_aware and not known.private


def verdict(estimate: Estimate, *, above: float = 0.0, sign: int = 1) -> str:
    """Return whether ``sign`` * figure lies above ``sign`` * bar with its whole interval.

    >>> verdict((0.02, 0.01, 0.03)), verdict((0.02, 0.01, 0.03), sign=-1), verdict((0.0, -0.1, 0.1))
    ('reproduced', 'contradicted', 'cannot tell')
    """
    low, high = sorted(sign * (end - above) for end in estimate[1:])
    return "reproduced" if low > 0 else "contradicted" if high < 0 else "cannot tell"


@dataclass(frozen=True)
class Sweep:
    """What claims are measured on."""

    ensembles: Mapping[str, Ensemble]
    audit_on: Callable[[str, NDArray[np.int64]], Audit]
    confidence: float
    resamples: int
    seed: int

    def plain(self, optimizer: str) -> list[str]:
        """Return the recipes of an optimizer without any defence, best mean test accuracy first."""
        found = [
            r
            for r, e in self.ensembles.items()
            if runs(e.recipe, optimizer) and not DEFENCES & e.recipe.keys()
        ]
        return sorted(found, key=lambda r: -self.ensembles[r].per_replica("test_accuracy").mean())

    @cached_property
    def sharp(self) -> list[str]:
        """The sharpness-aware optimizers of the sweep besides SAM."""
        names = dict.fromkeys(str(e.recipe.get("optimizer")) for e in self.ensembles.values())
        return [n for n in names if n != "sam" and _sharpness_aware(n)]

    def against_sgd(self, optimizer: str) -> Pair | None:
        """Pair an optimizer's best plain recipe with SGD's; None where one or shared seeds are lacking."""
        own, other = self.plain(optimizer), self.plain("sgd")
        return self.pair(own[0], other[0], f", best test accuracy of {len(own)}") if own and other else None

    def pair(self, own: str, other: str, how: str = "", confidence: float | None = None) -> Pair | None:
        """Return two recipes on their shared seeds; None where they share none."""
        a, b = self.ensembles[own], self.ensembles[other]
        seeds = np.intersect1d(a.seeds, b.seeds)
        if not len(seeds):
            return None
        records = f"{a.label}{how}, against {b.label}: {len(seeds)} paired replicas"
        return Pair(self, own, other, seeds, records, confidence or self.confidence)


@dataclass(frozen=True)
class Pair:
    """Two recipes on the subset seeds that both have."""

    sweep: Sweep
    own: str
    other: str
    seeds: NDArray[np.int64]
    records: str
    confidence: float

    @cached_property
    def ensembles(self) -> tuple[Ensemble, Ensemble]:
        """Both ensembles on the shared seeds."""
        a, b = (self.sweep.ensembles[r].restrict(self.seeds) for r in (self.own, self.other))
        return a, b

    @cached_property
    def audits(self) -> tuple[Audit, Audit]:
        """Both audits on the shared seeds."""
        a, b = (self.sweep.audit_on(r, self.seeds) for r in (self.own, self.other))
        return a, b

    @property
    def clusters(self) -> NDArray[Any]:
        """The group of each replica that a bootstrap draws as one, ``[R]``."""
        return self.ensembles[0].clusters

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """How often each bootstrap draw takes each replica, ``[resamples, R]``."""
        return resample(self.clusters, self.sweep.resamples, self.sweep.seed)

    def compare(self, figure: str, by: Callable[[Any, Any], Any] = np.subtract) -> Estimate | None:
        """Return a figure of both, compared (by default the difference); None where an audit lacks it."""
        a, b = self.audits
        if not all(figure in x.draws and np.isfinite(x.row[figure]) for x in (a, b)):
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.ends(by(a.row[figure], b.row[figure]), by(a.draws[figure], b.draws[figure]))

    def ends(self, estimate: float, draws: NDArray[Any]) -> Estimate:
        """Return an estimate with the ends of its interval from bootstrap draws."""
        return (float(estimate), *interval(draws, int(self.clusters.max()) + 1, confidence=self.confidence))


def runs(recipe: Mapping[str, Any], optimizer: str) -> bool:
    """Return whether a recipe runs this optimizer."""
    return bool(recipe.get("optimizer", "sgd") == optimizer)
