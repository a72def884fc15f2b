"""The published claims (Kim et al. 2023, arXiv 2310.00488) beside what a sweep measured; a claim a function.

**Which recipes.** An optimizer stands for itself by its plain recipe (no defence knob) with the best mean
test accuracy in the sweep, SGD by the same rule; so no side is chosen for its leakage. ``records`` says
which and out of how many.

**Definitions**, where the published text leaves them open, all alternatives are rows of their own. Attack
success is balanced accuracy; TPR and AUC are shown beside it. The memorization rate is the share of
examples with memorization above 0.25; atypical examples are those that SGD memorizes by that threshold.
Risk is the attack's advantage, 2 * balanced accuracy - 1, and its reduction is relative: 1 - advantage /
advantage of plain SAM.

**Verdicts.** "reproduced" and "contradicted" need the whole 95 % interval on one side of the bar (0, or the
published size where the claim is one of size); all else is "cannot tell". Differences are paired over
shared subset seeds. Each verdict stands alone: a table of twenty is expected to hold one that chance
decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.attacks.ranks import risk_by_example
from analysis.attacks.registry import ATTACKS
from analysis.audit.buckets import Buckets, mean_interval
from analysis.audit.proxies import rank_correlation
from analysis.ensemble import Ensemble
from analysis.memorization import MIDDLE, RATE_THRESHOLD, memorization, memorization_figures
from analysis.results import pretty
from analysis.statistics.intervals import interval, resample
from analysis.statistics.shadow_noise import halves_of
from analysis.studies.pairs import Estimate, Pair, Sweep, runs, verdict
from analysis.studies.paper import ACCURACY_LOSS, RISK_REDUCTION
from analysis.studies.theory import Setting, simulate
from trainables.knobs import DEFENCES

if TYPE_CHECKING:
    from analysis.audit.outcome import Audit

Row = dict[str, Any]

COLUMNS = (
    "claim",
    "published",
    "figure",
    "definition",
    "recipe_id",
    "reference_id",
    "estimate",
    "low",
    "high",
    "verdict",
    "records",
)


def claims_table(
    ensembles: Mapping[str, Ensemble],
    audit_on: Callable[[str, NDArray[np.int64]], Audit],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every published claim that this sweep can measure, one row a figure; see the module for definitions.

    ``audit_on(recipe_id, seeds)`` gives the audit of a recipe on these subset seeds. Columns ``claim,
    published, figure, definition, recipe_id, reference_id, estimate, low, high, verdict, records``;
    estimates are fractions.
    """
    sweep = Sweep(ensembles, audit_on, confidence, resamples, seed)
    return pd.DataFrame([row for claim in CLAIMS for row in claim(sweep)], columns=list(COLUMNS))


def _leaks_more(sweep: Sweep) -> Iterator[Row]:
    pair = sweep.against_sgd("sam")
    claim = "SAM tests better and leaks more than SGD"
    for figure, published, definition in (
        ("test_accuracy", "CIFAR-100 80.30 -> 81.60 %, CIFAR-10 92.3 -> 93.1 %", "test accuracy"),
        ("confidence_balanced_accuracy", "CIFAR-100 77.19 -> 79.10 %", "attack success, confidence attack"),
        ("lira_tpr_at_0.1pct", "CIFAR-10 8.8 -> 12.5 %", "LiRA TPR at 0.1 % FPR"),
        ("lira_auc", "", "alternative: LiRA AUC"),
        ("lira_advantage", "", "alternative: LiRA advantage"),
        ("rmia_auc", "CIFAR-100 90.4 -> 91.6 %", "RMIA AUC"),
    ):
        found = pair.compare(figure) if pair else None
        if pair and found:
            yield _row(pair, claim, published, figure, f"{definition}, SAM - SGD", found, verdict(found))


def _memorizes_more(sweep: Sweep) -> Iterator[Row]:
    pair = sweep.against_sgd("sam")
    if pair is None:
        return
    claim, published = (
        "SAM memorizes more, most in the middle of the range",
        "memorization rate of atypical +12.3 %",
    )
    found = _atypical(pair)
    if found:
        text = "memorization rate of the examples that SGD memorizes, SAM / SGD - 1; chosen on one half of"
        text += " the replicas, measured on the other"
        yield _row(pair, claim, published, "memorization_rate_atypical", text, found, verdict(found))
    for figure, definition in (
        ("memorization_rate", "alternative: memorization rate of all examples, SAM - SGD"),
        ("memorization_middle", "alternative: share of examples with memorization in 0.6-0.85, SAM - SGD"),
        ("memorization", "alternative: mean memorization, SAM - SGD"),
    ):
        found = pair.compare(figure)
        if found:
            yield _row(pair, claim, "", figure, definition, found, verdict(found))
    found = _densest_in_the_middle(pair)
    if found:
        text = "rise of the density of memorization in 0.6-0.85 minus its rise in the rest of 0.25-1"
        yield _row(
            pair, claim, "most in the middle", "memorization_middle_surplus", text, found, verdict(found)
        )
    found = _exposed(pair)
    if found:
        text = "SAM: rank correlation of an example's memorization in one half of the replicas with LiRA's"
        text += " AUC on it in the other, attacked by itself"
        said = "attack success up to 89.7 %"
        yield _row(pair, claim, said, "memorization_risk_correlation", text, found, verdict(found))


def _exposed(pair: Pair) -> Estimate | None:
    """Compare over halves that share no replica: the luck of the same replicas alone correlates the two."""
    ensemble = pair.ensembles[0]
    if np.isnan(pair.audits[0].row.get("lira_auc", np.nan)):
        return None
    scores, risks = [], []
    for half in halves_of("lira", ATTACKS["lira"], ensemble):
        rows = np.isin(ensemble.clusters, half.clusters)
        scores.append(memorization(ensemble.signal("train", "correct")[rows, 0], half.members))
        everyone = np.ones((1, len(half.members)), bool)
        risks.append(risk_by_example(half.scores, half.members, everyone)[0])
    if not scores:
        return None
    resamples = pair.sweep.resamples
    return rank_correlation(scores, risks[::-1], confidence=pair.confidence, resamples=resamples)


def _densest_in_the_middle(pair: Pair) -> Estimate | None:
    """Change of the density of memorization in the middle, minus that in the rest above the threshold."""
    width, rest = MIDDLE[1] - MIDDLE[0], 1 - RATE_THRESHOLD - (MIDDLE[1] - MIDDLE[0])
    a, b = pair.audits
    if not all({"memorization_rate", "memorization_middle"} <= x.draws.keys() for x in (a, b)):
        return None

    def surplus(own: Mapping[str, Any], other: Mapping[str, Any]) -> Any:
        rate, middle = (own[f] - other[f] for f in ("memorization_rate", "memorization_middle"))
        return middle / width - (rate - middle) / rest

    return pair.ends(surplus(a.row, b.row), surplus(a.draws, b.draws))


def _atypical(pair: Pair) -> Estimate | None:
    """Relative change of the memorization rate where the reference memorizes, crossed over two halves."""
    half = pair.clusters % 2
    if not half.any():
        return None
    correct = [e.signal("train", "correct")[:, 0] for e in pair.ensembles]
    members = pair.ensembles[0].members
    rates, draws = np.zeros(2), np.zeros((2, len(pair.weights)))
    for f in (0, 1):
        scored = half == f
        chosen = memorization(correct[1][~scored], members[~scored]) > RATE_THRESHOLD
        if not chosen.any():
            return None
        for k in (0, 1):
            data = correct[k][scored][:, chosen], members[scored][:, chosen]
            rates[k] += memorization_figures(*data).rate[0] / 2
            draws[k] += memorization_figures(*data, pair.weights[:, scored]).rate / 2
    draws += (rates - draws.mean(axis=1))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return pair.ends(rates[0] / rates[1] - 1, draws[0] / draws[1] - 1)


def _gains_on_atypical(sweep: Sweep) -> Iterator[Row]:
    pair = sweep.against_sgd("sam")
    if pair is None or not len(pair.ensembles[0].labels_test):
        return
    buckets = Buckets.of(pair.ensembles[1])
    found = buckets.gain(pair.ensembles[0]) if buckets else None
    if buckets is None or found is None:
        return
    claim = "SAM's gain in test accuracy sits in the low influence-entropy bucket"
    first, last, most = (
        mean_interval(values, pair.weights, pair.clusters, sweep.confidence)
        for values in (found.gain[:, 0], found.gain[:, -1], found.gain[:, 0] - found.gain[:, -1])
    )
    text = "gain in bucket 1 of 5, the lowest influence entropy"
    last_ones = f"{np.isnan(buckets.entropies).mean():.0%} of the test points have no influence and lie last"
    row = _row(pair, claim, "largest in bucket 1", "gain_bucket_1", text, first, verdict(first))
    yield row | {"records": f"{pair.records}; {last_ones}"}
    text = "gain in bucket 1 minus gain in bucket 5"
    yield _row(pair, claim, "largest in bucket 1", "gain_bucket_1_minus_5", text, most, verdict(most))
    text = "gain in bucket 5: reproduced if its interval holds 0 and ends below the gain in bucket 1"
    none = (
        "contradicted"
        if verdict(last) != "cannot tell"
        else "reproduced"
        if last[2] < first[0]
        else "cannot tell"
    )
    yield _row(pair, claim, "about none in bucket 5", "gain_bucket_5", text, last, none)


def _kin_behave_alike(sweep: Sweep) -> Iterator[Row]:
    for optimizer in sweep.sharp:
        pair = sweep.against_sgd(optimizer)
        published = {"gsam": "GSAM", "looksam": "LookSAM"}.get(optimizer, "")
        for figure in ("test_accuracy", "lira_advantage", "confidence_balanced_accuracy"):
            found = pair.compare(figure) if pair else None
            if pair and found:
                text = f"{pretty(figure)}, {optimizer} - sgd, expected to rise as for SAM"
                claim = "other sharpness-aware optimizers behave alike"
                yield _row(pair, claim, published, figure, text, found, verdict(found))


def _contracts_variance(sweep: Sweep) -> Iterator[Row]:
    claim = "SAM contracts the variance of non-member confidence"
    pair = sweep.against_sgd("sam")
    found = pair.compare("nonmember_variance") if pair else None
    if pair and found:
        text = (
            "variance of the margin over the replicas without an example, averaged over examples, SAM - SGD"
        )
        published = "sigma_SAM < sigma_SGD"
        yield _row(pair, claim, published, "nonmember_variance", text, found, verdict(found, sign=-1))


def _theorem(sweep: Sweep) -> Iterator[Row]:
    pools, replicas = 8, 32
    variance = simulate(Setting(), (0.0, 1.0), pools=pools, replicas=replicas, seed=sweep.seed).variance
    change = variance[:, 1] - variance[:, 0]
    draws = resample(np.arange(pools), sweep.resamples, sweep.seed) @ change / pools
    found = (float(change.mean()), *interval(draws, pools, confidence=sweep.confidence))
    text = "variance of non-members' output, minimum G-norm interpolation, G = I + Sigma against G = I"
    records = f"none of the sweep's: {pools} simulated pools of {replicas} replicas"
    claim, published = "SAM contracts the variance of non-member confidence", "a theorem"
    values = (claim, published, "theory_variance", text, "", "", *found, verdict(found, sign=-1), records)
    yield dict(zip(COLUMNS, values, strict=True))


def _restores_privacy(sweep: Sweep) -> Iterator[Row]:
    published = f"attack advantage -{100 * RISK_REDUCTION:g} % for less than "
    published += f"{100 * ACCURACY_LOSS:g} points of test accuracy"
    for used, text in (
        ({"grad_reg", "noise"}, "gradient penalty and noise"),
        ({"noise"}, "alternative: noise alone"),
        ({"grad_reg"}, "alternative: gradient penalty alone"),
    ):
        pair = _best_defended(sweep, used)
        if pair is None:
            continue
        claim = "gradient penalty + noise restores privacy"
        found = pair.compare("test_accuracy", lambda a, b: b - a)
        if found:
            said = verdict(found, above=ACCURACY_LOSS, sign=-1)
            yield _row(
                pair, claim, published, "accuracy_loss", f"{text}: test accuracy given up", found, said
            )
        for figure in ("lira_advantage", "confidence_advantage"):
            found = pair.compare(figure, lambda a, b: 1 - a / b)
            if found:
                what = f"{text}: share of plain SAM's {pretty(figure)} taken away"
                said = verdict(found, above=RISK_REDUCTION)
                yield _row(pair, claim, published, f"{figure}_reduction", what, found, said)


def _best_defended(sweep: Sweep, used: set[str]) -> Pair | None:
    """SAM with exactly these defences against the same SAM without, else against the best plain SAM.

    Of several, the one that cuts LiRA's advantage most at less than the published loss of accuracy, else
    the one that loses least. For having chosen among k, its intervals are at 1 - 0.05 / k.
    """
    plain = sweep.plain("sam")
    defended = [
        r for r, e in sweep.ensembles.items() if runs(e.recipe, "sam") and DEFENCES & e.recipe.keys() == used
    ]
    if not plain or not defended:
        return None
    confidence = 1 - (1 - sweep.confidence) / len(defended)
    best: tuple[tuple[bool, float], Pair] | None = None
    for recipe_id in defended:
        bare = {k: v for k, v in sweep.ensembles[recipe_id].recipe.items() if k not in used}
        base = next((r for r in plain if dict(sweep.ensembles[r].recipe) == bare), plain[0])
        pair = sweep.pair(recipe_id, base, f", chosen of {len(defended)}", confidence)
        if pair is None:
            continue
        loss = pair.compare("test_accuracy", lambda a, b: b - a)
        cut = pair.compare("lira_advantage", lambda a, b: 1 - a / b)
        if loss and cut:
            fits = loss[0] < ACCURACY_LOSS
            merit = fits, cut[0] if fits else -loss[0]
            best = max(best, (merit, pair), key=lambda x: x[0]) if best else (merit, pair)
    return best[1] if best else None


def _row(
    pair: Pair, claim: str, published: str, figure: str, definition: str, found: Estimate, said: str
) -> Row:
    values = (claim, published, figure, definition, pair.own, pair.other, *found, said, pair.records)
    return dict(zip(COLUMNS, values, strict=True))


CLAIMS: tuple[Callable[[Sweep], Iterator[Row]], ...] = (
    _leaks_more,
    _memorizes_more,
    _gains_on_atypical,
    _kin_behave_alike,
    _contracts_variance,
    _theorem,
    _restores_privacy,
)
