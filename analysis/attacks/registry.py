"""Membership inference: every attack by name, (signals, members) -> scores, higher = more likely a member."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from analysis.attacks.arrays import Bools, Floats
from analysis.attacks.bavaria import Predictive, bavaria, bavaria_risk
from analysis.attacks.left_out import lira_risk
from analysis.attacks.lira import Variance, lira
from analysis.attacks.quantile import quantile_regression
from analysis.attacks.reference import attack_p, attack_r, calibrated_loss
from analysis.attacks.rmia import choose_a, rmia
from analysis.attacks.threshold import threshold
from analysis.ensemble import Ensemble
from trainables.errors import UserError
from trainables.registry import lookup

__all__ = [
    "ATTACKS",
    "Attack",
    "attack_p",
    "attack_r",
    "bavaria",
    "calibrated_loss",
    "lira",
    "quantile_regression",
    "rmia",
    "run",
    "select",
    "threshold",
]

Function: TypeAlias = Callable[[Ensemble, Bools], Floats]
Risk: TypeAlias = Callable[[Ensemble, Bools], Floats]


class Rule(NamedTuple):
    """The signal ``[R, n]`` on which `threshold` learns, and whether one threshold a class."""

    signal: Callable[[Ensemble], Floats]
    per_class: bool = True

    def classes(self, signals: Ensemble) -> NDArray[np.integer[Any]]:
        """Return the examples that share a threshold: ``[n]``."""
        return signals.labels_train if self.per_class else np.zeros_like(signals.labels_train)


@dataclass(frozen=True)
class Attack:
    """One way to score: ``function(signals, members[R, n]) -> scores[R, n]``, each replica in turn a target.

    ``signals`` is the Ensemble, for its `signal`, `labels_train` and `labels_test`. ``decides``: scores above
    0 mean "member". ``queries``: how many queries an example it needs. ``population``: needs test examples.
    ``shadows``: all targets' scores on an example err together with its shadows, which intervals must hold;
    costs one more run. ``prior``: they err together on all examples; costs 16 more runs. ``rule``: likewise
    with the thresholds of this rule, whose scores the attack gives. ``replicas``: with fewer, no scores.
    ``risk``: ``(signals, targets[S, R]) -> [S, n]``, the AUC on each example over sets of targets, where that
    of the scores is biased. ``default``: part of every audit.
    """

    function: Function
    decides: bool = False
    queries: int = 1
    population: bool = False
    shadows: bool = False
    prior: bool = False
    rule: Rule | None = None
    replicas: int = 1
    risk: Risk | None = None
    default: bool = True

    def lacks(self, signals: Ensemble) -> str | None:
        """Say what keeps the attack from running on these signals."""
        queries = signals.context.queries
        if self.queries > queries:
            return f"it needs {self.queries} queries an example, the records hold {queries}"
        if self.population and not len(signals.labels_test):
            return "it needs test examples as a population"
        return None


def _plain(signals: Ensemble, name: str, side: str = "train") -> Floats:
    """Return a signal on the first, unaugmented query: ``[R, n]``."""
    return signals.signal(side, name)[:, 0]


def _p_true(signals: Ensemble, side: str) -> Floats:
    return np.exp(signals.signal(side, "log_p_true"))


def _by(rule: Rule, **about: Any) -> Attack:
    """Return the threshold attack that learns by this rule."""

    def scores(signals: Ensemble, members: Bools) -> Floats:
        clusters = signals.clusters
        if clusters.max() == 0:  # one pair of complements: all that there is to learn from
            clusters = np.arange(len(clusters))
        return threshold(rule.signal(signals), members, rule.classes(signals), clusters=clusters)

    return Attack(scores, decides=True, rule=rule, replicas=2, **about)


def _threshold(name: str, sign: int = 1, per_class: bool = True, **about: Any) -> Attack:
    return _by(Rule(lambda s: sign * _plain(s, name), per_class), **about)


def _lira(**options: Any) -> Function:
    return lambda s, m: lira(s.signal("train", "margin"), m, **options)


def _lira_risk(**options: Any) -> Risk:
    return lambda s, targets: lira_risk(s.signal("train", "margin"), s.members, targets, **options)


def _bavaria(**options: Any) -> Function:
    return lambda s, m: bavaria(s.signal("train", "margin"), m, **options)


def _bavaria_risk(**options: Any) -> Risk:
    return lambda s, targets: bavaria_risk(s.signal("train", "margin"), s.members, targets, **options)


def _online_lira(variance: Variance, **about: Any) -> Attack:
    risk = _lira_risk(variance=variance)
    return Attack(_lira(variance=variance), shadows=True, replicas=OTHERS, risk=risk, **about)


def _online_bavaria(predictive: Predictive, **about: Any) -> Attack:
    risk = _bavaria_risk(predictive=predictive)
    return Attack(_bavaria(predictive=predictive), prior=True, replicas=OTHERS, risk=risk, **about)


def _rmia(online: bool) -> Function:
    def scores(signals: Ensemble, members: Bools) -> Floats:
        p, z = _p_true(signals, "train"), _p_true(signals, "test")
        total = np.zeros(members.shape)
        for x, population in zip(p.swapaxes(0, 1), z.swapaxes(0, 1), strict=True):
            a = 0.0 if online else choose_a(x, members)
            total += rmia(x, members, population, online=online, a=a)
        total /= p.shape[1]
        return total

    return scores


def _robustness(signals: Ensemble) -> Floats:
    """Return the share of augmented queries answered right (Choquette-Choo et al. 2021)."""
    return np.asarray(signals.signal("train", "correct").mean(axis=1))


def _quantile(signals: Ensemble, members: Bools) -> Floats:
    x, z = _plain(signals, "margin"), _plain(signals, "margin", "test")
    return quantile_regression(x, members, signals.labels_train, z, signals.labels_test)


OTHERS = 3  # replicas: the target, one with and one without the example

# A new attack is one function and one line here. Those with `default=False` run when they are named.
ATTACKS: dict[str, Attack] = {
    "lira": _online_lira("auto"),
    "lira_offline": Attack(_lira(variance="auto", online=False), replicas=OTHERS),
    "rmia": Attack(_rmia(online=True), population=True, replicas=OTHERS),
    "rmia_offline": Attack(_rmia(online=False), population=True, replicas=OTHERS),
    "correctness": _threshold("correct"),
    "loss": _threshold("log_p_true", per_class=False),
    "confidence": _threshold("log_p_true"),
    "entropy": _threshold("entropy", sign=-1),
    "modified_entropy": _threshold("modified_entropy", sign=-1),
    "attack_r": Attack(lambda s, m: attack_r(_plain(s, "log_p_true"), m), replicas=OTHERS),
    "attack_p": Attack(
        lambda s, _: attack_p(_plain(s, "log_p_true"), _plain(s, "log_p_true", "test")), population=True
    ),
    "calibrated_loss": Attack(lambda s, m: calibrated_loss(_plain(s, "log_p_true"), m), replicas=OTHERS),
    "label_only": _by(Rule(_robustness), queries=2),
    "lira_per_example": _online_lira("per_example", default=False),
    "lira_pooled": _online_lira("pooled", default=False),
    "lira_offline_per_example": Attack(
        _lira(variance="per_example", online=False), default=False, replicas=OTHERS
    ),
    "lira_offline_pooled": Attack(_lira(variance="pooled", online=False), default=False, replicas=OTHERS),
    "bavaria": _online_bavaria("student", default=False),
    "bavaria_gaussian": _online_bavaria("gaussian", default=False),
    "bavaria_offline": Attack(_bavaria(online=False), default=False, replicas=OTHERS),
    "bavaria_offline_gaussian": Attack(
        _bavaria(online=False, predictive="gaussian"), default=False, replicas=OTHERS
    ),
    "entropy_global": _threshold("entropy", sign=-1, per_class=False, default=False),
    "modified_entropy_global": _threshold("modified_entropy", sign=-1, per_class=False, default=False),
    "quantile": Attack(_quantile, decides=True, population=True, default=False, replicas=OTHERS),
}


def select(names: Iterable[str] | None = None) -> dict[str, Attack]:
    """Select attacks by name.

    Args:
        names: Names of ``ATTACKS``, ``"default"`` for those of every audit, or ``package.module:function``;
            None is the default.

    Returns:
        The attacks by name, in the order given; one of your own by its function's name.

    Raises:
        UserError: A name is neither registered nor importable, or two attacks have one name.
    """
    found: dict[str, Attack] = {}
    for name in ["default"] if names is None else names:
        if name == "default":
            found |= {key: attack for key, attack in ATTACKS.items() if attack.default}
            continue
        entry: Attack | Function = lookup("attack", name, ATTACKS)
        if not isinstance(entry, Attack) and not callable(entry):
            raise UserError(
                f"attack {name!r} is a {type(entry).__name__}; expected a function (signals, members)"
            )
        attack, key = entry if isinstance(entry, Attack) else Attack(entry), name.rpartition(":")[2]
        taken = found.get(key) or ATTACKS.get(key, attack)
        if taken.function is not attack.function:
            raise UserError(f"attack {name!r}: another is called {key!r}, too; expected a name of its own")
        found[key] = attack
    return found


def run(name: str, attack: Attack, signals: Ensemble) -> Floats:
    """Run an attack on every replica.

    Args:
        name: What errors call it.
        attack: The attack.
        signals: The ensemble.

    Returns:
        Scores ``[R, n]``, float64; higher means more likely a member.

    Raises:
        UserError: A user's attack returned something else.
    """
    scores = np.asarray(attack.function(signals, signals.members))
    if scores.shape != signals.members.shape or scores.dtype.kind not in "fiub":
        raise UserError(
            f"attack {name!r} returned {scores.dtype} {scores.shape}; "
            f"expected real scores {signals.members.shape}"
        )
    return scores.astype(np.float64, copy=False)
