"""The scripts behind docs/findings.md name specs, options and recipes that there are; the tables come out."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep import SweepSpec
from sweep.spec.reading import override, read
from trainables.directory import read_manifest
from trainables.knobs import DEFENCES
from trainables.storage import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("script", ["studies.sh", "studies-gpu.sh"])
@pytest.mark.parametrize("archives", [False, True], ids=["downloads", "archives"])
def test_every_sweep_of_a_script_is_a_valid_spec(script: str, archives: bool, tmp_path: Path) -> None:
    """The script runs with a command that notes its arguments instead of training; then each is validated."""
    noted = tmp_path / "noted"
    for name in ("flatleak", "python"):
        stub = tmp_path / name
        stub.write_text(f'#!/usr/bin/env bash\nprintf "%s\\0" "$0" "$@" >> {noted}; echo >> {noted}\n')
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    variables = {"FLATLEAK": str(tmp_path / "flatleak"), "RUNS": str(tmp_path / "runs")}
    variables |= {"DATA": str(tmp_path / "data")} if archives else {}
    there = {name: value for name, value in os.environ.items() if name not in ("DATA", "EXTRA")}
    subprocess.run(
        ["bash", str(ROOT / "docs" / script)], env=there | variables, check=True, capture_output=True
    )
    commands = [line.split("\0") for line in noted.read_text().split("\0\n") if line]
    sweeps = [words[1:] for words in commands if words[0].endswith("flatleak")]
    assert len(sweeps) > 6
    for _, name, _, _, *options in sweeps:
        assert SweepSpec.of(override(read(name), options[1::2])).recipes


def published(folder: Path, n: int = 120) -> None:
    """Archives with made-up published scores of ``n`` examples."""
    rng = np.random.default_rng(0)
    np.savez(folder / "cifar100_jpeg90.npz", cscore=rng.random(n))
    edges, counts = np.linspace(0, 1, 7), np.array([70, 20, 10, 10, 5, 5])
    scores: dict[str, Any] = {"mem_cifar100_counts": counts, "mem_cifar100_edges": edges}
    np.savez(folder / "feldman_zhang_cifar100.npz", tr_idx=np.arange(n), mem=rng.random(n), **scores)


def test_the_studies_at_full_size_choose_measure_and_fill_their_page(tmp_path: Path) -> None:
    """From one end of the script to the other; records are simulated, not trained."""
    for name, command in (
        ("flatleak", f"{sys.executable} -m tests.helpers.pretend"),
        ("python", sys.executable),
    ):
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\nexec {command} "$@"\n')
        (tmp_path / name).chmod(0o755)
    published(tmp_path)
    runs = tmp_path / "runs"
    variables = {"FLATLEAK": str(tmp_path / "flatleak"), "RUNS": str(runs), "DATA": str(tmp_path)}
    attacks = "lira,rmia,confidence,entropy,modified_entropy"
    # Over two lines, as in the script's help.
    variables["EXTRA"] = f"--set audit.attacks=[{attacks}] --set subsets.seeds=4\n --set audit.resamples=50"
    done = subprocess.run(
        ["bash", str(ROOT / "docs" / "studies-gpu.sh")],
        env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    tables = re.findall(
        r"<!-- table: (.+?) -->\n(.*?)<!-- end -->", (runs / "findings-gpu.md").read_text(), re.S
    )
    empty = {name for name, body in tables if not body}
    assert empty == {f"{table} cifar10 cifar100" for table in ("claims", "paper")} | {
        "recipes cifar10",
        "recipes cifar100",
    }, "all but the large networks, which a rehearsal leaves out"
    manifests = {
        s: read_manifest(Store(str(runs / f"cifar10-resnet9-mitigation{s}"))) for s in ("", "-search")
    }
    measured, searched = manifests[""], manifests["-search"]
    assert measured
    assert searched
    assert not set(measured.seed_range) & set(searched.seed_range), "chosen on other subsets"
    defended = [knobs for knobs in measured.recipes.values() if {"noise", "grad_reg"} & knobs.keys()]
    assert len(defended) == 2
    assert all(knobs in searched.recipes.values() and DEFENCES & knobs.keys() for knobs in defended)
