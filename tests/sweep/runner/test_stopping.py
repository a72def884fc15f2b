"""SIGTERM: kept from Ray in the command's own process, and left alone in every other."""

from __future__ import annotations

import signal
import subprocess
import sys

from sweep.runner import stopping
from tests.helpers.servers import environment

COMMAND = """
import os, signal, time
from sweep.runner import stopping
stopping.install()
stopping.shield()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
except KeyboardInterrupt:
    print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []), stopping.exit_code())
"""


def test_the_command_blocks_sigterm_and_is_interrupted_by_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout.split() == ["True", "143"]


def test_a_process_that_only_calls_the_command_keeps_its_signals() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    stopping.shield()
    assert (signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before
