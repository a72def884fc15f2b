"""What only a node of the cluster can see reaches the user as one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep import SweepSpec, run
from sweep.trainer import Trainer
from trainables.registry import UserError


def test_a_mistake_seen_on_a_node_is_one_line(
    ray_session: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(Trainer, "_device", "cuda:99")
    with pytest.raises(UserError, match=r"^device 'cuda:99': torch finds") as refused:
        run(SweepSpec.load("smoke"), tmp_path / "sweep")
    assert "\n" not in str(refused.value)
