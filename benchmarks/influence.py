"""Influence of every training on every test example: ours, Feldman and Zhang's formula, the machine's peak.

    python benchmarks/influence.py [--replicas 1000 --train 50000 --test 10000]

Each side runs in a process of its own on the same masks, so that its peak memory is its own. Its time is the
better of two runs, as the peak is the best of its tries: where a virtual machine's memory is handed out on
first touch, a first run may spend nearly half of its time on that. Equal results are asserted on sums over
all pairs and on rows drawn at random.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.influence import influence, influence_summary

ROWS = 50  # compared in full
RUNS = 2


def published(correct: NDArray[np.bool_], members: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute the authors' formula, written out: two masked averages, each a product over its count."""

    def masked_average(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        count = np.maximum(mask.sum(axis=0, keepdims=True), 1e-10)
        return (np.matmul(correct.T.astype(np.float32), mask) / count).astype(np.float32)

    return masked_average(members) - masked_average(~members)


def peak() -> float:
    """Float32 matrix products of this machine in operations a second, the best of several sizes and tries."""
    best = 0.0
    for size in (2048, 4096):
        a, b = np.ones((2, size, size), np.float32)
        out = np.empty_like(a)
        for _ in range(6):
            start = time.perf_counter()
            np.matmul(a, b, out=out)
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def drawn(replicas: int, n: int, share: float) -> NDArray[np.bool_]:
    """Draw a mask row by row, so that drawing it does not set the process's peak memory."""
    mask = np.empty((replicas, n), bool)
    for row, rng in zip(mask, np.random.default_rng(n).spawn(replicas), strict=True):
        row[:] = rng.random(n) < share
    return mask


def measured(side: str, replicas: int, train: int, test: int, folder: Path) -> dict[str, float]:
    """One side's seconds and the bytes that it added to this process's peak; keeps what is compared."""
    correct, members = drawn(replicas, test, 0.8), drawn(replicas, train, 0.7)
    if side == "peak":
        return {"flops": peak()}
    run = {
        "published": published,
        "ours": influence,
        "streamed": lambda *masks: influence_summary(*masks, top=5),
    }[side]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = np.inf
    for _ in range(RUNS):
        scores = None  # lets the last run's memory go first
        start = time.perf_counter()
        scores = run(correct, members)
        seconds = min(seconds, time.perf_counter() - start)
    gained = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if side != "streamed":
        rows = np.random.default_rng(1).choice(test, min(ROWS, test), replace=False)
        np.savez(folder / f"{side}.npz", rows=scores[rows], columns=scores.sum(axis=0, dtype=np.float64))
    return {"seconds": seconds, "bytes": gained}


def main() -> None:
    """Measure each way in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("replicas", 1000), ("train", 50_000), ("test", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = options.replicas, options.train, options.test
    if options.side:
        print(json.dumps(measured(options.side, *size, options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for side in ("peak", "ours", "published", "streamed"):
            command = [sys.executable, __file__, "--side", side, "--folder", folder]
            command += [f"--{n}={v}" for n, v in zip(("replicas", "train", "test"), size, strict=True)]
            found[side] = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout
            )
        ours, theirs = (np.load(Path(folder) / f"{side}.npz") for side in ("ours", "published"))
        for name in ("rows", "columns"):
            np.testing.assert_array_equal(ours[name], theirs[name])
    report(found, *size)


def report(found: dict[str, dict[str, float]], replicas: int, train: int, test: int) -> None:
    """Print what was found."""
    work, top = 2.0 * replicas * train * test, found["peak"]["flops"]
    print(f"{replicas} replicas x {train} train x {test} test; float32 peak {top / 1e9:.0f} GFLOP/s")
    for side, text in (
        ("published", "masked averages"),
        ("ours", "influence"),
        ("streamed", "influence_summary, top 5 and entropy"),
    ):
        seconds, memory = found[side]["seconds"], found[side]["bytes"]
        share = f", {work / seconds / top:.0%} of peak" if side == "ours" else ""
        print(f"  {text}: {seconds:.1f} s, {memory / 2**30:.2f} GiB{share}")
    ours, theirs = found["ours"], found["published"]
    faster, smaller = theirs["seconds"] / ours["seconds"], ours["bytes"] / theirs["bytes"]
    print(f"  {faster:.1f}x faster in {smaller:.0%} of the memory, equal in every digit compared")


if __name__ == "__main__":
    main()
