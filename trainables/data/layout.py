"""Where an array of images has its channels."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import NDArray

from trainables.errors import UserError

Array = NDArray[Any]
Layout = Literal["channels_first", "channels_last"]
CHANNELS = (1, 3, 4)  # grey, RGB, RGBA: numbers of channels that need no word of the user's


def channels_first(x: Array) -> Array:
    """``[n, H, W, C]`` -> ``[n, C, H, W]``; images without channels as they are."""
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x


def find_layout(x: Array, asked: Layout | None) -> Layout:
    """Return the layout of ``x``: what is asked for, else what its shape tells.

    A shape tells where exactly one of the two readings has 1, 3 or 4 channels; where both have, the one
    whose images are square. Arrays of other than four dimensions have no channels.

    Raises:
        UserError: the shape is not clear, or a layout is asked for where there are no channels.
    """
    if x.ndim != 4:
        if asked:
            raise UserError(
                f"dataset.layout: {asked!r}: examples of shape {x.shape[1:]} have no channels; leave it out"
            )
        return "channels_first"
    if asked:
        return asked
    _, first, middle, last = x.shape
    readings: dict[Layout, bool] = {}  # and whether its images are square
    if first in CHANNELS:
        readings["channels_first"] = middle == last
    if last in CHANNELS:
        readings["channels_last"] = first == middle
    squares = [layout for layout, square in readings.items() if square]
    clear = list(readings) if len(readings) == 1 else squares
    if len(clear) == 1 or (clear and first == middle == last == 1):
        return clear[0]
    raise UserError(
        f"dataset.layout: is missing: examples of shape {x.shape[1:]} may be {first} channels of "
        f"{middle} x {last} or {last} channels of {first} x {middle}; "
        "expected layout: channels_first or channels_last"
    )
