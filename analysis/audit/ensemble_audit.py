"""Ensemble -> what its models leak: one row of figures with intervals, and the tables behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from analysis.attacks import registry
from analysis.attacks.ranks import risk_by_example
from analysis.ensemble import Ensemble
from analysis.epsilon import bound, canary_guesses, one_run_epsilon
from analysis.memorization import (
    margin_gap,
    memorization,
    memorization_figures,
    memorization_se,
    nonmember_variance,
)
from analysis.metrics import LEVELS, OperatingPoint, operating_point
from analysis.statistics.curves import decided, visible
from analysis.statistics.intervals import centred, interval, paired, resample
from analysis.statistics.pooled import Pooled
from analysis.statistics.shadow_noise import Noise, halves_of, shared_noise
from analysis.statistics.threshold_noise import Relearnt
from trainables.errors import UserError
from trainables.records import RecordError

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["Audit", "audit"]

MOST_VULNERABLE = 0.01  # share of the examples
# Replicas IN, or OUT, of a mean example. With halves and no leakage, LiRA's AUC was 0.50 at 32, 0.49 at 8 and
# 0.38 at 2; it seemed to prove an epsilon up to 6 of each, and with fraction 0.7 at 10 OUT, but not at 14.
FEW = 16
_BAND_RESAMPLES = 200

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Ints = NDArray[np.integer[Any]]


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


def audit(
    ensemble: Ensemble,
    *,
    attacks: Iterable[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    delta: float = 1e-5,
    threads: int = 1,
    pool: Executor | None = None,
    among: ArrayLike | None = None,
) -> Audit:
    """Audit an ensemble: accuracy, memorization, and every attack on every replica in turn.

    An attack of your own that raises, gives no number or gives something else than scores ``[R, n]`` is left
    out and named in ``notes``; the others stay. Intervals are bootstrap intervals over replicas,
    complementary halves kept together; ``metrics`` also has them over examples. Each attack runs once, with
    all other replicas as shadows; the bootstrap then redraws the targets. All targets share shadows or
    thresholds, so their noise is added for online LiRA, BaVarIA and the threshold attacks. The others have
    none added; simulations found their AUC's intervals wide enough: see docs/statistics.md.

    Args:
        ensemble: The replicas of one recipe, as `load_sweep` and `ensemble_of` give them.
        attacks: Names of `analysis.attacks.registry.ATTACKS`, or functions ``package.module:function``; by
            default those of every audit.
        confidence: Level of the intervals, in 0..1.
        resamples: Bootstrap draws.
        seed: Of the bootstrap.
        delta: Of the empirical epsilon, at least 0 and below 1.
        threads: How many attacks run side by side; the metrics do not depend on it.
        pool: Runs the attacks, for who has other work for it; by default ``threads`` threads of its own.
        among: The ``cluster_ids`` of all ensembles that bootstrap draws are to be paired with, sorted; by
            default this ensemble's own.

    Returns:
        The metrics, curves and scores of the ensemble.

    Raises:
        UserError: An attack that is not known, a ``delta`` that is no probability below 1, or a record that
            is damaged.
    """
    if not 0 <= delta < 1:
        raise UserError(f"audit: delta {delta!r}: expected at least 0 and below 1")
    chosen = registry.select(attacks)
    options = Options(tuple(chosen), confidence, resamples, seed, delta)
    report = _Report(ensemble, options, among)
    report.training()
    report.memorization()
    report.one_run()

    def attacked(name: str) -> _Report:
        part = report.branch()
        part.try_attack(name, chosen[name])
        return part

    with nullcontext(pool) if pool else side_by_side(threads) as workers:
        for part in workers.map(attacked, chosen):
            report.join(part)
    return report.finish()


@contextmanager
def side_by_side(threads: int) -> Iterator[Executor]:
    """Threads that work side by side: NumPy lets go of the interpreter lock while it sorts and multiplies.

    Products that each took all cores would wait for each other, so each takes one where there are several.
    Ctrl+C is not kept waiting for them.
    """
    with threadpool_limits(1 if threads > 1 else None):
        pool, wait = ThreadPoolExecutor(threads), True
        try:
            yield pool
        except (KeyboardInterrupt, GeneratorExit):
            wait = False
            raise
        finally:
            pool.shutdown(wait, cancel_futures=True)


class _Report:
    """An audit in the making: figures go in by name, with their bootstrap draws."""

    def __init__(self, ensemble: Ensemble, options: Options, among: ArrayLike | None) -> None:
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

    def branch(self) -> _Report:
        """Return a report of the same ensemble that holds nothing yet: one attack's, for `join`."""
        part = copy(self)
        part.row, part.draws, part.columns = {}, {}, {}
        part.metrics, part.curves, part.histograms, part.notes = [], [], [], []
        return part

    def join(self, part: _Report) -> None:
        """Take what a branch found."""
        self.row |= part.row
        self.draws |= part.draws
        self.columns |= part.columns
        self.metrics += part.metrics
        self.curves += part.curves
        self.histograms += part.histograms
        for text in part.notes:
            self.note(text)

    def training(self) -> None:
        total = self.weights.sum(axis=1)
        for name in ("test_accuracy", "train_accuracy"):
            values = self.ensemble.per_replica(name)
            self.figure(name, values.mean(), self.weights @ values / total)
        self.row["train_seconds"] = float(self.ensemble.per_replica("seconds").mean())
        epsilon = self.ensemble.per_replica("epsilon")
        if np.isfinite(epsilon).all():
            self.row |= {
                "epsilon": float(epsilon.max()),
                "delta": float(self.ensemble.per_replica("delta").max()),
            }

    def memorization(self) -> None:
        """Figures and their bootstrap; a redrawn share above a threshold is biased, so draws are centred."""
        correct = self.ensemble.signal("train", "correct")[:, 0]
        estimates = memorization_figures(correct, self.members)
        draws = memorization_figures(correct, self.members, self.weights)
        names = ("memorization", "memorization_rate", "memorization_middle")
        for name, (estimate,), drawn in zip(names, estimates, draws, strict=True):
            self.figure(name, estimate, centred(drawn, estimate))
        self.columns["memorization"] = memorization(correct, self.members)
        if self.options.attacks:  # without any, the audit reads no other signal than correctness
            margin = self.ensemble.signal("train", "margin")[:, 0]
            (variance,) = nonmember_variance(margin, self.members)
            drawn = nonmember_variance(margin, self.members, self.weights)
            self.figure("nonmember_variance", variance, centred(drawn, variance))
            self.columns["margin_gap"] = margin_gap(margin, self.members)
        self.columns["memorization_se"] = memorization_se(correct, self.members)
        undefined = int(np.isnan(self.columns["memorization"]).sum())
        if undefined:
            self.note(f"memorization: {undefined} examples without an IN or an OUT replica were left out")

    def one_run(self) -> None:
        """Bound epsilon by guesses on canaries by the margin alone: the recipe as one run on all coins."""
        if not self.by_coin:
            return
        margin = self.ensemble.signal("train", "margin").mean(axis=1)
        right, made = canary_guesses(margin, self.members)
        self.row["one_run_epsilon"] = one_run_epsilon(
            right, made, self.members.size, self.options.delta, self.options.confidence
        )

    def try_attack(self, name: str, attack: registry.Attack) -> None:
        """Compute the attack's figures; note what keeps it from running, or one of your own from working."""
        if lacking := attack.lacks(self.ensemble):
            self.note(f"{name}: left out, {lacking}")
            return
        try:
            scores = registry.run(name, attack, self.ensemble)
        except RecordError:
            raise
        except Exception as error:
            if attack is registry.ATTACKS.get(name):
                raise
            told = (
                str(error) if isinstance(error, UserError) else f"it raised {type(error).__name__}: {error}"
            )
            self.note(f"{name}: left out, {' '.join(told.split())}")
            return
        self.attack(name, attack, scores)

    def attack(self, name: str, attack: registry.Attack, scores: Floats) -> None:
        """Return every figure of an attack's scores ``[R, n]``."""
        known = ~np.isnan(scores)
        if not known.all():
            what = f"{int((~known).sum())} of {scores.size} scores are no number and were left out"
            self.note(f"{name}: {what}; an attack without shadows on a side of an example gives none")
        if not (known & self.members).any() or not (known & ~self.members).any():
            self.note(f"{name}: left out, no member or no non-member has a score")
            return
        noise = self.noise(name, attack)  # before the scores are sorted: each takes its memory
        pooled = Pooled(scores, self.members)
        drawn = noise(pooled)
        self.rates(name, pooled, drawn)
        if attack.decides:
            self.decisions(name, pooled, drawn)
        self.row[f"{name}_epsilon"] = self.epsilon(pooled)
        self.risks(name, attack, scores)
        canaries = self.ensemble.canaries
        if len(canaries):
            planted = Pooled(scores[:, canaries], self.members[:, canaries])
            if planted.defined:
                self.rates(name, planted, noise(planted, canaries), "canary_")
        self.histograms.append({"attack": name, **pooled.histogram})
        self.curves.append({"attack": name, **self.band(pooled)})

    def risks(self, name: str, attack: registry.Attack, scores: Floats) -> None:
        """Return the AUC on each example, and that on those at most risk."""
        half = self.ensemble.clusters % 2 == 1
        sides = [half, ~half]
        targets = np.stack([np.ones_like(half), *sides])
        if attack.risk is None:
            whole, *seen = risk_by_example(scores, self.members, targets)
            chosen = seen
        else:
            whole, *seen = attack.risk(self.ensemble, targets)
            # With shadows of the other half, examples would be chosen for what they are then judged by.
            parts = [self.ensemble.restrict(self.ensemble.seeds[side]) for side in sides if side.any()]
            chosen = [attack.risk(part, np.ones((1, part.replicas), bool))[0] for part in parts]
        self.columns[f"risk_{name}"] = whole
        self.row[f"{name}_most_vulnerable"] = _held_out_risk(chosen, seen) if half.any() else np.nan

    def epsilon(self, pooled: Pooled) -> float:
        half = self.ensemble.clusters % 2 == 1
        if self.few or half.all() or not half.any():
            return np.nan
        return bound(pooled.keys, half, delta=self.options.delta, confidence=self.options.confidence)

    def noise(self, name: str, attack: registry.Attack) -> Callable[..., Noise | None]:
        """Return what draws the noise that all targets share, of figures on all examples or on some."""
        options, clusters = self.options, self.ensemble.clusters
        halves = halves_of(name, attack, self.ensemble) if attack.shadows else []
        relearnt = None
        if attack.rule and self.clusters > 3:  # else a half would be a single cluster
            signal, labels = attack.rule.signal(self.ensemble), attack.rule.classes(self.ensemble)
            relearnt = Relearnt(signal, self.members, labels, clusters, options.seed)

        def drawn(pooled: Pooled, columns: Ints | None = None) -> Noise | None:
            thresholds = pooled.thinned.thresholds
            if relearnt:
                return relearnt.noise(pooled.by_target, pooled.calls, thresholds, options.resamples, columns)
            if halves:
                part = [half.on(columns) for half in halves]
                return shared_noise(part, thresholds, options.resamples, options.seed)
            return None

        return drawn

    def rates(self, name: str, pooled: Pooled, noise: Noise | None, kind: str = "") -> None:
        """Return all figures of one ROC curve, to ``row``, ``draws`` and ``metrics``."""
        estimates, options = pooled.figures, self.options
        draws, lower = pooled.by_target.bootstrap(
            self.weights, estimates, *((noise.gap, noise.close) if noise else ())
        )
        if noise:
            draws = {metric: drawn + noise.figures[metric] for metric, drawn in draws.items()}
        draws, lower = _possible(draws), _possible(lower)
        count = len(pooled.by_group.ins)
        regrouped = resample(np.arange(count), options.resamples, options.seed)
        others, others_lower = map(_possible, pooled.by_group.bootstrap(regrouped, estimates))
        single = pooled.by_target.rates().figures()
        smallest = float(pooled.by_target.outs[:, -1].min())
        for metric, estimate in estimates.items():
            column = f"{name}_{kind}{metric}"
            if metric in LEVELS and pooled.nonmembers * LEVELS[metric] < 1:
                self.note(f"{kind}{metric}: {pooled.nonmembers} non-member scores cannot resolve this level")
                estimate, draws[metric][:], others[metric][:] = np.nan, np.nan, np.nan
            if metric in LEVELS and smallest * LEVELS[metric] < 1:
                single[metric][:] = np.nan
            self.figure(column, estimate, draws[metric], lower.get(metric))
            low, high = self.ends(others[metric], others_lower.get(metric), count)
            known = single[metric][np.isfinite(single[metric])]
            self.metrics.append(
                {
                    "attack": column.removesuffix(f"_{metric}"),
                    "metric": metric,
                    "estimate": estimate,
                    "low": self.row[f"{column}_low"],
                    "high": self.row[f"{column}_high"],
                    "examples_low": low,
                    "examples_high": high,
                    "target_mean": known.mean() if len(known) else np.nan,
                    "target_sd": known.std(ddof=1) if len(known) > 1 else np.nan,
                }
            )

    def decisions(self, name: str, pooled: Pooled, noise: Noise | None) -> None:
        """Return the figures of what the attack calls members, by its own threshold."""
        point = operating_point(pooled.scores, pooled.members)
        draws = decided(pooled.calls, self.weights)
        tpr, fpr = (
            np.clip(draws[rate] + (noise.figures[rate] if noise else 0), 0, 1) for rate in ("tpr", "fpr")
        )
        ins, outs = (side[:, 1].sum() for side in pooled.calls)
        drawn = OperatingPoint.of(tpr * ins, fpr * outs, ins, outs)
        for key, estimate, values in zip(point._fields, point, drawn, strict=True):
            self.figure(f"{name}_{key}", estimate, values)

    def band(self, pooled: Pooled) -> dict[str, Any]:
        """Return the ROC curve as drawn, with the bootstrap's band of TPR at each FPR, scores held fixed."""
        shown = visible(pooled.thinned)
        fpr, tpr = pooled.thinned.fpr[shown], pooled.thinned.tpr[shown]
        drawn = pooled.by_target.rates(self.weights[:_BAND_RESAMPLES]).tpr_at(fpr)
        tail = (1 - self.options.confidence) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0) if self.clusters > 1 else (np.nan, np.nan)
        return {"fpr": fpr, "tpr": tpr, "low": low, "high": high}

    def finish(self) -> Audit:
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


def _possible(draws: dict[str, Floats]) -> dict[str, Floats]:
    """Draws of shares within 0 to 1, which what is added to them may leave.

    Those of the advantage may lie below 0: they tell an attack that finds something from one that does not.
    """
    return {m: drawn if m == "advantage" else np.clip(drawn, 0, 1) for m, drawn in draws.items()}


def _held_out_risk(chosen: list[Floats], seen: list[Floats]) -> float:
    """Mean per-example AUC of the 1 % at most risk: chosen on one half of the targets, seen on the other."""
    most = max(1, round(MOST_VULNERABLE * len(seen[0])))
    judged = []
    for chosen_on, judged_on in zip(chosen, seen[::-1], strict=True):
        order = np.argsort(np.nan_to_num(-chosen_on, nan=np.inf), kind="stable")
        judged.append(judged_on[order[:most]])
    found = np.concatenate(judged)
    return float(np.nanmean(found)) if np.isfinite(found).any() else np.nan
