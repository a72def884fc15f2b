"""Ensemble -> what its models leak: one row of figures with intervals, and the tables behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from analysis.attacks import registry
from analysis.audit.attack_figures import try_attack
from analysis.audit.ledger import Ledger
from analysis.audit.outcome import Audit, Options
from analysis.ensemble import Ensemble
from analysis.epsilon import canary_guesses, one_run_epsilon
from analysis.memorization import (
    margin_gap,
    memorization,
    memorization_figures,
    memorization_se,
    nonmember_variance,
)
from analysis.statistics.intervals import centred
from trainables.errors import UserError


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
    ledger = Ledger(ensemble, options, among)
    _training(ledger)
    _memorization(ledger)
    _one_run(ledger)

    def attacked(name: str) -> Ledger:
        part = ledger.branch()
        try_attack(part, name, chosen[name])
        return part

    with nullcontext(pool) if pool else side_by_side(threads) as workers:
        for part in workers.map(attacked, chosen):
            ledger.join(part)
    return ledger.finish()


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


def _training(ledger: Ledger) -> None:
    total = ledger.weights.sum(axis=1)
    for name in ("test_accuracy", "train_accuracy"):
        values = ledger.ensemble.per_replica(name)
        ledger.figure(name, values.mean(), ledger.weights @ values / total)
    ledger.row["train_seconds"] = float(ledger.ensemble.per_replica("seconds").mean())
    epsilon = ledger.ensemble.per_replica("epsilon")
    if np.isfinite(epsilon).all():
        ledger.row |= {
            "epsilon": float(epsilon.max()),
            "delta": float(ledger.ensemble.per_replica("delta").max()),
        }


def _memorization(ledger: Ledger) -> None:
    """Figures and their bootstrap; a redrawn share above a threshold is biased, so draws are centred."""
    correct = ledger.ensemble.signal("train", "correct")[:, 0]
    estimates = memorization_figures(correct, ledger.members)
    draws = memorization_figures(correct, ledger.members, ledger.weights)
    names = ("memorization", "memorization_rate", "memorization_middle")
    for name, (estimate,), drawn in zip(names, estimates, draws, strict=True):
        ledger.figure(name, estimate, centred(drawn, estimate))
    ledger.columns["memorization"] = memorization(correct, ledger.members)
    if ledger.options.attacks:  # without any, the audit reads no other signal than correctness
        margin = ledger.ensemble.signal("train", "margin")[:, 0]
        (variance,) = nonmember_variance(margin, ledger.members)
        drawn = nonmember_variance(margin, ledger.members, ledger.weights)
        ledger.figure("nonmember_variance", variance, centred(drawn, variance))
        ledger.columns["margin_gap"] = margin_gap(margin, ledger.members)
    ledger.columns["memorization_se"] = memorization_se(correct, ledger.members)
    undefined = int(np.isnan(ledger.columns["memorization"]).sum())
    if undefined:
        ledger.note(f"memorization: {undefined} examples without an IN or an OUT replica were left out")


def _one_run(ledger: Ledger) -> None:
    """Bound epsilon by guesses on canaries by the margin alone: the recipe as one run on all coins."""
    if not ledger.by_coin:
        return
    margin = ledger.ensemble.signal("train", "margin").mean(axis=1)
    right, made = canary_guesses(margin, ledger.members)
    ledger.row["one_run_epsilon"] = one_run_epsilon(
        right, made, ledger.members.size, ledger.options.delta, ledger.options.confidence
    )
