"""How much privacy loss an attack proves: empirical lower bounds on epsilon."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv, expit, logit
from scipy.stats import binom

from analysis.statistics.intervals import clopper_pearson
from analysis.statistics.ordered import BEYOND, MISSING, Keys, Ordered, keys_of

_CANDIDATES = 256  # thresholds that the other half is searched for


def empirical_epsilon(
    scores: ArrayLike,
    members: ArrayLike,
    *,
    delta: float = 1e-5,
    confidence: float = 0.95,
    clusters: ArrayLike | None = None,
) -> float:
    """Return a lower bound on the epsilon that an (epsilon, delta)-private training could have had.

    (epsilon, delta)-DP forces FPR + e^epsilon FNR >= 1 - delta and FNR + e^epsilon FPR >= 1 - delta (Kairouz
    et al. 2015). Each half of the clusters is tested at the threshold that does best on the other half, so no
    threshold is chosen on the trials that it is judged by; FPR and FNR of both halves together enter at their
    Clopper-Pearson upper ends, which hold jointly at ``confidence``. Where replicas differ in their share of
    members, FPR and FNR mix them in different weights a and b, and 1 - delta shrinks to (1 - delta) sum
    min(a, b), which is what the inequalities of the single replicas add up to.

    The bound is rigorous for independent trials. Examples scored by one replica are not quite that, nor are
    the scores of one example by many, so read it as what the attack's error rates amount to, not as a proof.
    An example with hardly a shadow on one side may score high in every replica that trained on it: audits
    give no bound from few replicas.

    Args:
        scores: ``[R, n]``; higher means more likely a member. NaN scores are left out.
        members: bool ``[R, n]``.
        delta: At least 0 and below 1.
        confidence: Of the bound, in 0..1.
        clusters: ``[R]``: which replicas share their draw, as complementary halves do; by default each is
            alone.

    Returns:
        Epsilon, at least 0; NaN with fewer than two clusters.
    """
    scores, members = np.atleast_2d(scores), np.atleast_2d(members).astype(bool)
    clusters = np.arange(len(scores)) if clusters is None else np.asarray(clusters)
    half = np.asarray(np.unique(clusters, return_inverse=True)[1] % 2, bool)
    if half.all() or not half.any():
        return np.nan
    return bound(keys_of(scores, members), half, delta=delta, confidence=confidence)


def bound(rows: Keys, half: NDArray[np.bool_], *, delta: float, confidence: float) -> float:
    """Return the bound of `empirical_epsilon` from keys, for who has sorted the scores already.

    Args:
        rows: The keys of every target ``[R, n]``.
        half: Which targets ``[R]`` are tested against the others.
        delta: At least 0 and below 1.
        confidence: Of the bound, in 0..1.

    Returns:
        Epsilon, at least 0.
    """
    ins = np.array([np.count_nonzero(row & 1) for row in rows])
    known = np.array([np.count_nonzero(row != MISSING) for row in rows])
    trials = np.stack([known - ins, ins])
    parts = [Ordered.sorting(rows[chosen]) for chosen in (half, ~half)]
    errors = np.zeros(2)  # false positives, false negatives
    for tested, other in (parts, parts[::-1]):
        hits, alarms = tested.above(_best_cut(other, 1 - delta))
        errors += float(alarms[0]), tested.members - float(hits[0])
    totals = trials.sum(axis=1)
    fpr, fnr = clopper_pearson(errors, totals, confidence=confidence)[1]
    shared = (trials / np.maximum(totals, 1)[:, None]).min(axis=0).sum()
    return float(_epsilon(fpr, fnr, (1 - delta) * shared))


def _best_cut(scores: Ordered, mass: float) -> Keys:
    """Return the cut ``[1]`` of the largest bound, at error rates about at their Clopper-Pearson ends."""
    counts = scores.nonmembers, scores.members
    if not all(counts):
        return np.array([BEYOND])
    ends = np.geomspace(1, 1e-6, _CANDIDATES // 4)
    levels = np.concatenate([ends, 1 - ends])
    ranks = [(levels * (count - 1)).astype(np.int64) for count in counts]
    cuts = np.concatenate([scores.nth(side, ranks[side]) & -2 for side in (0, 1)])
    hits, alarms = scores.above(cuts)
    errors = alarms, counts[1] - hits
    rates = [(e + 2 + 2 * np.sqrt(e + 1)) / count for e, count in zip(errors, counts, strict=True)]
    return cuts[[np.argmax(_epsilon(rates[0], rates[1], mass))]]


def _epsilon(fpr: NDArray[Any], fnr: NDArray[Any], mass: float) -> NDArray[Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = np.log((mass - fpr) / fnr), np.log((mass - fnr) / fpr)
    return np.asarray(np.maximum(np.nan_to_num(np.fmax(first, second), nan=0.0), 0.0))


def one_run_epsilon(
    guesses_correct: int, guesses: int, canaries: int, delta: float = 1e-5, confidence: float = 0.95
) -> float:
    """Return a lower bound on epsilon from one training run with canaries (Steinke, Nasr and Jagielski 2023).

    Each of ``canaries`` examples is in the training set by a fair coin of its own; the auditor sees the
    trained model, guesses ``guesses`` of the coins and abstains from the others. Had the training been
    (epsilon, delta)-private, the number of right guesses would hardly exceed a binomial of success
    probability e^epsilon / (1 + e^epsilon): with v right guesses its tail probability is at most
    P[B >= v] + 2 m delta max_i P[v > B >= v - i] / i (theorem 5.2). The bound is the largest epsilon at
    which that is below 1 - ``confidence``. With delta = 0 it is the log odds of the one-sided
    Clopper-Pearson bound.

    Several independent runs count as one whose canaries and guesses are those of all: each coin influences
    one of the runs only. How many guesses are made must not depend on which of them are right.

    Args:
        guesses_correct: How many guesses are right, v.
        guesses: How many are made.
        canaries: How many coins were tossed, m.
        delta: That of the guarantee, in 0 to 1.
        confidence: The probability with which the bound holds, in 0 to 1.

    Returns:
        The bound, at least 0; it is finite.

    Raises:
        ValueError: counts or probabilities that cannot be.
    """
    if not 0 <= guesses_correct <= guesses <= canaries:
        raise ValueError(
            f"{guesses_correct} right of {guesses} guesses on {canaries} canaries: expected "
            "0 <= guesses_correct <= guesses <= canaries"
        )
    if not 0 <= delta <= 1 or not 0 < confidence < 1:
        raise ValueError(f"delta {delta!r}, confidence {confidence!r}: expected probabilities")
    if guesses_correct == 0:
        return 0.0

    def excess(epsilon: float) -> float:
        return _tail_probability(guesses_correct, guesses, canaries, epsilon, delta) - (1 - confidence)

    # Without delta nothing but the binomial tail is in the way, so the bound is largest there.
    share = betaincinv(guesses_correct, guesses - guesses_correct + 1, 1 - confidence)
    most = float(logit(share))
    if most <= 0 or excess(0.0) >= 0:
        return 0.0
    return most if excess(most) <= 0 else float(brentq(excess, 0.0, most, xtol=1e-9))


def canary_guesses(scores: ArrayLike, members: ArrayLike) -> tuple[int, int]:
    """Return guesses on the canaries of each replica by its own scores, for `one_run_epsilon`.

    The quarter with the highest scores is guessed to be in the training set, the quarter with the lowest not
    to be; of the other half nothing is said.

    Args:
        scores: Higher = more likely a member, of the replica alone, ``[R, c]`` on c canaries.
        members: Whether the coin let it in, ``[R, c]``.

    Returns:
        How many guesses are right, and how many were made.
    """
    order = np.argsort(np.atleast_2d(scores), axis=1, kind="stable")
    inside = np.take_along_axis(np.atleast_2d(members).astype(bool), order, axis=1)
    count = inside.shape[1] // 4
    right = inside[:, inside.shape[1] - count :].sum() + (~inside[:, :count]).sum()
    return int(right), 2 * count * len(inside)


def _tail_probability(right: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """Return the most likely that ``right`` or more right guesses can be."""
    success = expit(epsilon)
    just_below = binom.pmf(np.arange(right - 1, -1, -1), guesses, success)
    slope = (np.cumsum(just_below) / np.arange(1, right + 1)).max()
    return float(min(1.0, binom.sf(right - 1, guesses, success) + 2 * canaries * delta * slope))
