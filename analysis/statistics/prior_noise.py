"""The noise of what an attack learns from all examples together: it is run anew on random halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.attacks import registry
from analysis.ensemble import Ensemble
from analysis.metrics import Roc
from analysis.statistics import exact
from analysis.statistics.curves import CLOSE_OF_ALL, Curves
from analysis.statistics.ordered import Ordered, keys_of
from analysis.statistics.shadow_noise import Noise, beyond, gap_at

SPLITS = 16  # in halves; each costs the attack once more

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Half = tuple[dict[str, float], Roc]


class Rerun:
    """An attack on random halves of the clusters, 16 times.

    BaVarIA fits a prior to all examples, so the scores of all targets on all examples err together, which
    redrawing examples does not show. Two halves share no replica: D, half of the difference between the
    figure of one and that of the other, varies like the figure of all. With the scores of all held, D varies
    like the bootstrap over targets; the rest of its variance is what the bootstrap lacks.

    Args:
        name: What errors call the attack.
        attack: The attack.
        ensemble: The replicas, of four clusters or more.
        columns: Sets of examples that `noise` may be asked for, None for all.
        seed: Of the splits.
    """

    def __init__(
        self,
        name: str,
        attack: registry.Attack,
        ensemble: Ensemble,
        columns: Sequence[Ints | None],
        seed: int,
    ) -> None:
        count = int(ensemble.clusters.max()) + 1
        first = (
            np.random.default_rng([seed, count, SPLITS]).random((SPLITS, count)).argsort(axis=1) < count // 2
        )
        self.first = first[:, ensemble.clusters]
        self._mixing = [seed, *self.first.shape]
        self._columns = list(columns)
        self._halves: list[list[list[Half]]] = [[] for _ in columns]
        for rows in self.first:
            pair = [self._half(name, attack, ensemble.restrict(ensemble.seeds[own])) for own in (rows, ~rows)]
            for found, halves in zip(self._halves, zip(*pair, strict=True), strict=True):
                found.append(list(halves))

    def _half(self, name: str, attack: registry.Attack, half: Ensemble) -> list[Half]:
        """Return the figures and the curve of one half, for each set of examples."""
        scores = registry.run(name, attack, half)
        found = []
        for columns in self._columns:
            part = slice(None) if columns is None else columns
            ordered = Ordered.of(keys_of(scores[:, part], half.members[:, part]))
            found.append((exact.figures(ordered), exact.thinned(ordered)))
        return found

    def noise(self, held: Curves, thresholds: Floats, resamples: int, columns: Ints | None = None) -> Noise:
        """Draws of the noise of figures on the examples ``columns``.

        Args:
            held: Counts of each target's scores at ``thresholds[K]``, those of the ROC of all replicas.
            thresholds: ``[K]``.
            resamples: How many draws.
            columns: None, or one of the sets that were given.
        """
        which = next(i for i, known in enumerate(self._columns) if known is columns)
        rerun: dict[str, list[float]] = {}
        gaps = []
        for (one, curve), (other, other_curve) in self._halves[which]:
            for name in one:
                rerun.setdefault(name, []).append((one[name] - other[name]) / 2)
            gaps.append((gap_at(curve, thresholds) - gap_at(other_curve, thresholds)) / 2)
        ours, theirs = (held.rates(rows.astype(np.float32)) for rows in (self.first, ~self.first))
        fixed = {name: (values - theirs.figures()[name]) / 2 for name, values in ours.figures().items()}
        fixed_gap = (ours.tpr - ours.fpr - theirs.tpr + theirs.fpr) / 2
        rng = np.random.default_rng(self._mixing)
        mixed = rng.normal(size=(resamples, SPLITS)) / np.sqrt(SPLITS)
        # A variance that is known from so few differences makes draws those of Student's t.
        mixed /= np.sqrt(rng.chisquare(SPLITS, size=(resamples, 1)) / SPLITS)
        return Noise(
            {name: mixed @ beyond(np.array(values), fixed[name]) for name, values in rerun.items()},
            mixed @ beyond(np.array(gaps), fixed_gap),
            CLOSE_OF_ALL,
        )
