"""Each shipped study for a GPU: one epoch on a few images, through the whole of ``flatleak run``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray")

SIDES = {"train": 1200, "test": 200}
GRID = "grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1, noise: 1, grad_reg: 0.05}]"


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("name", ["cifar10-resnet9", "cifar10", "cifar100"])
def test_each_shipped_study_runs(name: str, tmp_path: Path) -> None:
    from sweep import SweepSpec, run

    draw, classes = np.random.default_rng(0), 100 if name == "cifar100" else 10
    path = tmp_path / "images.npz"
    arrays = {f"x_{s}": draw.integers(0, 256, (n, 3, 32, 32), np.uint8) for s, n in SIDES.items()}
    np.savez(path, **arrays, **{f"y_{s}": np.arange(n) % classes for s, n in SIDES.items()})
    settings = [f"dataset={{name: npz, path: {path}}}", "subsets.seeds=4", "training.epochs=1", GRID]
    assert run(SweepSpec.load(name, settings), tmp_path / "out").exit_code == 0
