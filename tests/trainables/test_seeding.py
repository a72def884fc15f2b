"""Random streams: the same again, independent of each other, and those of the records that exist."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy import stats

from trainables.seeding import stream, torch_seed

STREAMS = list(itertools.product((0, 1, 7), (0, 1, 2), ("mask", "batches 0", "batches 1", "augment 0")))


def test_a_stream_is_the_same_again() -> None:
    for key in STREAMS:
        np.testing.assert_array_equal(stream(*key).random(8), stream(*key).random(8))
        assert torch_seed(*key) == torch_seed(*key)


def test_streams_of_other_sweeps_replicas_and_purposes_are_independent() -> None:
    drawn = np.array([stream(*key).random(4000) for key in STREAMS])
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-4
    correlation = np.corrcoef(drawn)[np.triu_indices(len(STREAMS), 1)]
    assert abs(correlation).max() < 5 / np.sqrt(4000)
    assert len({torch_seed(*key) for key in STREAMS}) == len(STREAMS)


def test_seeds_are_such_as_torch_takes() -> None:
    seeds = np.array([torch_seed(0, k, "noise") for k in range(200)], dtype=np.float64)
    assert seeds.min() >= 0
    assert seeds.max() < 2**63
    assert stats.kstest(seeds / 2**63, "uniform").pvalue > 1e-4
    assert torch.Generator().manual_seed(torch_seed(3, 5, "noise")).initial_seed() == torch_seed(
        3, 5, "noise"
    )


def test_streams_have_not_moved() -> None:
    """Another stream would train other replicas under the addresses of records that exist."""
    assert stream(0, 0, "mask").integers(0, 1000, 5).tolist() == [170, 808, 166, 292, 466]
    assert torch_seed(3, 64, "weights") == 4413722340430430686
