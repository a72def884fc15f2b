"""What training on one example does to the prediction on another (Feldman and Zhang 2020, equation 2).

All pairs at once are one matrix product: with c_jr = 1 where replica r classifies test point j rightly and
m_ri = 1 where example i is IN, P = C M counts "right and IN". Right and OUT is what is left of the row's
total, so

    influence_ji = P_ji / in_i - (right_j - P_ji) / out_i.

Of two replicas that are complements, one product serves both: see `_folded`. Counts below 2^24 are exact in
float32, whatever the order of summation; so results do not depend on the chunks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]

_CACHE = 1 << 19  # bytes that one pass over a chunk should touch, within a core's second-level cache
_CORES = os.cpu_count() or 1
_RUNS = 64  # values in a run whose maximum is taken


def influence(
    correct_test: ArrayLike, members: ArrayLike, *, max_bytes: int = 2 << 30, device: str | None = None
) -> Floats:
    """Estimate the influence of every training example on every test example.

    That is the mean over the replicas with the training example IN minus the mean over those with it OUT
    (Feldman and Zhang 2020, equation 2). For more pairs than memory holds see `influence_chunks` and
    `influence_summary`.

    Args:
        correct_test: bool ``[R, m]``, or any score such as the probability of the true class.
        members: bool ``[R, n]``: which training examples each replica trained on.
        max_bytes: Bounds the result and the working memory together, beside the tens of MiB that a library
            keeps for its matrix products. Where the result alone leaves no room, the smallest chunks are
            used.
        device: ``"cuda"`` lets torch take the product there; None is NumPy.

    Returns:
        float32 ``[m, n]``, in -1..1 for correctness; NaN in the columns of examples that are never IN or
        never OUT.

    >>> influence([[1], [1], [0], [1]], [[1], [1], [0], [0]])
    array([[0.5]], dtype=float32)
    """
    correct, members = _checked(correct_test, members)
    result = np.empty((correct.shape[1], members.shape[1]), np.float32)
    for _ in _filled(correct, members, max_bytes - result.nbytes, device, result):
        pass
    return result


def influence_chunks(
    correct_test: ArrayLike, members: ArrayLike, *, max_bytes: int = 2 << 30, device: str | None = None
) -> Iterator[tuple[slice, Floats]]:
    """Stream `influence` by chunks of test points.

    Each chunk is overwritten by the next one: use it or copy it before going on.

    Args:
        correct_test: bool ``[R, m]``, or any score.
        members: bool ``[R, n]``.
        max_bytes: Bounds the memory in use.
        device: ``"cuda"`` lets torch take the product there, in about as much of its memory at most; None is
            NumPy.

    Yields:
        A slice of test points and their influences, float32 ``[rows, n]``.
    """
    correct, members = _checked(correct_test, members)
    yield from _filled(correct, members, max_bytes, device, None)


def influence_entropy(influence: ArrayLike) -> Floats:
    """Return the entropy of each test point's influences: of p_i = |influence_i| / sum |influence|.

    It is low where few training examples carry the prediction (an atypical point) and log n where all are
    alike.

    Args:
        influence: ``[m, n]``; NaN is left out.

    Returns:
        Nats, float64 ``[m]``, 0..log n; NaN for a test point on which nothing has influence.

    >>> influence_entropy([[0.5, -0.5, 0.0]])
    array([0.69314718])
    """
    rows = np.atleast_2d(np.asarray(influence))
    rows = rows if rows.dtype.kind == "f" else rows.astype(np.float64)
    return np.array([_entropy(np.nan_to_num(row, nan=0.0)) for row in rows], np.float64)


class InfluenceSummary(NamedTuple):
    """What `influence_summary` keeps; all but ``entropy`` are columns of one table of pairs."""

    entropy: Floats  # [m] nats
    test: NDArray[np.int64]
    train: NDArray[np.int64]
    influence: Floats
    rank: NDArray[np.int64]  # 1, 2, ... by falling influence (helpers), -1, -2, ... by rising (harmers)


def influence_summary(
    correct_test: ArrayLike,
    members: ArrayLike,
    *,
    top: int = 0,
    above: float | None = None,
    max_bytes: int = 2 << 30,
    device: str | None = None,
) -> InfluenceSummary:
    """Return every test point's entropy and its strongest pairs, streamed over `influence_chunks`.

    Memory is ``max_bytes`` and what is kept, for any number of pairs. Ties go to the lower training index.

    Args:
        correct_test: bool ``[R, m]``, or any score.
        members: bool ``[R, n]``.
        top: Helpers (positive influence) and harmers (negative) kept for each test point; a point with fewer
            of them has fewer rows.
        above: Keeps also the pairs with |influence| above it, at rank 0.
        max_bytes: Bounds the memory in use beside what is kept.
        device: ``"cuda"`` lets torch take the product there; None is NumPy.

    Returns:
        The entropies and the pairs.
    """
    found: list[tuple[float, NDArray[Any], Floats, NDArray[Any]]] = []
    chunks = influence_chunks(correct_test, members, max_bytes=max_bytes * 3 // 4, device=device)
    with ThreadPoolExecutor(_CORES) as pool:
        # A quarter is left for the sorting and the logarithms, which work on single rows of a chunk.
        for _, chunk in chunks:
            chunk[:, np.isnan(chunk[0])] = 0  # whole columns are NaN: never IN or never OUT
            parts = np.array_split(chunk, _CORES)
            for part in pool.map(_summaries, parts, repeat(top), repeat(above)):
                found += part
    entropy, *pairs = zip(*found, strict=True)
    test = np.repeat(np.arange(len(found)), [len(train) for train in pairs[0]])
    return InfluenceSummary(np.array(entropy), test, *map(np.concatenate, pairs))


def _summaries(
    chunk: Floats, top: int, above: float | None
) -> list[tuple[float, NDArray[Any], Floats, NDArray[Any]]]:
    """Return the entropy and the kept pairs of each test point of a chunk without NaN."""
    return [(_entropy(values), *_pairs(values, top, above)) for values in chunk]


def _pairs(values: Floats, top: int, above: float | None) -> tuple[NDArray[Any], Floats, NDArray[Any]]:
    """(train, influence, rank) of one test point's kept pairs."""
    helpers, harmers = _largest(values, top), _largest(values, top, sign=-1)
    train = np.concatenate([helpers, harmers])
    rank = np.concatenate([1 + np.arange(len(helpers)), -1 - np.arange(len(harmers))])
    if above is not None:
        rest = np.setdiff1d(np.flatnonzero(np.abs(values) > above), train)
        train, rank = np.concatenate([train, rest]), np.concatenate([rank, np.zeros(len(rest), np.int64)])
    return train, values[train], rank


def _largest(values: Floats, top: int, sign: int = 1) -> NDArray[np.int64]:
    """Return the indices of the ``top`` largest positive values of one sign, largest first, ties by index.

    The top-th largest maximum of runs of values bounds the top-th largest value from below, so that few
    values are left to sort.
    """
    if not top:
        return np.zeros(0, np.int64)
    cut = len(values) // _RUNS * _RUNS
    runs = values[:cut].reshape(_RUNS, -1)  # every so many values apart: one vectorised maximum a row
    peaks = np.append(runs.max(axis=0) if sign > 0 else -runs.min(axis=0), sign * values[cut:])
    floor = np.partition(peaks, -top)[-top] if top <= len(peaks) else -np.inf
    floor = max(floor, np.finfo(np.float32).tiny)
    index = np.flatnonzero(values >= floor if sign > 0 else values <= -floor)
    chosen = sign * values[index]
    if len(index) > top:
        last = np.partition(chosen, -top)[-top]
        index = np.sort(np.concatenate([index[chosen > last], index[chosen == last]])[:top])
        chosen = sign * values[index]
    return index[np.argsort(-chosen, kind="stable")][:top]


def _entropy(values: Floats) -> float:
    """Return the entropy of one row without NaN."""
    size = np.abs(values)
    total = size.sum(dtype=np.float64)
    if not total:
        return np.nan
    logs = np.maximum(size, np.finfo(size.dtype).tiny)  # 0 log 0 is 0
    np.log(logs, out=logs)
    logs *= size
    # -sum p log p with p = size / total, without forming p.
    return float(np.log(total) - logs.sum(dtype=np.float64) / total)


def _checked(correct_test: ArrayLike, members: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    correct, mask = np.asarray(correct_test), np.asarray(members).astype(bool, copy=False)
    if correct.ndim != 2 or mask.ndim != 2 or len(correct) != len(mask):
        raise ValueError(
            f"expected correct_test[R, m] and members[R, n], got {correct.shape} and {mask.shape}"
        )
    return correct, mask


def _filled(
    correct: NDArray[Any], members: NDArray[np.bool_], budget: int, device: str | None, out: Floats | None
) -> Iterator[tuple[slice, Floats]]:
    """Fill rows of ``out``, or of one buffer that is used again and again, chunk by chunk."""
    (replicas, tests), n = correct.shape, members.shape[1]
    count = members.sum(axis=0).astype(np.float32)
    ins = np.where((count > 0) & (count < replicas), count, np.nan)
    outs = replicas - ins
    right = correct.sum(axis=0, dtype=np.float64).astype(np.float32)[:, None]
    correct, members = _folded(correct, members)
    replicas = len(members)
    # A column tile of float32 masks takes an eighth of the budget; test rows take the rest, with a device
    # also their product with a tile, which torch hands over whole.
    tile = max(256, budget // 8 // (4 * replicas))
    row_bytes = 4 * (replicas + (n if out is None else 0) + (tile if device else 0))
    rows = min(tests, max(16, (budget * 7 // 8 - _CORES * _CACHE) // row_bytes))
    buffer = np.empty((rows, n), np.float32) if out is None else None
    with ThreadPoolExecutor(_CORES) as pool:
        for start in range(0, tests, rows):
            span = slice(start, min(start + rows, tests))
            chunk = out[span] if buffer is None else buffer[: span.stop - start]  # type: ignore[index]
            left = np.ascontiguousarray(correct[:, span].T, dtype=np.float32)
            for column in range(0, n, tile):
                _product(left, members[:, column : column + tile], chunk[:, column : column + tile], device)
            # The product has threads of its own; NumPy's other passes let go of the interpreter lock.
            shares = np.array_split(chunk, _CORES), np.array_split(right[span], _CORES)
            list(pool.map(_averaged, *shares, repeat(ins), repeat(outs)))
            yield span, chunk


def _folded(correct: NDArray[Any], members: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Fewer rows with the same product ``correct.T @ members``, where neighbours are complements.

    With masks m and 1 - m, c m + c' (1 - m) = (c - c') m + c': half as many rows, and one of the sums of c'
    whose mask is all ones. Whole numbers stay exact; other scores are left as they are.
    """
    pairs = len(members) // 2
    whole = correct.dtype == bool and len(members) == 2 * pairs > 2
    if not whole or (members[::2] == members[1::2]).any():
        return correct, members
    one, other = correct[::2].astype(np.float32), correct[1::2].astype(np.float32)
    folded = np.concatenate([one - other, other.sum(axis=0, keepdims=True)])
    return folded, np.concatenate([members[::2], np.ones((1, members.shape[1]), bool)])


def _averaged(counts: Floats, right: Floats, ins: Floats, outs: Floats) -> None:
    """Turn counts of "right and IN" ``[rows, n]`` into influence, in place, in cache-sized passes."""
    step = max(1, _CACHE // (4 * max(1, counts.shape[1])))
    for i in range(0, len(counts), step):
        part = counts[i : i + step]
        held_out = right[i : i + step] - part
        held_out /= outs
        part /= ins
        part -= held_out


def _product(left: Floats, mask: NDArray[np.bool_], out: Floats, device: str | None) -> None:
    if device is None:
        np.matmul(left, mask.astype(np.float32), out=out)
        return
    import torch

    product = torch.from_numpy(left).to(device) @ torch.from_numpy(mask).to(device).float()
    out[...] = product.cpu().numpy()
