"""A run's pace in words."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.pace import PACE, pace

H100 = {"name": "a", "gpu": "H100", "gpus": 4, "trials": 2}
CPUS = {"name": "c", "gpu": "GPU", "gpus": 0, "trials": 1}


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({}, []),
        (dict.fromkeys(PACE), []),
        ({"nodes": [CPUS]}, ["1 node"]),
        ({"nodes": [H100, H100, CPUS]}, ["3 nodes with 8 H100"]),
        ({"nodes": [H100, {**H100, "gpu": "A100", "gpus": 0.5}]}, ["2 nodes with 4 H100 and 0.5 A100"]),
        ({"trials_per_gpu": 8 / 3}, ["2.67 trials a GPU"]),
        ({"rate_now": 2.0, "rate": 1.0}, ["7,200 replicas an hour now, 3,600 on average"]),
        ({"rate_now": 0.0005}, ["1.8 replicas an hour now, 0 on average"]),
        ({"retries": {"node lost": 1, "out of memory": 0}}, ["1 retry (node lost 1)"]),
        ({"failures": {"Diverged": 2, "ValueError": 1}}, ["3 failures (Diverged 2, ValueError 1)"]),
        ({"retries": {}, "failures": {"Diverged": 0}}, []),
    ],
    ids=str,
)
def test_words_for_what_is_there_and_none_for_what_is_not(figures: dict[str, Any], words: list[str]) -> None:
    assert pace(figures) == words
