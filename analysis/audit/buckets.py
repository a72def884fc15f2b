"""Where a recipe gains accuracy: on typical test points, or on those that rest on few training examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.ensemble import Ensemble
from analysis.influence import InfluenceSummary, influence_summary
from analysis.statistics.intervals import interval, resample

BUCKETS = 5
MEMORY = 512 << 20  # bytes; larger chunks of influence are no faster


@dataclass(frozen=True)
class Buckets:
    """Test points sorted by their influence entropy under a reference recipe and cut into five equal buckets.

    Bucket 1 holds the lowest entropy, the points that rest on few training examples. Points on which nothing
    has influence (every replica right, every one wrong, or complementary halves always agreed) have no
    entropy and come last, in the order of the test set.

    The same replicas must not draw the buckets and be scored in them: a point that the reference happened to
    get wrong would look both influenced and easy to gain on. So replicas are split into two halves, and each
    half is scored in the buckets that the other half of the reference draws.
    """

    reference: Ensemble
    entropies: NDArray[np.float64]  # [2, m] nats: row f from the replicas that are not in half f
    places: NDArray[np.int64]  # [2, m] in 0..4

    @staticmethod
    def of(reference: Ensemble, *, max_bytes: int = MEMORY) -> Buckets | None:
        """Cut the test points; None where the reference has fewer than two draws of the subsets."""
        half = reference.clusters % 2
        if not half.any():
            return None
        correct, members = reference.signal("test", "correct")[:, 0], reference.members
        others = (half != f for f in (0, 1))
        entropies = [influence_summary(correct[o], members[o], max_bytes=max_bytes).entropy for o in others]
        return Buckets(reference, np.stack(entropies), np.stack([_bucket_of(row) for row in entropies]))

    def gain(self, ensemble: Ensemble) -> BucketGain | None:
        """Compare an ensemble with the reference on the seeds that both have; None where there are none."""
        seeds = np.intersect1d(ensemble.seeds, self.reference.seeds)
        if not len(seeds):
            return None
        half = (self.reference.clusters % 2)[np.isin(self.reference.seeds, seeds)]
        own, base = ensemble.restrict(seeds), self.reference.restrict(seeds)
        accuracy = _by_bucket(own, self.places[half])
        return BucketGain(accuracy, accuracy - _by_bucket(base, self.places[half]), own.clusters)


class BucketGain(NamedTuple):
    """Accuracy and paired gain over the reference, both ``[R, 5]`` by replica and bucket; ``clusters[R]``."""

    accuracy: NDArray[np.float64]
    gain: NDArray[np.float64]
    clusters: NDArray[Any]


def bucket_table(
    ensembles: Mapping[str, Ensemble],
    reference: str,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Test accuracy of every recipe, and its paired gain over ``reference``, by bucket of influence entropy.

    See `Buckets` for how they are drawn. Intervals resample the subset seeds with the buckets held fixed,
    paired between recipes. Columns: ``recipe_id, bucket, examples, accuracy, low, high, gain, gain_low,
    gain_high, entropy_low, entropy_high, undefined``; entropies in nats, the range of a bucket over both
    halves; ``undefined`` how many of the bucket's points nothing has influence on, the mean of both halves.
    """
    buckets = Buckets.of(ensembles[reference])
    if buckets is None:
        return pd.DataFrame()
    spans = [_span(buckets, b) for b in range(BUCKETS)]
    rows = []
    for recipe_id, ensemble in ensembles.items():
        found = buckets.gain(ensemble)
        if found is None:
            continue
        weights = resample(found.clusters, resamples, seed)
        for b in range(BUCKETS):
            figures: dict[str, float] = {}
            for name, prefix in (("accuracy", ""), ("gain", "gain_")):
                mean = mean_interval(getattr(found, name)[:, b], weights, found.clusters, confidence)
                figures |= dict(zip((name, f"{prefix}low", f"{prefix}high"), mean, strict=True))
            rows.append({"recipe_id": recipe_id, "bucket": b + 1, **figures, **spans[b]})
    table = pd.DataFrame(rows)
    return table[
        ["recipe_id", "bucket", "examples", *table.columns.drop(["recipe_id", "bucket", "examples"])]
    ]


def mean_interval(
    values: NDArray[Any], weights: NDArray[Any], clusters: NDArray[Any], confidence: float
) -> tuple[float, float, float]:
    """Return the mean of a metric over replicas with its bootstrap interval.

    Args:
        values: ``[R]``.
        weights: How often each draw takes each replica, ``[B, R]``.
        clusters: Which replicas were redrawn together, ``[R]``.
        confidence: In 0..1.

    Returns:
        The mean, the low and the high end.
    """
    draws = weights @ values / weights.sum(axis=1)
    return (float(values.mean()), *interval(draws, int(clusters.max()) + 1, confidence=confidence))


def _span(buckets: Buckets, b: int) -> dict[str, float]:
    inside = buckets.entropies[buckets.places == b]
    known = inside[np.isfinite(inside)]
    low, high = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
    return {
        "examples": int((buckets.places[0] == b).sum()),
        "entropy_low": float(low),
        "entropy_high": float(high),
        "undefined": float(len(inside) - len(known)) / 2,
    }


def influence_table(ensemble: Ensemble, *, top: int = 5, max_bytes: int = MEMORY) -> pd.DataFrame:
    """Return the ``top`` helpers and harmers of every test point, one row a pair.

    Columns: ``recipe_id, kind`` ("helper" raises the accuracy on the test point, "harmer" lowers it),
    ``test, train`` (indices), ``influence, rank`` (1 is the strongest), ``noise``: the standard deviation
    of the estimate for an example without any influence. The largest of n such estimates is about noise *
    sqrt(2 log n): smaller helpers may be chance.
    """
    correct, members = ensemble.signal("test", "correct")[:, 0], ensemble.members
    pairs = influence_summary(correct, members, top=top, max_bytes=max_bytes)
    return pd.DataFrame(
        {
            "recipe_id": ensemble.recipe_id,
            "kind": np.where(pairs.rank > 0, "helper", "harmer"),
            "test": pairs.test,
            "train": pairs.train,
            "influence": pairs.influence,
            "rank": np.abs(pairs.rank),
            "noise": _noise(correct, members, pairs),
        }
    )


def _noise(correct: NDArray[np.bool_], members: NDArray[np.bool_], pairs: InfluenceSummary) -> NDArray[Any]:
    """Spread of the influence when membership is dealt out at random: p(1-p) (1/in + 1/out) R/(R-1)."""
    replicas, ins, p = len(correct), members.sum(axis=0), correct.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        deal = replicas / (ins * (replicas - ins)) * replicas / (replicas - 1)
    return np.asarray(np.sqrt((p * (1 - p))[pairs.test] * deal[pairs.train]))


def _bucket_of(entropy: NDArray[Any]) -> NDArray[np.int64]:
    """0 to 4 for each test point, NaN last; sizes differ by at most one."""
    place = np.empty(len(entropy), np.int64)
    place[np.argsort(entropy, kind="stable")] = np.arange(len(entropy)) * BUCKETS // max(1, len(entropy))
    return place


def _by_bucket(ensemble: Ensemble, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Accuracy of every replica in each bucket, ``[R, 5]``; ``places[R, m]`` says where it is scored."""
    correct = ensemble.signal("test", "correct")[:, 0]
    sums = [np.bincount(p, weights=c, minlength=BUCKETS) for p, c in zip(places, correct, strict=True)]
    sizes = [np.bincount(p, minlength=BUCKETS) for p in places]
    return np.asarray(np.array(sums) / np.array(sizes))
