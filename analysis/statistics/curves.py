"""ROC curves of many units at once: what the bootstrap redraws, and what the report draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.metrics import LEVELS, Roc
from analysis.statistics.ordered import BEYOND, Keys, Ordered, Rows, cuts_of, keys_of

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

BEST_THRESHOLD = ("balanced_accuracy", "advantage")
CLOSE = 2.0  # simulated 95 % intervals then lie above 0 in 1 to 6 % without leakage
CLOSE_OF_ALL = 3.0  # where all classes share a threshold: 2.0 gave up to 11 % there
_CACHE = 1 << 16  # numbers in one array of rates


class Rates(NamedTuple):
    """True- and false-positive rates of B curves at K thresholds, each ``[B, K]``, rising along K."""

    tpr: Floats
    fpr: Floats

    def figures(self) -> dict[str, Floats]:
        """AUC, balanced accuracy, advantage and TPR at fixed FPR of each curve: ``[B]`` each."""
        rise, run = self.tpr[:, 1:] + self.tpr[:, :-1], np.diff(self.fpr, axis=1)
        advantage = (self.tpr - self.fpr).max(axis=1)
        found = {
            "auc": np.einsum("bk,bk->b", rise, run) / 2,
            "balanced_accuracy": (1 + advantage) / 2,
            "advantage": advantage,
        }
        rows = np.arange(len(self.tpr))
        for name, level in LEVELS.items():
            # argmax stops at the first True, early in every row for the low levels.
            found[name] = self.tpr[rows, (self.fpr > level).argmax(axis=1) - 1] + 0 * self.fpr[:, -1]
        return {name: values.astype(np.float64) for name, values in found.items()}

    def tpr_at(self, fpr: Floats) -> Floats:
        """Return TPR of every curve at these false-positive rates, linear between points: ``[B, P]``."""
        # One sorted row after the other, so that a single search serves all curves.
        shift = 2.0 * np.arange(len(self.fpr))[:, None]
        known, wanted = (self.fpr + shift).ravel(), (fpr + shift).ravel()
        right = np.clip(np.searchsorted(known, wanted, side="right"), 1, len(known) - 1)
        width = known[right] - known[right - 1]
        share = np.divide(wanted - known[right - 1], width, out=np.zeros(len(wanted)), where=width > 0)
        tpr = self.tpr.ravel().astype(np.float64)
        at = tpr[right - 1] + np.clip(share, 0, 1) * (tpr[right] - tpr[right - 1])
        return np.asarray(at.reshape(len(self.fpr), len(fpr)))


class Curves(NamedTuple):
    """Counts above common thresholds, unit by unit: float32 ``[U, K]`` members and non-members."""

    ins: Floats
    outs: Floats

    @staticmethod
    def of(
        scores: Floats, members: Bools, thresholds: Floats, units: NDArray[np.integer[Any]] | None = None
    ) -> Curves:
        """Count each unit's scores at or above each of a ROC's falling ``thresholds[K]``.

        ``scores[R, n]``, ``members[R, n]``; a unit is a row, or the columns (``units[n]``) or scores
        (``units[R, n]``) of one number from 0 to U-1. The first threshold is beyond every score, infinite
        ones too. Cost: one sort of each unit.
        """
        cuts = cuts_of(thresholds)
        cuts[0] = BEYOND
        if units is None:
            return Curves.of_rows(np.sort(keys_of(scores, members), axis=1), cuts)
        return Curves.counted((keys_of(*part) for part in _parts(scores, members, units)), cuts)

    @staticmethod
    def counted(units: Iterable[Keys], cuts: Keys) -> Curves:
        """Count each unit's keys at or above each of these cuts; the keys lose their order."""
        above = np.array([Ordered.sorting(keys).above(cuts) for keys in units], np.float32)
        return Curves(above[:, 0], above[:, 1])

    @staticmethod
    def of_rows(keys: Keys, cuts: Keys) -> Curves:
        """Count each row's keys, in rising order, at or above each of these cuts."""
        ins, outs = Rows.sorted(keys).above(cuts)
        return Curves(ins.astype(np.float32), outs.astype(np.float32))

    def rates(self, weights: Floats | None = None) -> Rates:
        """Pooled curves with unit u counted ``weights[b, u]`` times; one curve a unit without weights."""
        ins, outs = (self.ins, self.outs) if weights is None else (weights @ self.ins, weights @ self.outs)
        with np.errstate(invalid="ignore"):
            return Rates(ins / ins[:, -1:], outs / outs[:, -1:])

    def bootstrap(
        self,
        weights: Floats,
        estimates: Mapping[str, float],
        noise: Floats | None = None,
        close: float = CLOSE,
    ) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Compute the figures of all resamples ``weights[B, U]``, ``[B]`` each; a cache-sized part at a time.

        Figures at the best threshold profit from choosing it on the noise, the estimate once and its
        resamples twice: their draws are moved to the estimate less that bias, which the resamples themselves
        measure. Without leakage many thresholds do about as well and the estimate profits from the noise of
        all, more than resampling shows: a quarter of the intervals would lie above 0. So these figures have
        other draws for their lower ends, the second result: see `_least`. ``noise[B, K]`` is what TPR - FPR
        at each threshold varies beyond the resamples; only the lower ends heed it. ``close``: see `_least`.
        """
        step = max(1, _CACHE // self.ins.shape[1])
        parts, gaps = [], []
        for i in range(0, len(weights), step):
            rates = self.rates(weights[i : i + step])
            parts.append(rates.figures())
            gaps.append(rates.tpr - rates.fpr)
        draws = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for name in BEST_THRESHOLD:
            draws[name] += 2 * (estimates[name] - draws[name].mean())
        whole = self.rates(np.ones((1, weights.shape[1]), np.float32))
        drawn = np.concatenate(gaps) + (0 if noise is None else noise)
        lower = _least(estimates["advantage"], (whole.tpr - whole.fpr)[0], drawn, close)
        return draws, {"advantage": lower, "balanced_accuracy": (1 + lower) / 2}


def _least(advantage: float, gap: Floats, drawn: Floats, close: float) -> Floats:
    """Return draws ``[B]`` of the advantage that allow for any threshold which may be the best one.

    ``gap[K]`` is TPR - FPR, ``drawn[B, K]`` its resamples. May be the best: not worse by more than ``close``
    standard errors of the difference (a selection as in Chernozhukov, Lee and Rosen 2013). A draw is the
    estimate minus the largest noise, drawn less gap, of these.
    """
    best = int(gap.argmax())
    noise = drawn - gap
    error = np.nan_to_num((noise - noise[:, [best]]).std(axis=0))
    return np.asarray(advantage - noise[:, gap >= gap[best] - close * error].max(axis=1), np.float64)


def decided(calls: Curves, weights: Floats) -> dict[str, Floats]:
    """TPR and FPR of every resample ``weights[B, U]``, ``calls`` being counts called members and of all."""
    rates = calls.rates(weights)
    return {"tpr": rates.tpr[:, 0].astype(np.float64), "fpr": rates.fpr[:, 0].astype(np.float64)}


def _parts(scores: Floats, members: Bools, units: NDArray[np.integer[Any]]) -> Iterator[tuple[Floats, Bools]]:
    """Yield the scores and membership of each unit."""
    labels = units.ravel().astype(np.uint16)  # sorted by their digits, in linear time
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels))
    flat = units.ndim == 2
    for first, last in zip(np.append(0, ends[:-1]), ends, strict=True):
        chosen = order[first:last]
        if flat:
            yield scores.ravel()[chosen], members.ravel()[chosen]
        else:
            yield scores[:, chosen], members[:, chosen]


def visible(curve: Roc, tolerance: float = 1e-3) -> NDArray[np.intp]:
    """Choose points so that the lines between them pass every other point within ``tolerance`` in TPR.

    Within 2 % of the TPR itself where that is less, for logarithmic axes. A corridor of slopes from the last
    kept point; a point outside it makes its predecessor the next kept one. Cost: one pass.
    """
    x, y = curve.fpr.tolist(), curve.tpr.tolist()
    kept, low, high, k = [0], -np.inf, np.inf, 1
    while k < len(x):
        run, rise = x[k] - x[kept[-1]], y[k] - y[kept[-1]]
        slack = min(tolerance, 0.02 * y[k])
        if run > 0 and low <= rise / run <= high:
            low, high = max(low, (rise - slack) / run), min(high, (rise + slack) / run)
            k += 1
            continue
        kept.append(max(k - 1, kept[-1] + 1))
        k, low, high = kept[-1] + 1, -np.inf, np.inf
    return np.unique([*kept, len(x) - 1])
