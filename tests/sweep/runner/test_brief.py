"""What is shown of Ray's messages."""

from __future__ import annotations

from sweep.runner.brief import line_of


def test_a_new_first_line_is_shown_once_and_no_traceback() -> None:
    said: set[str] = set()
    death = "A worker died or was killed while executing a task by an unexpected system error. Lease ID: "
    assert line_of(f"{death}01\nmore", said) == f"{death}01"
    assert line_of(f"{death}02", said) is None
    assert line_of("Traceback (most recent call last):\n  File", said) is None
    assert line_of("\n", said) is None
    shown = line_of("\n  the autoscaler " + 300 * "x", said)
    assert shown is not None
    assert len(shown) == 163
