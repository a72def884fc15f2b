"""The published study is computed where a spec asks for it, and leaves no trace elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from analysis.audit.sweep_audit import audit_sweep


def test_claims_and_theory_are_written_only_when_asked_for(smoke_sweep: Path, tmp_path: Path) -> None:
    directory = tmp_path / "sweep"
    shutil.copytree(smoke_sweep, directory)
    tables = [directory / f"results/{name}.parquet" for name in ("claims", "theory")]
    assert all(table.exists() for table in tables), "the shipped spec asks for them"
    audit_sweep(directory, claims=False, attacks=["confidence"], resamples=20)
    assert not any(table.exists() for table in tables), "an older audit's tables do not stay behind"
    audit_sweep(directory, claims=True, attacks=["confidence"], resamples=20)
    assert all(len(pd.read_parquet(table)) for table in tables)


def test_nothing_of_the_library_imports_the_study() -> None:
    code = "import sys, analysis.audit.sweep_audit, analysis.report.html, analysis.predictions; "
    code += (
        "import analysis.report.serve; print([m for m in sys.modules if m.startswith('analysis.studies')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
