"""Every figure of one attack on an ensemble, from its scores, into the audit's ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.attacks import registry
from analysis.attacks.ranks import risk_by_example
from analysis.audit.ledger import Ledger
from analysis.epsilon import bound
from analysis.metrics import LEVELS, OperatingPoint, operating_point
from analysis.statistics.curves import decided, visible
from analysis.statistics.intervals import resample
from analysis.statistics.pooled import Pooled
from analysis.statistics.prior_noise import Rerun
from analysis.statistics.shadow_noise import Noise, halves_of, shared_noise
from analysis.statistics.threshold_noise import Relearnt
from trainables.errors import UserError
from trainables.records import RecordError

MOST_VULNERABLE = 0.01  # share of the examples
_BAND_RESAMPLES = 200

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


def try_attack(ledger: Ledger, name: str, attack: registry.Attack) -> None:
    """Compute the attack's figures; note what keeps it from running, or one of your own from working."""
    if lacking := attack.lacks(ledger.ensemble):
        ledger.note(f"{name}: left out, {lacking}")
        return
    try:
        scores = registry.run(name, attack, ledger.ensemble)
    except RecordError:
        raise
    except Exception as error:
        if attack is registry.ATTACKS.get(name):
            raise
        told = str(error) if isinstance(error, UserError) else f"it raised {type(error).__name__}: {error}"
        ledger.note(f"{name}: left out, {' '.join(told.split())}")
        return
    _attack(ledger, name, attack, scores)


def _attack(ledger: Ledger, name: str, attack: registry.Attack, scores: Floats) -> None:
    """Enter every figure of an attack's scores ``[R, n]``."""
    known = ~np.isnan(scores)
    if not known.all():
        what = f"{int((~known).sum())} of {scores.size} scores are no number and were left out"
        ledger.note(f"{name}: {what}; an attack without shadows on a side of an example gives none")
    if not (known & ledger.members).any() or not (known & ~ledger.members).any():
        ledger.note(f"{name}: left out, no member or no non-member has a score")
        return
    noise = _noise(ledger, name, attack)  # before the scores are sorted: each takes its memory
    pooled = Pooled(scores, ledger.members)
    drawn = noise(pooled)
    _rates(ledger, name, pooled, drawn)
    if attack.decides:
        _decisions(ledger, name, pooled, drawn)
    ledger.row[f"{name}_epsilon"] = _epsilon(ledger, pooled)
    _risks(ledger, name, attack, scores)
    canaries = ledger.ensemble.canaries
    if len(canaries):
        planted = Pooled(scores[:, canaries], ledger.members[:, canaries])
        if planted.defined:
            _rates(ledger, name, planted, noise(planted, canaries), "canary_")
    ledger.histograms.append({"attack": name, **pooled.histogram})
    ledger.curves.append({"attack": name, **_band(ledger, pooled)})


def _risks(ledger: Ledger, name: str, attack: registry.Attack, scores: Floats) -> None:
    """Enter the AUC on each example, and that on those at most risk."""
    half = ledger.ensemble.clusters % 2 == 1
    sides = [half, ~half]
    targets = np.stack([np.ones_like(half), *sides])
    if attack.risk is None:
        whole, *seen = risk_by_example(scores, ledger.members, targets)
        chosen = seen
    else:
        whole, *seen = attack.risk(ledger.ensemble, targets)
        # With shadows of the other half, examples would be chosen for what they are then judged by.
        parts = [ledger.ensemble.restrict(ledger.ensemble.seeds[side]) for side in sides if side.any()]
        chosen = [attack.risk(part, np.ones((1, part.replicas), bool))[0] for part in parts]
    ledger.columns[f"risk_{name}"] = whole
    ledger.row[f"{name}_most_vulnerable"] = _held_out_risk(chosen, seen) if half.any() else np.nan


def _epsilon(ledger: Ledger, pooled: Pooled) -> float:
    half = ledger.ensemble.clusters % 2 == 1
    if ledger.few or half.all() or not half.any():
        return np.nan
    return bound(pooled.keys, half, delta=ledger.options.delta, confidence=ledger.options.confidence)


def _noise(ledger: Ledger, name: str, attack: registry.Attack) -> Callable[..., Noise | None]:
    """Return what draws the noise that all targets share, of figures on all examples or on some."""
    options, clusters = ledger.options, ledger.ensemble.clusters
    halves = halves_of(name, attack, ledger.ensemble) if attack.shadows else []
    relearnt, rerun = None, None
    if attack.prior and ledger.clusters > 3:
        canaries = ledger.ensemble.canaries
        asked = [None, canaries] if len(canaries) else [None]
        rerun = Rerun(name, attack, ledger.ensemble, asked, options.seed)
    if attack.rule and ledger.clusters > 3:  # else a half would be a single cluster
        signal, labels = attack.rule.signal(ledger.ensemble), attack.rule.classes(ledger.ensemble)
        relearnt = Relearnt(signal, ledger.members, labels, clusters, options.seed)

    def drawn(pooled: Pooled, columns: Ints | None = None) -> Noise | None:
        thresholds = pooled.thinned.thresholds
        if relearnt:
            return relearnt.noise(pooled.by_target, pooled.calls, thresholds, options.resamples, columns)
        if rerun:
            return rerun.noise(pooled.by_target, thresholds, options.resamples, columns)
        if halves:
            part = [half.on(columns) for half in halves]
            return shared_noise(part, thresholds, options.resamples, options.seed)
        return None

    return drawn


def _rates(ledger: Ledger, name: str, pooled: Pooled, noise: Noise | None, kind: str = "") -> None:
    """Enter all figures of one ROC curve into ``row``, ``draws`` and ``metrics``."""
    estimates, options = pooled.figures, ledger.options
    draws, lower = pooled.by_target.bootstrap(
        ledger.weights, estimates, *((noise.gap, noise.close) if noise else ())
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
            ledger.note(f"{kind}{metric}: {pooled.nonmembers} non-member scores cannot resolve this level")
            estimate, draws[metric][:], others[metric][:] = np.nan, np.nan, np.nan
        if metric in LEVELS and smallest * LEVELS[metric] < 1:
            single[metric][:] = np.nan
        ledger.figure(column, estimate, draws[metric], lower.get(metric))
        low, high = ledger.ends(others[metric], others_lower.get(metric), count)
        known = single[metric][np.isfinite(single[metric])]
        ledger.metrics.append(
            {
                "attack": column.removesuffix(f"_{metric}"),
                "metric": metric,
                "estimate": estimate,
                "low": ledger.row[f"{column}_low"],
                "high": ledger.row[f"{column}_high"],
                "examples_low": low,
                "examples_high": high,
                "target_mean": known.mean() if len(known) else np.nan,
                "target_sd": known.std(ddof=1) if len(known) > 1 else np.nan,
            }
        )


def _decisions(ledger: Ledger, name: str, pooled: Pooled, noise: Noise | None) -> None:
    """Enter the figures of what the attack calls members, by its own threshold."""
    point = operating_point(pooled.scores, pooled.members)
    draws = decided(pooled.calls, ledger.weights)
    tpr, fpr = (np.clip(draws[rate] + (noise.figures[rate] if noise else 0), 0, 1) for rate in ("tpr", "fpr"))
    ins, outs = (side[:, 1].sum() for side in pooled.calls)
    drawn = OperatingPoint.of(tpr * ins, fpr * outs, ins, outs)
    for key, estimate, values in zip(point._fields, point, drawn, strict=True):
        ledger.figure(f"{name}_{key}", estimate, values)


def _band(ledger: Ledger, pooled: Pooled) -> dict[str, Any]:
    """Return the ROC curve as drawn, with the bootstrap's band of TPR at each FPR, scores held fixed."""
    shown = visible(pooled.thinned)
    fpr, tpr = pooled.thinned.fpr[shown], pooled.thinned.tpr[shown]
    drawn = pooled.by_target.rates(ledger.weights[:_BAND_RESAMPLES]).tpr_at(fpr)
    tail = (1 - ledger.options.confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0) if ledger.clusters > 1 else (np.nan, np.nan)
    return {"fpr": fpr, "tpr": tpr, "low": low, "high": high}


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
