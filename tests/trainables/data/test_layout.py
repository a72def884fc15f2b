"""Layouts of any shape: what a shape tells, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest

from trainables.data.layout import find_layout
from trainables.errors import UserError


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 32, 32), "channels_first"),
        ((32, 32, 3), "channels_last"),
        ((1, 28, 28), "channels_first"),
        ((28, 28, 1), "channels_last"),
        ((3, 6, 5), "channels_first"),
        ((4, 3, 3), "channels_first"),
        ((3, 3, 4), "channels_last"),
        ((1, 1, 1), "channels_first"),
        ((7,), "channels_first"),
        ((7, 7), "channels_first"),
    ],
)
def test_a_clear_shape_needs_no_layout(shape: tuple[int, ...], expected: str) -> None:
    assert find_layout(np.zeros((2, *shape)), None) == expected


@pytest.mark.parametrize("shape", [(16, 16, 13), (2, 16, 16), (16, 16, 5), (3, 3, 3), (3, 5, 3), (1, 9, 1)])
def test_an_unclear_shape_is_refused_and_what_it_may_be_is_said(shape: tuple[int, ...]) -> None:
    x = np.zeros((2, *shape))
    a, b, c = shape
    with pytest.raises(
        UserError, match=f"{a} channels of {b} x {c} or {c} channels of {a} x {b}; expected layout"
    ):
        find_layout(x, None)
    assert find_layout(x, "channels_last") == "channels_last"


def test_a_layout_where_there_are_no_channels_is_refused() -> None:
    with pytest.raises(UserError, match=r"dataset.layout: 'channels_last': examples of shape \(5,\) have no"):
        find_layout(np.zeros((2, 5)), "channels_last")
