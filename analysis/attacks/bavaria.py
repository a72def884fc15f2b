"""LiRA with a prior on centres and spreads, fitted to all examples: for examples with few shadows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, digamma, log_ndtr, polygamma, stdtr

from analysis.attacks.arrays import Bools, Floats, masks, with_queries
from analysis.attacks.left_out import Compare, pairs_won

FLOOR = 1e-4  # logits; a smaller spread counts as this one, as in LiRA
_CHUNK = 1 << 17  # elements of [R, chunk] that stay in cache
_LEAST, _MOST = 1e-3, 1e9  # shadows that a prior on variances counts for

Predictive: TypeAlias = Literal["student", "gaussian"]


class Prior(NamedTuple):
    """What all examples say of one, for each target.

    Attributes:
        variance: typical variance of a side, ``[2, R]``; index 0 is OUT, 1 is IN.
        freedom: how many further shadows it counts for, ``[2, R]``; infinite: all examples have it.
        gap: mean of IN centre minus OUT centre, ``[R]``.
        trust: how far an example's own gap counts, ``[R]``; 0: all examples have the mean gap.
    """

    variance: Floats
    freedom: Floats
    gap: Floats
    trust: Floats


class _Side(NamedTuple):
    """One side of a chunk of examples as each target's shadows show it, the target left out: ``[R, b]``.

    ``usual``: the shadows that a side has on average when one replica is left out, ``[1, b]``. Widths that
    depended on ``shadows`` would tell on which side the target is, whose shadows are one fewer.
    """

    shadows: Floats
    mean: Floats
    squares: Floats  # sums of squared residuals
    usual: Floats

    @property
    def variance(self) -> Floats:
        """Without bias; NaN of a single shadow or none."""
        known = self.shadows > 1
        ratio = np.divide(self.squares, self.shadows - 1, out=np.full_like(self.mean, np.nan), where=known)
        return np.asarray(np.maximum(ratio, FLOOR**2))


Density: TypeAlias = Callable[[Floats, _Side, Floats, Floats], Floats]


def bavaria(
    margin: ArrayLike,
    members: ArrayLike,
    *,
    online: bool = True,
    predictive: Predictive = "student",
    prior: Prior | None = None,
) -> Floats:
    """Likelihood ratio of "trained on it" to "did not" with a prior on each side (Brännvall 2026, BaVarIA).

    The variance of a side of an example is taken as drawn from a scaled inverse chi-square, the conjugate
    prior, which counts like ``freedom`` further shadows of variance ``variance``. N shadows with mean m and
    sum of squared residuals S then give the posterior predictive density

    - ``student``: Student's t of v = freedom + N - 1 degrees about m, of scale^2 s2 (1 + 1/N) with
      s2 = (freedom variance + S) / v. N is the mean number of shadows when one replica is left out, and S is
      scaled to it, so that neither tells on which side the target is;
    - ``gaussian``: a normal density about m of variance (freedom variance + S) / (freedom + N).

    Online, the centres are drawn together first: of the gap between them the share ``trust`` is the example's
    own, the rest is the mean gap of all; the side with the larger variance moves further. The Gaussian one is
    LiRA with variances of each example where freedom is 0 and trust 1, LiRA with pooled variances where
    freedom is infinite; with trust 0 an example is described by one centre, as RMIA does.

    The conjugate prior and the two predictive densities follow the paper's abstract. The prior on the gap,
    the fit by `fit_prior` and the equal N are ours, so figures of the paper are not to be expected.

    Args:
        margin: the scaled logit, ``[R, n]`` or ``[R, Q, n]``; scores are averaged over queries.
        members: which replica was trained on which example, ``[R, n]``.
        online: whether the IN side takes part; else the score is the log of the OUT side's probability of
            less than the target's margin.
        predictive: ``student`` or ``gaussian``.
        prior: by default fitted to each query.

    Returns:
        Scores ``[R, n]``, higher = more likely a member; NaN where a side that the score needs has no shadow.
        Cost: O(R Q n) for all targets.

    Raises:
        ValueError: shapes that do not fit, or another predictive density.
    """
    if predictive not in ("student", "gaussian"):
        raise ValueError(f"predictive {predictive!r} is not known; expected student or gaussian")
    x = with_queries(margin)
    replicas, queries, n = x.shape
    mask = masks(members, replicas, n)
    density, below = (_student, _student_below) if predictive == "student" else (_gaussian, _gaussian_below)
    scores = np.zeros((replicas, n))
    for q in range(queries):
        known = prior or fit_prior(x[:, q], mask)
        freedom = np.clip(known.freedom, 0, _MOST)[:, :, None]
        scale = freedom * known.variance[:, :, None]
        for chunk, values, sides in _chunks(x[:, q], mask):
            if online:
                out, held = _drawn_together(sides, scale, freedom, known)
                scores[:, chunk] += density(values, held, scale[1], freedom[1])
                scores[:, chunk] -= density(values, out, scale[0], freedom[0])
            else:
                scores[:, chunk] += below(values, sides[0], scale[0], freedom[0])
    return np.asarray(scores / queries)


def bavaria_risk(
    margin: ArrayLike, members: ArrayLike, targets: Bools, *, predictive: Predictive = "student"
) -> Floats:
    """Return the AUC of online BaVarIA on each example, every pair of targets judged without both.

    As `analysis.attacks.left_out.lira_risk` does for LiRA. The prior is the median of those of all targets.

    Args:
        margin: The scaled logit, ``[R, n]`` or ``[R, Q, n]``.
        members: Which replica was trained on which example, ``[R, n]``.
        targets: Sets of replicas that are compared, bool ``[S, R]``.
        predictive: ``student`` or ``gaussian``.

    Returns:
        ``[S, n]`` in 0 to 1; NaN where no pair has another replica on each side. Cost: four densities a
        comparison, of which an example has up to 2,048.
    """
    x = with_queries(margin)
    replicas, queries, n = x.shape
    mask = masks(members, replicas, n)
    density = _student if predictive == "student" else _gaussian
    priors = [_common(fit_prior(x[:, q], mask)) for q in range(queries)]

    def compare(q: int, chunk: slice) -> Compare:
        return _Pairs(x[:, q, chunk], mask[:, chunk], priors[q], density).ahead

    return pairs_won(mask, targets, queries, compare)


class _Pairs:
    """A chunk of examples, all replicas twice over, so that any run of R of them is a slice."""

    def __init__(self, x: Floats, mask: Bools, prior: Prior, density: Density) -> None:
        self.values = np.concatenate([x - x.mean(axis=0, dtype=np.float64)] * 2)
        self.inside = np.concatenate([mask] * 2)
        self.prior, self.density = prior, density
        self.freedom = np.clip(prior.freedom, 0, _MOST)[:, :, None]
        self.scale = self.freedom * prior.variance[:, :, None]
        self.sides = [_side(self.values[: len(x)], own) for own in (~mask, mask)]

    def ahead(self, shift: int) -> Floats:
        """Return how far each replica is ahead of the one ``shift`` further, as the member of the two."""
        replicas = len(self.values) // 2
        one, other = slice(0, replicas), slice(shift, shift + replicas)
        both = [self._without(side, shift) for side in (0, 1)]
        out, held = _drawn_together(both, self.scale, self.freedom, self.prior)
        ratios = [
            self.density(self.values[rows], held, self.scale[1], self.freedom[1])
            - self.density(self.values[rows], out, self.scale[0], self.freedom[0])
            for rows in (one, other)
        ]
        return np.asarray(np.where(self.inside[one], 1, -1) * (ratios[0] - ratios[1]))

    def _without(self, side: int, shift: int) -> _Side:
        """Return a side without the one of each two that is on it."""
        whole = self.sides[side]
        first = self.inside[: len(whole.mean)] == bool(side)

        def of(values: Floats) -> Floats:
            return np.asarray(np.where(first, values, np.roll(values, -shift, axis=0)))

        left = whole.shadows.min(axis=0, keepdims=True)
        return _Side(of(whole.shadows), of(whole.mean), of(whole.squares), left)


def _common(prior: Prior) -> Prior:
    """Return one prior for all targets."""
    return Prior(*(np.median(values, axis=-1, keepdims=True) for values in prior))


def fit_prior(margin: Floats, members: Bools) -> Prior:
    """Return the prior of each target from its shadows on all examples, by moments.

    Variances: log sample variances of d degrees of freedom about a scaled inverse chi-square vary by
    trigamma(d/2) + trigamma(freedom/2), their mean gives the scale (Smyth 2004, section 6.2). Gap: what its
    variance over examples exceeds that of the noise of two centres by is the examples' own.

    Args:
        margin: ``[R, n]``.
        members: ``[R, n]``.

    Returns:
        The prior; where no side has two shadows, a variance of 1 for all and each example's own gap.
    """
    replicas = len(margin)
    logs = np.zeros((4, 2, replicas))  # how many, sum, sum of squares, sum of trigammas
    gaps = np.zeros((4, replicas))  # how many, sum, sum of squares, sum of noise variances
    for _, _, sides in _chunks(margin, members):
        noise = np.zeros(1)
        for side, part in enumerate(sides):
            variance = part.variance
            half = np.arange(1, part.shadows.max() + 1) / 2  # of 1, 2, ... degrees of freedom
            degree = np.clip(part.shadows, 2, None).astype(np.int64) - 2
            shift, spread = np.log(half) - digamma(half), polygamma(1, half)
            logs[:, side] += _sums(np.log(variance) + shift[degree], spread[degree])
            noise = noise + variance / np.maximum(part.shadows, 1)
        gaps += _sums(sides[1].mean - sides[0].mean, noise)
    count, mean, variance, sampling = _moments(logs)
    freedom = np.clip(2 * _trigamma_inverse(variance - sampling), _LEAST, _MOST)
    scale = np.where(count > 0, np.exp(mean + digamma(freedom / 2) - np.log(freedom / 2)), 1.0)
    found, gap, variance, sampling = _moments(gaps)
    own = 1 - np.divide(sampling, variance, out=np.zeros(replicas), where=variance > 0)
    return Prior(scale, freedom, gap, np.where(found > 1, np.clip(own, 0, 1), 1.0))


def _chunks(x: Floats, mask: Bools) -> Iterator[tuple[slice, Floats, list[_Side]]]:
    """Yield the chunks of examples: where, values about the examples' means, and both sides."""
    replicas, n = x.shape
    step = max(16, _CHUNK // replicas)
    for start in range(0, n, step):
        chunk = slice(start, min(start + step, n))
        values = x[:, chunk] - x[:, chunk].mean(axis=0, dtype=np.float64)
        yield chunk, values, [_side(values, own) for own in (~mask[:, chunk], mask[:, chunk])]


def _side(values: Floats, own: Bools) -> _Side:
    """Leaving out x, of N values with mean m, moves the mean by (x - m) / (N - 1)."""
    size = own.sum(axis=0, dtype=np.float64)
    mean = (values * own).sum(axis=0) / np.maximum(size, 1)
    residual = (values - mean) * own
    squares = (residual**2).sum(axis=0)
    share = 1 / np.maximum(size - 1, 1)
    return _Side(
        size - own,
        mean - residual * share,
        np.maximum(squares - residual**2 * (size * share), 0),
        (size * (1 - 1 / len(values)))[None],
    )


def _sums(values: Floats, noise: Floats) -> Floats:
    """Return number, sum, sum of squares of the values that are known, and sum of their noise: ``[4, R]``."""
    known = ~np.isnan(values + noise)
    values, noise = np.where(known, values, 0), np.where(known, noise, 0)
    return np.stack([known.sum(axis=1), values.sum(axis=1), (values**2).sum(axis=1), noise.sum(axis=1)])


def _moments(sums: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return number, mean, variance and mean noise."""
    count = np.maximum(sums[0], 1)
    mean = sums[1] / count
    return sums[0], mean, np.maximum(sums[2] / count - mean**2, 0), sums[3] / count


def _trigamma_inverse(values: Floats) -> Floats:
    """Solve trigamma(x) = value, infinite where the value is not above 0; Newton, as Smyth 2004."""
    y = np.maximum(values, 1e-12)
    x = 0.5 + 1 / y
    for _ in range(50):
        trigamma = polygamma(1, x)
        x = x + trigamma * (1 - trigamma / y) / polygamma(2, x)
    return np.asarray(np.where(values > 1e-12, x, np.inf))


def _drawn_together(sides: list[_Side], scale: Floats, freedom: Floats, prior: Prior) -> list[_Side]:
    """Both sides with their centres moved towards the mean gap, in proportion to their noise."""
    out, held = sides
    noise = [_noise(side, scale[s], freedom[s]) for s, side in enumerate(sides)]
    own = held.mean - out.mean
    move = (1 - prior.trust)[:, None] * (prior.gap[:, None] - own)
    share = noise[1] / (noise[0] + noise[1])
    return [out._replace(mean=out.mean - (1 - share) * move), held._replace(mean=held.mean + share * move)]


def _noise(side: _Side, scale: Floats, freedom: Floats) -> Floats:
    """Return the variance of the centre."""
    count = np.maximum(side.shadows, 1)
    degrees = np.maximum(freedom + count - 1, _LEAST)
    return np.asarray(np.maximum((scale + side.squares) / degrees, FLOOR**2) / count)


def _posterior(side: _Side, scale: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Posterior scale s2 of the variance, and its degrees of freedom, the number of shadows at its mean."""
    degrees = np.maximum(side.usual - 1, 0)
    sampled = np.where(side.shadows > 1, side.variance, scale / np.maximum(freedom, _LEAST))
    total = np.maximum(freedom + degrees, _LEAST)
    return np.maximum((scale + degrees * sampled) / total, FLOOR**2), total


def _known(side: _Side) -> Floats:
    """0, NaN where there is no shadow."""
    return np.where(side.shadows > 0, 0.0, np.nan)


def _student_scale(
    values: Floats, side: _Side, scale: Floats, freedom: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return squared scale, standardised values and degrees of freedom of the predictive density."""
    variance, degrees = _posterior(side, scale, freedom)
    variance = variance * (1 + 1 / np.maximum(side.usual, _LEAST)) + _known(side)
    return variance, (values - side.mean) / np.sqrt(variance), degrees


def _student(values: Floats, side: _Side, scale: Floats, freedom: Floats) -> Floats:
    variance, z, degrees = _student_scale(values, side, scale, freedom)
    numbers, place = np.unique(side.usual[0], return_inverse=True)
    table = np.maximum(freedom + np.maximum(numbers - 1, 0), _LEAST)
    constant = (np.log(table) / 2 + betaln(0.5, table / 2))[:, place]
    return np.asarray(-constant - np.log(variance) / 2 - (degrees + 1) / 2 * np.log1p(z**2 / degrees))


def _student_below(values: Floats, side: _Side, scale: Floats, freedom: Floats) -> Floats:
    _, z, degrees = _student_scale(values, side, scale, freedom)
    tail = np.maximum(stdtr(degrees, -np.abs(z)), np.finfo(np.float64).tiny)
    return np.asarray(np.where(z < 0, np.log(tail), np.log1p(-tail)))


def _gaussian_scale(values: Floats, side: _Side, scale: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    count = np.maximum(freedom + side.shadows, _LEAST)
    variance = np.maximum((scale + side.squares) / count, FLOOR**2) + _known(side)
    return variance, (values - side.mean) / np.sqrt(variance)


def _gaussian(values: Floats, side: _Side, scale: Floats, freedom: Floats) -> Floats:
    variance, z = _gaussian_scale(values, side, scale, freedom)
    return np.asarray(-(np.log(2 * np.pi * variance) + z**2) / 2)


def _gaussian_below(values: Floats, side: _Side, scale: Floats, freedom: Floats) -> Floats:
    return np.asarray(log_ndtr(_gaussian_scale(values, side, scale, freedom)[1]))
