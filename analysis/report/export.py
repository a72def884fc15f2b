"""Figures as files: PNG, SVG or PDF, drawn by the same functions as the page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any

from analysis.report import figures
from analysis.results import Tables
from trainables.errors import UserError
from trainables.registry import lookup
from trainables.storage import Store

FORMATS = ("png", "svg", "pdf")
SIZE = (900, 600)  # pixels; PNG has twice as many
NEEDS = "needs the extra `pip install 'flatleak[export]'` and a Chrome or Chromium; BROWSER_PATH may name one"


def export(
    directory: str | PathLike[str] | Store,
    format: str = "png",
    *,
    names: Iterable[str] = (),
    recipes: Sequence[str] = (),
    risk: str | None = None,
    theme: str = "light",
) -> list[str]:
    """Write figures as images below the sweep directory, and their captions in ``figures/captions.txt``.

    Args:
        directory: An audited sweep.
        format: Of the files, one of ``FORMATS``.
        names: Figures to write; by default every one that has something to show.
        recipes: One or two labels or recipe_ids; see `analysis.report.figures.draw`.
        risk: A risk column such as ``lira_auc``.
        theme: ``light`` or ``dark``.

    Returns:
        Where the figures are.

    Raises:
        UserError: An unknown format, figure, recipe or risk; or no kaleido or no browser to draw with.
    """
    lookup("format", format, dict.fromkeys(FORMATS, True))
    tables = Tables.of(directory)
    chosen = list(names)
    captions = []
    drawn = {
        name: figures.draw(name, tables, recipes, risk=risk, theme=theme)
        for name in chosen or figures.FIGURES
    }
    written = []
    with _browser() as kaleido:
        for name, figure in drawn.items():
            if not figure.data and not chosen:
                continue
            path = f"figures/{name}.{format}"
            options = {
                "format": format,
                "width": SIZE[0],
                "height": SIZE[1],
                "scale": 2 if format == "png" else 1,
            }
            tables.store.write(path, kaleido.calc_fig_sync(figure.to_dict(), opts=options))
            written.append(f"{tables.store}/{path}")
            captions.append(f"{name}.{format}: {figures.caption(name, tables, recipes, risk=risk)}\n")
    tables.store.write("figures/captions.txt", "".join(captions).encode())
    return written


@contextmanager
def _browser() -> Iterator[Any]:
    """Kaleido with one headless browser for all figures instead of one each."""
    try:
        import kaleido
        from choreographer.browsers.chromium import Chromium
    except ImportError:
        raise UserError(f"export {NEEDS}") from None
    path = Chromium.find_browser(skip_local=False)
    if path is None or not os.access(path, os.X_OK):  # kaleido would wait for it without end
        raise UserError(f"export found no browser{f' at {path}' if path else ''}; it {NEEDS}")
    kaleido.start_sync_server(silence_warnings=True)
    try:
        yield kaleido
    finally:
        kaleido.stop_sync_server(silence_warnings=True)
