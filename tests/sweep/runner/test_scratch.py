"""What Tune writes meanwhile is taken away: at the end, and after a run that was killed by the next one."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sweep.runner.scratch import scratch
from tests.helpers.servers import environment

KILLED = """
import os, signal
from sweep.runner.scratch import scratch
with scratch() as folder:
    open(os.path.join(folder, "experiment_state.json"), "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folders_of_killed_runs_go_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch() as mine:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED], env=environment(TMPDIR=str(tmp_path)), check=False
        )
        assert killed.returncode == -signal.SIGKILL
        assert len(list(tmp_path.iterdir())) == 2
        with scratch() as other:
            assert {str(path) for path in tmp_path.iterdir()} == {mine, other}
    assert list(tmp_path.iterdir()) == []
