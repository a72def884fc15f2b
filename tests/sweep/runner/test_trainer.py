"""What only a node of the cluster can see reaches the user as one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep import SweepSpec, run
from sweep.runner import trainer
from sweep.runner.trainer import Trainer
from sweep.watch.tally import LocalCallback
from trainables.errors import RunError, UserError


def test_a_mistake_seen_on_a_node_is_one_line(
    ray_session: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(Trainer, "_device", "cuda:99")
    with pytest.raises(UserError, match=r"^device 'cuda:99': torch finds") as refused:
        run(SweepSpec.load("smoke"), tmp_path / "sweep")
    assert "\n" not in str(refused.value)


class Away(LocalCallback):
    """A logger whose server stops answering."""

    def on_trial_result(self, *_: object, **__: object) -> None:
        raise ConnectionError("https://me:hush@server/api\nis away")


def test_what_fails_between_the_trials_is_one_line_and_the_same_run_goes_on(
    ray_session: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    spec = SweepSpec.load("smoke", ["subsets.seeds=4", "block=2", "stack=2"])
    monkeypatch.setattr(trainer, "make_loggers", lambda *_: [Away()])
    with pytest.raises(RunError) as failed:
        run(spec, tmp_path / "sweep")
    note = tmp_path / "sweep" / "failures" / "run.json"
    assert str(failed.value).startswith("training: ConnectionError: https://server/api; its traceback is in ")
    assert str(failed.value).endswith(str(note))
    assert "on_trial_result" in note.read_text()
    assert "hush" not in note.read_text()
    monkeypatch.undo()
    assert run(spec, tmp_path / "sweep").trained.replicas_there == 12
    assert not note.exists()
