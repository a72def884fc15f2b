"""The one line that a user sees of an error."""

from __future__ import annotations

import pytest

from trainables.errors import Diverged, RunError, UserError, first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no"), "no"),
        (ValueError("\n  first\nsecond"), "first"),
        (ValueError(""), "ValueError"),
        (KeyError(), "KeyError"),
        (OSError(2, "No such file"), "[Errno 2] No such file"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), None),
    ],
)
def test_the_first_line_or_the_kind(error: BaseException, line: str | None) -> None:
    assert first_line(error) == (str(error) if line is None else line)


def test_training_that_ends_in_no_numbers_is_the_spec_s_mistake_and_a_failed_run_is_not() -> None:
    assert issubclass(Diverged, UserError)
    assert not issubclass(RunError, UserError)
    assert issubclass(UserError, ValueError)
    assert issubclass(RunError, RuntimeError)
