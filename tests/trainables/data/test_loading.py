"""How far reading is: who is told, and how often."""

from __future__ import annotations

from contextlib import suppress

import pytest

from trainables.data.loading import reported_to, tell, watched

Said = list[tuple[str, int, int]]


@pytest.mark.parametrize("total", [0, 1, 7, 99, 100, 101, 1234, 50_000])
def test_about_a_hundred_reports_rise_to_the_total(total: int) -> None:
    said: Said = []
    with reported_to(lambda *told: said.append(told)):
        assert list(watched(range(total), "rows", total)) == list(range(total))
    done = [number for _, number, _ in said]
    assert done == sorted(set(done))
    assert done[-1:] == ([total] if total else [])
    assert len(done) <= 200
    assert len(done) == total if total <= 100 else len(done) >= 100
    assert {(what, of) for what, _, of in said} <= {("rows", total)}


def test_items_are_handed_on_before_they_are_counted() -> None:
    said: Said = []
    with reported_to(lambda *told: said.append(told)):
        items = watched("ab", "rows", 2)
        assert next(items) == "a"
        assert said == []
        next(items)
        assert said == [("rows", 1, 2)]


def test_only_the_innermost_listener_is_told_and_nobody_outside() -> None:
    outer: Said = []
    inner: Said = []
    tell("nobody", 1, 1)
    with reported_to(lambda *told: outer.append(told)):
        tell("first", 1, 2)
        with suppress(RuntimeError), reported_to(lambda *told: inner.append(told)):
            tell("second", 1, 1)
            raise RuntimeError("what is read is damaged")
        with reported_to(None):
            tell("silent", 1, 1)
        tell("first", 2, 2)
    tell("nobody", 1, 1)
    assert (outer, inner) == ([("first", 1, 2), ("first", 2, 2)], [("second", 1, 1)])
