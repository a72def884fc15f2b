"""Small tools of every figure, and the contrast of its colours."""

from __future__ import annotations

import numpy as np

from analysis.report.figures.panel import (
    PALETTE,
    THEMES,
    paint,
    plain,
    short,
)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_text_has_the_contrast_that_wcag_asks_for() -> None:
    for theme, colours in THEMES.items():
        for ink in ("ink", "muted", "good", "bad"):
            for ground in ("page", "surface"):
                light, dark = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (theme, ink, ground)


def test_small_tools() -> None:
    assert paint({"a": ["@x", "@unknown", "plain"]}, {"x": "red"}) == {"a": ["red", "@unknown", "plain"]}
    assert short([0.123456, np.nan, np.inf, 3]) == [0.1235, None, None, 3]
    assert plain("<b>&") == "&lt;b&gt;&amp;"
    assert len(set(PALETTE)) == len(PALETTE)
