"""Memorization from a sweep beside scores that others published for the same images.

    python -m analysis.studies.published runs/cifar10 scores.npz [scores.npz ...]

Prints the tables of the sweep's first recipe and leaves them in its ``results/published_<table>.parquet``.
``scores.npz`` holds ``cscore[n]`` (Jiang et al. 2021, consistency: high = typical), or ``tr_idx`` and ``mem``
and the histogram ``mem_cifar100_counts``, ``mem_cifar100_edges`` (Feldman and Zhang 2020), in the data set's
original order.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.audit.proxies import rank_correlation, spearman
from analysis.ensemble import Ensemble, load_sweep
from analysis.memorization import memorization
from trainables.data.dataset import subset_index
from trainables.directory import write_table
from trainables.errors import UserError
from trainables.registry import lookup
from trainables.storage import as_store


def agreement(
    correct: ArrayLike,
    members: ArrayLike,
    published: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    replicas: Sequence[int] | None = None,
    draws: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank correlation of memorization with published scores, as a function of the number of replicas.

    ``correct[R, n]``, ``members[R, n]``, ``published[n]`` (NaN where there is none), ``clusters[R]`` the
    replicas that belong together. ``replicas`` defaults to powers of two from 4 and R. Columns ``replicas,
    correlation, low, high, reliability, ceiling``. Below R the correlation is the mean over ``draws``
    random choices of replicas, and low and high are their 2.5 and 97.5 % quantiles; at R they are the
    bootstrap interval over examples. ``reliability`` is the rank correlation of memorization from two
    disjoint sets of that many replicas (up to R/2); its square root, ``ceiling``, is about the most that
    scores this noisy could correlate with anything.
    """
    correct, members = np.asarray(correct), np.asarray(members).astype(bool, copy=False)
    published = np.asarray(published, np.float64)
    groups = np.arange(len(correct)) if clusters is None else np.asarray(clusters)
    units = np.unique(groups)
    per_unit = len(groups) / len(units)
    counts = replicas or sorted({*(2**p for p in range(2, 20) if 2**p < len(correct)), len(correct)})
    rng = np.random.default_rng(seed)
    rows = []
    for count in counts:
        take = max(1, round(count / per_unit))
        picks = [rng.permutation(units) for _ in range(draws)]
        sets = [(np.isin(groups, p[:take]), np.isin(groups, p[take : 2 * take])) for p in picks]
        if take >= len(units):
            whole = rank_correlation(memorization(correct, members), published, seed=seed)
            rows.append({"replicas": len(correct), **dict(zip(COLUMNS, whole, strict=True))})
            continue
        scores = [memorization(correct[own], members[own]) for own, _ in sets]
        found = [spearman(score, published) for score in scores]
        row = dict(zip(COLUMNS, (np.mean(found), *np.quantile(found, [0.025, 0.975])), strict=True))
        if 2 * take <= len(units):
            others = [memorization(correct[other], members[other]) for _, other in sets]
            row["reliability"] = np.mean([spearman(a, b) for a, b in zip(scores, others, strict=True)])
            row["ceiling"] = np.sqrt(max(0.0, row["reliability"]))
        rows.append({"replicas": count, **row})
    return pd.DataFrame(rows, columns=["replicas", *COLUMNS, "reliability", "ceiling"])


COLUMNS = ("correlation", "low", "high")


def histogram_beside(scores: ArrayLike, counts: ArrayLike, edges: ArrayLike) -> pd.DataFrame:
    """Shares of memorization scores in the bins of a published histogram: ``low, high, published, here``.

    Scores below the first edge (memorization may be negative) count in the first bin, above the last in the
    last.
    """
    edges, counts = np.asarray(edges, np.float64), np.asarray(counts, np.float64)
    known = np.asarray(scores, np.float64)
    known = np.clip(known[np.isfinite(known)], edges[0], edges[-1])
    here = np.histogram(known, edges)[0] / max(1, len(known))
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "published": counts / counts.sum(), "here": here}
    )


def published_scores(path: str | PathLike[str]) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Consistency or memorization in original order, NaN where none is published, and the whole archive."""
    with np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files if not name.endswith("_bytes")}
    if "cscore" in found:
        return found["cscore"].astype(np.float64), found
    if "tr_idx" in found and "mem" in found:
        scores = np.full(int(found["mem_cifar100_counts"].sum()), np.nan)
        scores[found["tr_idx"]] = found["mem"]
        return scores, found
    raise UserError(f"{path}: expected 'cscore', or 'tr_idx' and 'mem'; it holds {', '.join(found)}")


def published_study(
    directory: str | PathLike[str], path: str | PathLike[str], recipe_id: str | None = None
) -> dict[str, pd.DataFrame]:
    """``agreement`` (and ``histogram``) tables of one recipe of a sweep, the first by default.

    The sweep must have trained on the published data set in its original order, whole or by ``train_size``.

    Raises:
        UserError: the data set was shortened otherwise, or its labels are not those of the archive.
    """
    ensembles = load_sweep(directory)
    return study_of(
        lookup("recipe", recipe_id, ensembles) if recipe_id else next(iter(ensembles.values())), path
    )


def study_of(ensemble: Ensemble, path: str | PathLike[str]) -> dict[str, pd.DataFrame]:
    """`published_study` of one ensemble."""
    scores, found = published_scores(path)
    scores = scores[_original_index(ensemble, len(scores), found.get("train_labels"), path)]
    correct = ensemble.signal("train", "correct")[:, 0]
    tables = {"agreement": agreement(correct, ensemble.members, scores, clusters=ensemble.clusters)}
    if "mem_cifar100_counts" in found:
        tables["histogram"] = histogram_beside(
            memorization(correct, ensemble.members), found["mem_cifar100_counts"], found["mem_cifar100_edges"]
        )
    return tables


def _original_index(
    ensemble: Ensemble, n: int, labels: NDArray[Any] | None, path: str | PathLike[str]
) -> NDArray[np.int64]:
    """Return where each training example of the sweep lies among the ``n`` of the archive."""
    options, trained = ensemble.context.dataset, ensemble.members.shape[1]
    index = subset_index(n, options.get("train_size"), "train", int(options.get("seed", 0)))
    if len(index) != trained:
        raise UserError(
            f"{path}: has scores of {n} examples, of which the sweep trained on {trained} unknown ones"
        )
    if labels is not None and (labels[index] == ensemble.labels_train).mean() < 0.5:
        raise UserError(f"{path}: its labels are not those of the sweep's training examples")
    return index


def main(directory: str, *paths: str) -> None:
    """Write one table of each kind; its column ``scores`` says which archive its rows are against."""
    found: dict[str, list[pd.DataFrame]] = {}
    for path in paths:
        for name, table in published_study(directory, path).items():
            found.setdefault(name, []).append(table.assign(scores=Path(path).stem))
    store = as_store(directory)
    for name, parts in found.items():
        table = pd.concat(parts, ignore_index=True)
        write_table(store, f"published_{name}", table)
        print(f"{name}\n{table.to_string(index=False, float_format='{:.3f}'.format)}\n")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
