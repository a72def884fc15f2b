"""What went wrong with a block, as it lies in the sweep directory."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.blocks import ADDRESS, BLOCK, failure, job
from trainables.directory import failure_path
from trainables.failures import ATTEMPTS, Failures
from trainables.storage import Store


def test_a_block_is_given_up_after_as_many_attempts_as_a_run_has(tmp_path: Path) -> None:
    failures = Failures(job(tmp_path), BLOCK)
    for attempt in range(1, ATTEMPTS + 1):
        assert failures.count() == attempt - 1
        assert failures.add("ValueError: no", "Traceback", "log.txt") == attempt
        assert failure(tmp_path)["given_up"] is (attempt == ATTEMPTS)
    told = failure(tmp_path)
    assert (told["block"], told["recipe"], told["seeds"]) == (BLOCK.name, BLOCK.knobs, [4, 7])
    assert (told["error"], told["traceback"], told["log"]) == ("ValueError: no", "Traceback", "log.txt")


def test_the_next_run_counts_anew_and_success_leaves_nothing(tmp_path: Path) -> None:
    Failures(job(tmp_path), BLOCK).add("ValueError: no", "", "", last=True)
    assert failure(tmp_path)["given_up"] is True
    later = Failures(job(tmp_path, "second"), BLOCK)
    assert later.count() == 0
    assert later.add("ValueError: no", "", "") == 1
    later.clear()
    later.clear()
    assert later.count() == 0
    Store.at(tmp_path).write(failure_path(ADDRESS), b"{")
    assert later.count() == 0, "a note that was cut counts as none"
