"""The store on disk and on a real S3 server: whole files, brief refusals, full disks, no secrets."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.servers import S3, refusing
from trainables import storage
from trainables.errors import StorageFull, UserError
from trainables.storage import Store, located


def test_files_come_back_as_they_went(store: Store) -> None:
    assert store.list() == []
    store.write("records/ab/1.npz", b"one")
    store.write("records/cd/2.npz", b"three")
    store.write("spec.yaml", b"")
    listing = {entry.path: entry.size for entry in store.list()}
    assert listing == {"records/ab/1.npz": 3, "records/cd/2.npz": 5, "spec.yaml": 0}
    assert [entry.path for entry in store.list("records/ab")] == ["records/ab/1.npz"]
    assert store.list("progress") == []
    assert store.read("records/cd/2.npz") == b"three"
    assert [entry.path for entry in (store / "records").list()] == ["ab/1.npz", "cd/2.npz"]
    assert pickle.loads(pickle.dumps(store)).read("records/ab/1.npz") == b"one"  # noqa: S301


def test_overwrite_move_delete(store: Store) -> None:
    store.write("a", b"old")
    store.write("a", b"new")
    store.move("a", "aside/b")
    assert not store.exists("a")
    assert store.read("aside/b") == b"new"
    store.delete("aside/b")
    assert not store.exists("aside/b")
    with pytest.raises(FileNotFoundError):
        store.read("a")


def test_the_storage_tells_when_a_file_came_and_what_time_it_is(store: Store) -> None:
    before = time.time()
    store.write("a", b"1")
    times = [store.modified("a"), store.clock()]
    assert before - 1.1 <= times[0] <= times[1] <= time.time() + 0.1  # S3 stamps whole seconds
    assert [entry.path for entry in store.list()] == ["a"]
    with pytest.raises(FileNotFoundError):
        store.modified("b")


def test_a_reader_sees_the_old_or_the_new_never_a_part(store: Store) -> None:
    contents = [bytes([i]) * 300_000 for i in range(8)]
    store.write("file", contents[0])
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_rewrite, args=(store, contents))
    writer.start()
    seen = set()
    while writer.is_alive():
        data = store.read("file")
        assert data in contents
        seen.add(data[0])
    writer.join()
    assert writer.exitcode == 0
    assert store.read("file") == contents[-1]


def _rewrite(store: Store, contents: list[bytes]) -> None:
    for _ in range(3):
        for content in contents:
            store.write("file", content)


@pytest.mark.parametrize("refusals", [1, 7])
def test_a_storage_that_refuses_briefly_loses_nothing(
    s3: S3, refusals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PATIENCE", (0.05,) * 5)
    with refusing(s3.endpoint, refusals) as endpoint:
        slow = Store.at(f"{s3.uri('x')}?endpoint_override={endpoint.removeprefix('http://')}&scheme=http")
        slow.write("a", b"1" * 1000)
    assert Store.at(s3.uri("x")).read("a") == b"1" * 1000
    with refusing(s3.endpoint, refusals) as endpoint:
        slow = Store.at(f"{s3.uri('x')}?endpoint_override={endpoint.removeprefix('http://')}&scheme=http")
        slow.move("a", "b")
    with refusing(s3.endpoint, refusals) as endpoint:
        slow = Store.at(f"{s3.uri('x')}?endpoint_override={endpoint.removeprefix('http://')}&scheme=http")
        slow.delete("b")
    assert Store.at(s3.uri("x")).list() == []


def test_a_storage_that_stays_away_is_an_error_in_the_end(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PATIENCE", ())
    with refusing(s3.endpoint, 10**6) as endpoint:
        away = Store.at(f"{s3.uri('x')}?endpoint_override={endpoint.removeprefix('http://')}&scheme=http")
        with pytest.raises(OSError, match=r"SLOW_DOWN|503"):
            away.read("a")


def test_a_missing_bucket_is_said_at_once(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PATIENCE", (60.0,))
    assert s3.endpoint
    with pytest.raises(OSError, match=r"NO_SUCH_BUCKET|does not exist|not found"):
        Store.at("s3://no-such-bucket-at-all/x").write("a", b"1")


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(UserError) as refused:
        Store.at("s3://AKIAABC:hush@bucket/runs")
    assert "hush" not in str(refused.value)
    assert "s3://bucket/runs" in str(refused.value)


def test_a_place_on_disk_in_every_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = ("a b", "./a b", "~/a b", f"{tmp_path}/a b", f"file://{tmp_path}/a%20b")
    places = [*spellings, f"file://localhost{tmp_path}/a%20b"]
    assert {located(place, "here") for place in places} == {str(tmp_path / "a b")}
    assert located("s3://bucket/a%20b?region=x", "here") == "s3://bucket/a%20b?region=x"


@pytest.mark.parametrize(
    "place", ["s3://", "s3:///x", "gs://?region=x", "file://host/x", "~no-such-user/x", "", "a\0b"]
)
def test_a_place_that_cannot_be_is_refused_by_its_option(place: str) -> None:
    with pytest.raises(UserError, match="here"):
        located(place, "here")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UserError, match="ftp://host/x"):
        Store.at("ftp://host/x")


FULL = """
import resource, signal, sys
from trainables.storage import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Store.at(sys.argv[1]).write("record.npz", b"x" * 5000)
except OSError as error:
    print(error)
    sys.exit(error.errno)
"""


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    """The kernel refuses to grow the file (EFBIG), as it does on a full disk (ENOSPC): half way through."""
    Store.at(tmp_path).write("record.npz", b"old")
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == errno.EFBIG
    assert str(tmp_path / "record.npz") in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["record.npz"]
    assert (tmp_path / "record.npz").read_bytes() == b"old"


def test_no_room_is_an_error_of_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFull, match="a/b") as refused:
        Store.at(tmp_path).write("a/b", b"1")
    assert refused.value.errno == errno.EDQUOT
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_files_have_the_permissions_that_the_user_gives(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        Store.at(tmp_path).write("a", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_leftovers_of_a_killed_writer_are_not_files(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    store.write("records/ab/1.npz", b"1")
    (tmp_path / "records" / "ab" / ".aside-x").write_bytes(b"half")
    assert [entry.path for entry in store.list()] == ["records/ab/1.npz"]
