"""Why flat minima can leak: the linear case, solved and checked by the attacks that audit networks.

**Setting.** Gaussian data: a labelled example is a = y x ~ N(mu, S) in d dimensions, with S diagonal
without loss of generality. A replica draws n of a pool of N examples, its members, and takes the flattest
of all w with Aw = 1 (every member on its margin, n < d): w = argmin w'Gw, with G = I for SGD and G = I +
eta S for SAM (Kim et al. 2023: the sharpness of a linear model is w'Sw). The output on an example is its
margin a'w, observed with independent N(0, noise^2), as gradient noise or unfinished training would leave
it. Without noise members sit on the margin exactly, and a likelihood-ratio attack never errs.

**Theorem** (Kim et al. 2023, for any A): a non-member's output is N(mu'w, w'Sw), and its variance falls as
eta grows. Proof: let f(w) = w'w and v(w) = w'Sw. w1 minimises f + eta1 v and w2 minimises f + eta2 v over
the same set, so f1 + eta1 v1 <= f2 + eta1 v2 and f2 + eta2 v2 <= f1 + eta2 v1. Their sum is (eta2 -
eta1)(v2 - v1) <= 0.

What follows for privacy is less general. A narrower spread of non-members about a mean below the margin
helps a threshold on confidence. A likelihood-ratio attack also uses outputs far beyond the margin, and where
there are many of them (n = 200 in the default setting) it loses a little as the variance falls.

**Closed form** as n, N and d grow in proportion. In coordinates u = G^(1/2) w the data have covariance T =
S G^-1 and mean m = G^(-1/2) mu. Let k solve tr T(T+k)^-1 = n and let df2 = tr T^2 (T+k)^-2, h = m'(T+k)^-1
m, h2 = m'T(T+k)^-2 m. A rotation of the n equations leaves one that holds the members' mean b ~ N(mu, S/n)
and n - 1 centred ones, so u = P b / b'Pb, P the projection on the null space of the latter; and P ~
k(T+k)^-1, P T P ~ k^2 T(T+k)^-2 n/(n-df2) (Hastie et al. 2022). Hence

    mean      mu'w = h / (1+h),        variance  w'Sw = (n h2 + df2) / ((n-df2) (1+h)^2),
    covariance of two replicas of one pool   (N h2 + df2) / ((N-df2) (1+h)^2),

the last because their members overlap by n^2/N (Patil, Du and Kuchibhotla 2023). It is the variance of
non-members' centres over examples; the rest of the variance is what a per-example attack such as LiRA sees
about a centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from analysis.attacks.registry import lira, threshold
from analysis.metrics import advantage

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Setting:
    """The Gaussian world: ``n`` members of a pool of ``pool`` in ``d`` dimensions.

    Variances fall as j^-``decay`` with mean 1; the two classes are 2 ``signal`` apart in units of the
    spread within each (the best classifier is right with probability Phi(signal)); ``noise`` is the
    outputs' standard deviation.
    """

    n: int = 100
    pool: int = 200
    d: int = 400
    decay: float = 1.0
    signal: float = 1.5
    noise: float = 0.1

    @property
    def variances(self) -> Floats:
        """Variances of the dimensions, ``[d]``, with mean 1."""
        falling = np.arange(1, self.d + 1) ** -self.decay
        return np.asarray(falling / falling.mean())

    @property
    def mean(self) -> Floats:
        """The mean of the first class, ``[d]``; the second class has minus it."""
        return np.asarray(self.signal * np.sqrt(self.variances / self.d))


class Outcome(NamedTuple):
    """What G decides, each a float or an array with one entry a pool.

    ``mean`` and ``variance`` are those of a non-member's margin, ``between`` the variance of non-members'
    centres, noise not included. The advantages are those of the best global threshold on the margin
    (confidence attack) and of the likelihood ratio about each example's own centre (LiRA).
    """

    mean: Any
    variance: Any
    between: Any
    accuracy: Any
    confidence_advantage: Any
    lr_advantage: Any


def predict(setting: Setting, eta: float) -> Outcome:
    """Return the closed form of the module's text; eta = 0 is SGD."""
    g = 1 + eta * setting.variances
    t, m = setting.variances / g, setting.mean / np.sqrt(g)
    n, pool = setting.n, setting.pool
    k = brentq(lambda k: (t / (t + k)).sum() - n, 0, t.sum() / n)
    df2 = float(((t / (t + k)) ** 2).sum())
    h, h2 = float((m**2 / (t + k)).sum()), float((m**2 * t / (t + k) ** 2).sum())
    mean = h / (1 + h)
    variance = (n * h2 + df2) / ((n - df2) * (1 + h) ** 2)
    between = (pool * h2 + df2) / ((pool - df2) * (1 + h) ** 2)
    within = np.sqrt(variance - between + setting.noise**2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    by_centre = gaussian_advantages(1, setting.noise, mean + np.sqrt(between) * nodes, within).ratio
    return Outcome(
        mean=mean,
        variance=variance,
        between=between,
        accuracy=float(ndtr(mean / np.sqrt(variance))),
        confidence_advantage=float(
            gaussian_advantages(1, setting.noise, mean, np.sqrt(variance + setting.noise**2)).threshold
        ),
        lr_advantage=float(by_centre @ weights / weights.sum()),
    )


def simulate(setting: Setting, etas: Sequence[float], *, pools: int, replicas: int, seed: int = 0) -> Outcome:
    """Simulate the same, attacked by `analysis.attacks`: each field ``[pools, len(etas)]``.

    Pools, masks and noise are shared by all ``etas``, so differences between them are paired.
    """
    rng = np.random.default_rng(seed)
    outcomes = []
    for _ in range(pools):
        data = setting.mean + np.sqrt(setting.variances) * rng.standard_normal((setting.pool, setting.d))
        members = np.zeros((replicas, setting.pool), bool)
        for row in members:
            row[rng.permutation(setting.pool)[: setting.n]] = True
        noise = setting.noise * rng.standard_normal(members.shape)
        outcomes.append([_simulated(setting, eta, data, members, noise) for eta in etas])
    return Outcome(*np.moveaxis(np.array(outcomes), -1, 0))


def _simulated(
    setting: Setting, eta: float, data: Floats, members: NDArray[np.bool_], noise: Floats
) -> list[float]:
    weights = interpolate(data, members, 1 + eta * setting.variances)
    means, variances = weights @ setting.mean, (weights**2) @ setting.variances
    pairs = len(members) * (len(members) - 1)
    shared = (weights.sum(axis=0) ** 2 @ setting.variances - variances.sum()) / pairs
    margin = weights @ data.T + noise
    labels = np.zeros(setting.pool, np.int64)
    ratio = lira(margin, members, variance="pooled")
    confidence = threshold(margin, members, labels, per_class=False)
    return [
        float(means.mean()),
        float(variances.mean()),
        float(shared),
        float(ndtr(means / np.sqrt(variances)).mean()),
        advantage(confidence, members),
        advantage(ratio, members),
    ]


def interpolate(data: ArrayLike, members: ArrayLike, g: ArrayLike) -> Floats:
    """Return the w of least w'Gw with Aw = 1, A the members' rows of ``data[N, d]``, G = diag(``g[d]``).

    w = G^-1 A' (A G^-1 A')^-1 1 for every row of ``members[R, N]``, all with the same number of members:
    ``[R, d]``.
    """
    a, masks = np.asarray(data, np.float64), np.asarray(members).astype(bool, copy=False)
    scaled = a / np.asarray(g, np.float64)
    gram = scaled @ a.T
    rows = np.nonzero(masks)[1].reshape(len(masks), -1)
    duals = np.zeros(masks.shape)
    solved = np.linalg.solve(gram[rows[:, :, None], rows[:, None, :]], np.ones((*rows.shape, 1)))[..., 0]
    np.put_along_axis(duals, rows, solved, axis=1)
    return np.asarray(duals @ scaled)


class Advantages(NamedTuple):
    """TPR - FPR at its best: of one threshold, and of the likelihood ratio (the total variation distance)."""

    threshold: Floats
    ratio: Floats


def gaussian_advantages(
    mean_in: ArrayLike, sd_in: ArrayLike, mean_out: ArrayLike, sd_out: ArrayLike
) -> Advantages:
    """Best advantages against N(mean_in, sd_in^2) for members and N(mean_out, sd_out^2), sd_out > sd_in > 0.

    The densities cross twice, at the roots of (x-m1)^2/s1^2 - (x-m0)^2/s0^2 = 2 log(s0/s1); the likelihood
    ratio says "member" between them, a threshold above the lower one.
    """
    m1, s1, m0, s0 = (np.asarray(x, np.float64) for x in (mean_in, sd_in, mean_out, sd_out))
    a = 1 / s1**2 - 1 / s0**2
    centre = (m1 / s1**2 - m0 / s0**2) / a
    half = np.sqrt(centre**2 - (m1**2 / s1**2 - m0**2 / s0**2 - 2 * np.log(s0 / s1)) / a)
    low, high = centre - half, centre + half
    above_low = ndtr((m1 - low) / s1) - ndtr((m0 - low) / s0)
    above_high = ndtr((m1 - high) / s1) - ndtr((m0 - high) / s0)
    return Advantages(above_low, above_low - above_high)


def theory_table(
    setting: Setting | None = None,
    etas: Sequence[float] = (0, 0.1, 0.3, 1, 3, 10),
    *,
    pools: int = 8,
    replicas: int = 64,
    seed: int = 0,
) -> pd.DataFrame:
    """Set the closed form beside the simulation: a row an eta, for each field of `Outcome` the prediction.

    ``<field>_simulated`` is the mean over pools, ``<field>_se`` its standard error over pools. The defaults
    take about two seconds.
    """
    setting = setting or Setting()
    simulated = simulate(setting, etas, pools=pools, replicas=replicas, seed=seed)
    table = pd.DataFrame([predict(setting, eta)._asdict() for eta in etas])
    for name, values in simulated._asdict().items():
        table[f"{name}_simulated"] = values.mean(axis=0)
        table[f"{name}_se"] = values.std(axis=0, ddof=1) / np.sqrt(pools)
    table.insert(0, "eta", np.asarray(etas, np.float64))
    return table


def relative_table(*, pools: int = 6, replicas: int = 32, seed: int = 0) -> pd.DataFrame:
    """Return what flatness does to the linear case, relative to SGD (eta = 0), for the page's figure.

    Returns:
        One row a metric (``variance``, ``confidence_advantage``, ``lr_advantage``) and eta: ``predicted``,
        the closed form; at every eighth eta also ``simulated``, the mean ratio over pools, with the ends
        ``low`` and ``high`` of its 95 % interval (normal, over pools).
    """
    setting, etas = Setting(), np.logspace(-2, 1, 25)
    base, closed = predict(setting, 0.0), [predict(setting, float(eta)) for eta in etas]
    some = slice(None, None, 8)
    seen = simulate(setting, [0.0, *etas[some].tolist()], pools=pools, replicas=replicas, seed=seed)
    parts = []
    for name in ("variance", "confidence_advantage", "lr_advantage"):
        ratios = getattr(seen, name)[:, 1:] / getattr(seen, name)[:, :1]
        middle, half = ratios.mean(axis=0), 1.96 * ratios.std(axis=0, ddof=1) / np.sqrt(pools)
        predicted = np.array([getattr(outcome, name) for outcome in closed]) / getattr(base, name)
        part = pd.DataFrame({"metric": name, "eta": etas, "predicted": predicted})
        part.loc[part.index[some], ["simulated", "low", "high"]] = np.column_stack(
            [middle, middle - half, middle + half]
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
