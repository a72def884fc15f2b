"""What a stage says where it fails, what it keeps, and what it leaves behind."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from sweep.runner.stages import clear, named, no_empty_folder, reason, stage, tidy
from trainables.directory import RUN_FAILURE
from trainables.errors import RunError, UserError
from trainables.phase import read_phase
from trainables.storage import Store


class InTask(Exception):
    """As Ray wraps what a task raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"Traceback (most recent call last): ...\n{cause}")
        self.cause = cause


def in_callback() -> Exception:
    """As Tune raises the text of what a callback raised."""
    try:
        try:
            raise ValueError("no such bucket")
        except ValueError:
            raise RuntimeError("Traceback (most recent call last): ...") from None
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("first\nsecond"), "ValueError: first"),
        (KeyError(), "KeyError: no message"),
        (InTask(LookupError("no data")), "LookupError: no data"),
        (in_callback(), "ValueError: no such bucket"),
        (OSError("GET https://me:hush@host/x failed"), "OSError: GET https://host/x failed"),
    ],
)
def test_the_reason_is_what_was_raised_first_without_credentials(error: Exception, says: str) -> None:
    assert reason(error) == says


def test_a_failure_is_one_line_and_its_traceback_is_kept(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    with pytest.raises(RunError) as failed, named(store, "opening logger x"):
        raise ConnectionError("http://me:hush@host is away.")
    assert str(failed.value) == (
        f"opening logger x: ConnectionError: http://host is away; its traceback is in {store}/{RUN_FAILURE}"
    )
    kept = json.loads(store.read(RUN_FAILURE))
    assert kept["step"] == "opening logger x"
    assert "raise ConnectionError" in kept["traceback"]
    assert "hush" not in json.dumps(kept)
    clear(store)
    clear(store)
    assert not store.exists(RUN_FAILURE)


def test_a_storage_that_takes_no_traceback_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write", full)
    refused = r"auditing: ValueError: no; .* does not take its traceback"
    with pytest.raises(RunError, match=refused), named(Store.at(tmp_path), "auditing"):
        raise ValueError("no")
    with pytest.raises(RunError, match=r"^auditing: ValueError: no$"), named(None, "auditing"):
        raise ValueError("no")


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_users_mistake_stays_what_it_is(tmp_path: Path, wrapped: bool) -> None:
    mistake = UserError("a mistake")
    with pytest.raises(UserError) as caught, named(Store.at(tmp_path), "auditing"):
        raise InTask(mistake) if wrapped else mistake
    assert caught.value is mistake
    assert not (tmp_path / RUN_FAILURE).exists()


def test_a_stage_is_noted_for_who_looks_from_outside(tmp_path: Path) -> None:
    store, console = Store.at(tmp_path), Console(file=io.StringIO())
    with stage(store, console, "trying model mlp [wide]"):
        assert str(read_phase(store)) == "starting (trying model mlp [wide])"
    with stage(None, console, "trying"):
        pass


def test_only_folders_that_were_made_and_stayed_empty_are_taken_away(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with suppress(ValueError), no_empty_folder(Store.at(tmp_path / "mine/a/b")):
        (tmp_path / "mine/a/b").mkdir(parents=True)
        raise ValueError("no")
    assert list((tmp_path / "mine").iterdir()) == []
    with no_empty_folder(Store.at(tmp_path / "mine")):
        pass
    assert (tmp_path / "mine").is_dir(), "was there before"
    with no_empty_folder(Store.at(tmp_path / "c/d")):
        Store.at(tmp_path / "c/d").write("x", b"1")
    assert (tmp_path / "c/d/x").exists()


def test_empty_folders_of_blocks_go_and_others_stay(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for folder in ("progress/a", "progress/b", "failures/c", "records/d"):
        (tmp_path / folder).mkdir(parents=True)
    store.write("progress/b/x.npz", b"1")
    tidy(store)
    tidy(store)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_dir())
    assert left == ["progress", "progress/b", "records", "records/d"]
