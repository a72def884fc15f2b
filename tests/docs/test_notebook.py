"""The example notebook: it runs from its first cell to its last, shows its figures and a bar that moved."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "example.ipynb"


@pytest.fixture(scope="module")
def executed(smoke_sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after a run in a copy of ``docs/``, beside a finished sweep in the place of the demo's."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copytree(smoke_sweep, folder / "runs/digits")
    (folder / "docs").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(folder / "docs")}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=where).execute()
    return notebook


def test_its_outputs_are_not_kept() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


def test_every_figure_and_table_is_shown(executed: Any) -> None:
    of = {cell.source: cell.outputs for cell in executed.cells if cell.cell_type == "code"}
    for source, outputs in of.items():
        if re.search(r"\.(front|roc|memorization)\(", source):
            kinds = {kind for output in outputs for kind in output.get("data", {})}
            assert "application/vnd.plotly.v1+json" in kinds, source
        if ".recipes" in source:
            assert any("sam rho=0.1" in output.data["text/plain"] for output in outputs)
    assert any("32 or more" in json.dumps(outputs) for outputs in of.values()), "caveats are shown"


def test_a_sweep_shows_its_bar_below_the_cell(executed: Any) -> None:
    widgets = executed.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    drawn = [
        output["data"]["text/plain"]
        for widget in widgets.values()
        for output in widget["state"].get("outputs", [])
    ]
    assert any("training" in text and "16/16" in text for text in drawn)
