"""Where progress is shown, and where a bar can move."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from sweep.watch import console as module
from sweep.watch.console import animates, standard_console


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    standard_console().print("so far so good")
    assert capsys.readouterr() == ("", "so far so good\n")


@pytest.mark.parametrize(("widgets", "cell"), [(True, True), (False, False)])
def test_a_notebook_s_cell_shows_it_where_ipywidgets_can_move_a_bar(
    widgets: bool, cell: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InNotebook(Console):
        def __init__(self, *, force_jupyter: bool = True, **options: bool) -> None:
            super().__init__(force_jupyter=force_jupyter, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "Console", InNotebook)
    monkeypatch.setattr(module, "find_spec", lambda name: sys if widgets and name == "ipywidgets" else None)
    found = standard_console()
    assert found.is_jupyter is cell
    assert animates(found) is cell


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_moves_on_a_terminal_and_not_in_a_file(terminal: bool) -> None:
    assert animates(Console(file=io.StringIO(), force_terminal=terminal)) is terminal
