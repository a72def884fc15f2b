"""The bar of a data set that is read: it moves on a terminal, and leaves nothing behind elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from sweep.watch.loading import loading_bar


def test_the_bar_moves_on_a_terminal() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with loading_bar(console, "loading dataset [folder]") as report:
        for done in (500, 1000):
            report("images", done, 1000)
    shown = screen.getvalue()
    assert "loading dataset [folder]: images" in shown
    assert "50%" in shown
    assert "100%" in shown


def test_nothing_is_printed_where_there_is_no_terminal() -> None:
    screen = io.StringIO()
    with loading_bar(Console(file=screen), "loading") as report:
        report("images", 1, 2)
    assert screen.getvalue() == ""
