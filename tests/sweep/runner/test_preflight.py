"""A node that lacks something is named with what it lacks; a healthy cluster passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.runner.preflight import Check, _problem, require_nodes
from trainables.errors import UserError

HERE = {"missing": None, "version": "1.0", "python": "3.12", "unseen": []}


@pytest.mark.usefixtures("ray_session")
def test_every_node_is_asked(tmp_path: Path) -> None:
    import ray

    nodes = ray.nodes()
    seen = tmp_path / "out" / "driver.json"
    seen.parent.mkdir()
    seen.write_text("{}")
    require_nodes(nodes, Check({"--out": seen}))
    require_nodes([], Check({"--out": seen}))
    name = rf"^node {nodes[0]['NodeManagerAddress']} \({nodes[0]['NodeID'][:8]}\): "
    with pytest.raises(UserError, match=f"{name}--out {tmp_path}/nowhere is not seen there"):
        require_nodes(nodes, Check({"--out": tmp_path / "nowhere" / "driver.json"}, settle=0))
    with pytest.raises(UserError, match=f"{name}flatleak cannot be imported there .ModuleNotFoundError"):
        require_nodes(nodes, Check({}, package=("flatleak", "no_such_module")))
    with pytest.raises(UserError, match=f"{name}torch .* finds no CUDA device there"):
        require_nodes(nodes, Check({}, device="cuda"))


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("there", "problem"),
    [
        ({}, None),
        ({"version": "0.9"}, "it has flatleak 0.9, this is 1.0; expected the same"),
        ({"python": "3.11"}, "its Ray runs Python 3.11, this is 3.12; expected the same"),
    ],
)
def test_what_a_node_lacks(there: dict[str, Any], problem: str | None) -> None:
    import ray

    assert _problem(ray.put(HERE | there), HERE, {}) == problem
