"""Writes the list of modules in docs/architecture.md from their docstrings: ``python docs/modules.py``."""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- modules -->\n", "<!-- end of modules -->"


def summary(file: Path) -> str:
    """Return the first sentence or paragraph of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def rooms() -> str:
    """Write a table a folder, a row a module."""
    out = []
    for package in ("trainables", "analysis", "sweep"):
        files = sorted((ROOT / package).rglob("*.py"), key=lambda file: (str(file.parent), file.name))
        for folder, inside in groupby(files, key=lambda file: file.parent):
            out += [f"### `{folder.relative_to(ROOT)}/`", "", summary(folder / "__init__.py"), ""]
            out += ["| file | what is inside |", "| --- | --- |"]
            out += [f"| `{f.name}` | {summary(f)} |" for f in inside if f.name != "__init__.py"]
            out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    page = ROOT / "docs" / "architecture.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    page.write_text(before + START + rooms() + END + rest.partition(END)[2], encoding="utf-8")
