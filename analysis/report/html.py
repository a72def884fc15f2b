"""One HTML file that opens offline: the page, plotly.js once, and the results as packed chunks."""

from __future__ import annotations

import base64
import gzip
import html
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from os import PathLike
from typing import Any

from analysis.report.figures.panel import THEMES
from analysis.report.payload import chunks, packed
from analysis.results import Tables
from trainables.directory import REPORT
from trainables.storage import Store, as_store

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+)\.js";\n', re.MULTILINE)


def write_report(directory: str | PathLike[str] | Store) -> str:
    """Write ``report.html`` from ``results/`` and the manifest, never from signals.

    Args:
        directory: An audited sweep.

    Returns:
        Where the report is.

    Raises:
        UserError: The sweep has no results yet.
    """
    store = as_store(directory)
    tables = Tables(store)
    store.write(REPORT, page(payload(tables), title=title(tables)).encode())
    return f"{store}/{REPORT}"


def payload(tables: Tables) -> dict[str, str]:
    """Return the page's chunks by name, packed."""
    return {name: packed(value) for name, value in chunks(tables)}


def title(tables: Tables) -> str:
    """Return what the browser's tab says."""
    return f"{tables.manifest.name}: privacy and accuracy"


def page(
    packed_chunks: Mapping[str, str],
    *,
    title: str,
    live: bool = False,
    body: str = "page.html",
    entry: str = "main",
) -> str:
    """Return the page with its chunks inside; a ``live`` one asks its own server for newer chunks.

    ``body`` and ``entry`` name the file of its markup and the module of its script that starts it.
    """
    parts = {
        "title": html.escape(title),
        "live": "1" if live else "",
        "connect": "; connect-src 'self'" if live else "",
        "body": _asset(body),
        "style": _themes() + _asset("page.css"),
        "chunks": "\n".join(
            _script(name, data) for name, data in {**packed_chunks, "plotly": _plotly()}.items()
        ),
        "script": script(entry),
    }
    return re.sub(r"<!--(\w+)-->", lambda match: parts[match[1]], _asset("frame.html"))


def _script(name: str, data: str) -> str:
    return f'<script type="text/plain" data-chunk="{html.escape(name)}">{data}</script>'


def script(entry: str = "main") -> str:
    """Return the modules of a page as one script, each after those that it imports, in one scope.

    A module is ``page/scripts/<name>.js``; it imports by ``import { ... } from "./<name>.js";``
    on a line of its own. Inside one file that opens from a disk, browsers import nothing.
    """
    joined: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in joined:
            joined[name] = ""  # each once, also where modules go round in a circle
            text = _asset("scripts", f"{name}.js")
            for other in _IMPORT.findall(text):
                add(other)
            joined.pop(name)
            joined[name] = re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.MULTILINE)

    add(entry)
    return '"use strict";\n' + "\n".join(joined.values())


def _asset(*path: str) -> str:
    return resources.files("analysis.report").joinpath("page", *path).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def _themes() -> str:
    """Return the themes' colours as CSS properties: by the reader's system, or as the toggle says."""
    light, dark = (_properties(THEMES[name]) for name in ("light", "dark"))
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}\n"
    )


def _properties(colours: Mapping[str, Any]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())
