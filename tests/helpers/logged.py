"""Sweeps with a logger, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.helpers.servers import environment

SETTINGS = ["grid=[{optimizer: sgd}]", "subsets.seeds=4", "training.epochs=1", "block=2", "stack=2"]


def flatleak(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A sweep of two recipes, in a process of its own."""
    grid, logs = "grid=[{optimizer: sgd}, {optimizer: sam, rho: 0.1, lr: 0.05}]", f"tune_dir={folder}/logs"
    changes = [part for setting in [grid, *SETTINGS[1:], logs, *arguments] for part in ("--set", setting)]
    command = [sys.executable, "-m", "sweep.cli", "run", "smoke", "--out", str(folder / "sweep"), *changes]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(**variables))


def mentions(secret: str, *folders: Path) -> list[Path]:
    """The files that hold a secret."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret.encode() in path.read_bytes()]


NAMES = {
    f"{label} seeds {seeds}" for label in ("sgd lr=0.1", "sam lr=0.05 rho=0.1") for seeds in ("0-1", "2-3")
}
