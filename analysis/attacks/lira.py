"""The likelihood-ratio attack, every replica in turn as target by closed-form leave-one-out."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr

from analysis.attacks.arrays import Bools, Floats, masks, with_queries

FLOOR = 1e-4  # logits; a smaller spread counts as this one
PER_EXAMPLE_FROM = 64  # shadows
_CHUNK = 1 << 14  # elements of [R, chunk] that stay in cache

Rows: TypeAlias = NDArray[np.integer[Any]]
Variance: TypeAlias = Literal["per_example", "pooled", "auto"]


def lira(
    margin: ArrayLike,
    members: ArrayLike,
    *,
    online: bool = True,
    variance: Variance = "per_example",
    targets: ArrayLike | None = None,
) -> Floats:
    """Return the likelihood ratio of "trained on it" to "did not" (Carlini et al. 2022, sections V and VI).

    Each target is attacked with all other replicas as shadows. Online, the score is log N(x; in) - log N(x;
    out); offline, log Phi((x - mu_out) / sigma_out); averaged over queries. Centres are means over the
    shadows with the example IN (OUT). Spreads are population deviations; one below 0.0001 counts as 0.0001.

    All targets cost about what one costs without the closed form, O(R Q n); memory beyond the scores is a
    cache-sized chunk. With N values of mean m and sum of squared residuals S, leaving out x gives the
    residual (x - m) N/(N-1) and S - (x - m)^2 N/(N-1); everything is centred in float64 first.

    Args:
        margin: Scaled logits ``[R, n]``, or ``[R, Q, n]`` of Q queries.
        members: bool ``[R, n]``.
        online: Whether the shadows with the example IN take part.
        variance: ``per_example``: a spread for each side of each example. ``pooled``: one a side, of all
            residuals about the examples' own centres. ``auto``: per_example with at least 64 shadows, else
            pooled, a rule that looks at the number of replicas only, which tells nothing about membership.
        targets: Indices ``[T]`` of the replicas to attack; by default all.

    Returns:
        Scores ``[T, n]``; higher means more likely a member. NaN where a side that the score needs has no
        shadow: both online, OUT offline.

    Raises:
        ValueError: Shapes that do not agree, or an unknown ``variance``.

    >>> rng = np.random.default_rng(0)
    >>> members = rng.random((32, 200)) < 0.5
    >>> scores = lira(rng.normal(size=(32, 200)) + 3 * members, members)
    >>> bool(scores[members].mean() > scores[~members].mean())
    True
    """
    x = with_queries(margin)
    replicas, queries, n = x.shape
    mask = masks(members, replicas, n)
    rows = np.arange(replicas) if targets is None else np.atleast_1d(np.asarray(targets))
    variance = resolved(variance, replicas)
    score = _online if online else _offline
    scores = np.zeros((len(rows), n))
    step = max(16, _CHUNK // replicas)
    chunks = [slice(i, min(i + step, n)) for i in range(0, n, step)]
    for q in range(queries):
        spread = _pooled(x[:, q], mask, chunks)[:, rows, None] if variance == "pooled" else None
        for chunk in chunks:
            sides = _sides(x[:, q, chunk], mask[:, chunk])
            scores[:, chunk] += score(sides, rows, spread)
    scores /= queries
    return scores


def resolved(variance: Variance, replicas: int) -> Variance:
    """``per_example`` or ``pooled``, which ``auto`` decides on.

    Raises:
        ValueError: Another rule.
    """
    if variance == "auto":
        return "per_example" if replicas > PER_EXAMPLE_FROM else "pooled"
    if variance not in ("per_example", "pooled"):
        raise ValueError(f"variance {variance!r} is not known; expected per_example, pooled or auto")
    return variance


class _Sides(NamedTuple):
    """One chunk of examples about its own centres. Index 0 is OUT, 1 is IN; all float64 but the mask."""

    x: Floats  # [R, b]
    mask: Bools  # [R, b]
    size: Floats  # [2, b]
    mean: Floats  # [2, b]
    squares: Floats  # [2, b] sums of squared residuals

    def without_own(self, side: int) -> Floats:
        """N/(N-1), what leaving a value out does to its own residual: ``[b]``, NaN where nothing is left."""
        count = self.size[side]
        return np.asarray(np.divide(count, count - 1, out=np.full_like(count, np.nan), where=count > 1))


def _sides(x: Floats, mask: Bools) -> _Sides:
    x = x - x.mean(axis=0, dtype=np.float64)
    sums_in, count_in = (x * mask).sum(axis=0), mask.sum(axis=0, dtype=np.float64)
    sums = np.stack([x.sum(axis=0) - sums_in, sums_in])
    count = np.stack([len(x) - count_in, count_in])
    mean = sums / np.maximum(count, 1)
    squares = (x - np.where(mask, mean[1], mean[0])) ** 2
    squares_in = (squares * mask).sum(axis=0)
    return _Sides(x, mask, count, mean, np.stack([squares.sum(axis=0) - squares_in, squares_in]))


def _pooled(x: Floats, mask: Bools, chunks: list[slice]) -> Floats:
    """Return leave-one-out variance of all residuals of a side, for each target: ``[2, R]``."""
    squares, count = np.zeros((2, len(x))), np.zeros((2, len(x)))
    for chunk in chunks:
        sides = _sides(x[:, chunk], mask[:, chunk])
        for side in (0, 1):
            own = sides.mask if side else ~sides.mask
            shrink = np.nan_to_num(sides.without_own(side)) * own
            squares[side] += sides.squares[side].sum() - ((sides.x - sides.mean[side]) ** 2 * shrink).sum(
                axis=1
            )
            count[side] += sides.size[side].sum() - own.sum(axis=1)
    return _floored(squares / np.maximum(count, 1))


def _floored(variance: Floats) -> Floats:
    return np.maximum(variance, FLOOR**2)


def _own_variance(residual: Floats, squares: Floats, count: Floats, shrink: Floats) -> Floats:
    """Return per-example variance of a side without the target's own value on it."""
    return _floored((squares - residual**2 * shrink) / np.maximum(count - 1, 1))


def _online(sides: _Sides, rows: Rows, pooled: Floats | None) -> Floats:
    """Score targets, each of which is on one side of an example and leaves that side's statistics."""
    x, mask = sides.x[rows], sides.mask[rows]

    def pick(table: Floats, flip: bool = False) -> Floats:
        return np.asarray(np.where(mask, table[1 - flip], table[0 + flip]))

    shrink = pick(np.stack([sides.without_own(0), sides.without_own(1)]))
    own, other = x - pick(sides.mean), x - pick(sides.mean, flip=True)
    if pooled is None:
        own_variance = _own_variance(own, pick(sides.squares), pick(sides.size), shrink)
        missing = np.where(sides.size > 0, 1.0, np.nan)
        log_other = np.log(other_table := _floored(sides.squares / np.maximum(sides.size, 1))) * missing
        other_variance, log_other_variance = pick(other_table, flip=True), pick(log_other, flip=True)
    else:
        own_variance, other_variance = pick(pooled), pick(pooled, flip=True)
        missing = np.where(sides.size > 0, 0.0, np.nan)
        log_other_variance = np.log(other_variance) + pick(missing, flip=True)
    own *= shrink
    ratio = other**2 / other_variance - own**2 / own_variance + log_other_variance - np.log(own_variance)
    return np.asarray(np.where(mask, ratio, -ratio) / 2)


def _offline(sides: _Sides, rows: Rows, pooled: Floats | None) -> Floats:
    """Only the OUT side counts, and only a non-member target leaves it."""
    x, mask = sides.x[rows], sides.mask[rows]
    count, squares = sides.size[0], sides.squares[0]
    shrink = np.where(mask, np.where(count > 0, 1.0, np.nan), sides.without_own(0))
    residual = x - sides.mean[0]
    if pooled is None:
        whole = _floored(squares / np.maximum(count, 1))
        variance = np.where(mask, whole, _own_variance(residual, squares, count, shrink))
    else:
        variance = np.broadcast_to(pooled[0], x.shape)
    return np.asarray(log_ndtr(residual * shrink / np.sqrt(variance)))
