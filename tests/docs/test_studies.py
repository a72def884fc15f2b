"""The scripts behind docs/findings.md name specs, options and recipes that there are."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from sweep import SweepSpec
from sweep.spec.reading import override
from sweep.spec.schema import read

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
