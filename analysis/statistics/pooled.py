"""The scores of all targets of an ensemble together: exact figures, and counts to redraw."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.metrics import Roc
from analysis.statistics import exact
from analysis.statistics.curves import Curves
from analysis.statistics.ordered import ABOVE_ZERO, BEYOND, LOWEST, Keys, Ordered, cuts_of, keys_of

_GROUPS = 64  # random groups of examples that the bootstrap over examples redraws
_BINS = 60

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


class Pooled:
    """``scores[R, n]`` and ``members[R, n]`` of R targets, sorted once as a whole and once by target.

    ``figures``: those of the exact ROC curve. ``thinned``: the points of it that are redrawn. ``by_target``,
    ``by_group``: counts at these points. ``calls``: scores of each target above 0, and all that there are,
    ``[R, 2]`` each. ``keys``: of every target's scores, in rising order. NaN scores are left out.
    """

    def __init__(self, scores: Floats, members: Bools) -> None:
        self.scores, self.members = scores, members
        self.keys: Keys = keys_of(scores, members)
        ordered = Ordered.of(self.keys)
        self.nonmembers = ordered.nonmembers
        self.defined = ordered.nonmembers > 0 and ordered.members > 0
        if not self.defined:
            return
        self.figures: dict[str, float] = exact.figures(ordered)
        self.thinned: Roc = exact.thinned(ordered)
        self.histogram: dict[str, Floats] = _histogram(ordered, scores, members)
        del ordered
        cuts = cuts_of(self.thinned.thresholds)
        cuts[0] = BEYOND
        # Random groups of examples: their sums vary like those of single examples, at a fixed cost.
        count = min(_GROUPS, scores.shape[1])
        groups = np.random.default_rng(0).permutation(scores.shape[1]) % count
        columns = (np.flatnonzero(groups == g) for g in range(count))
        self.by_group = Curves.counted((self.keys[:, own] for own in columns), cuts)
        self.keys.sort(axis=1)
        counts = Curves.of_rows(self.keys, np.append(cuts, [ABOVE_ZERO, LOWEST]))
        self.by_target = Curves(*(side[:, :-2] for side in counts))
        self.calls = Curves(*(side[:, -2:] for side in counts))


def _histogram(ordered: Ordered, scores: Floats, members: Bools) -> dict[str, Floats]:
    """Return the densities of member and non-member scores in equal bins over the middle 99.8 % of all."""
    finite = np.isfinite(scores)
    known = scores.ravel() if finite.all() else scores[finite]
    sample = known[:: max(1, len(known) // 100_000)]
    low, high = np.quantile(sample, [0.001, 0.999]) if len(sample) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + max(1.0, abs(low)), _BINS + 1)
    cuts = cuts_of(edges)
    cuts[-1] += 2  # the last bin has its upper end
    width = edges[1] - edges[0]
    densities = [
        -np.diff(above) / max(1, side.sum()) / width
        for above, side in zip(ordered.above(cuts), (members, ~members), strict=True)
    ]
    return {"left": edges[:-1], "right": edges[1:], "members": densities[0], "nonmembers": densities[1]}
