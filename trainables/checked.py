"""Which records were checked, their checksums and figures: ``records.json``, so that each is read once.

A record that is missing there, or whose size or time has changed since, is read; so is every record where the
file is missing or damaged. It may be deleted at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from trainables.directory import CHECKED
from trainables.records import RecordError, RecordFile, content_id
from trainables.storage import Entry, Store

FORMAT = 2
FIGURES = ("test_accuracy", "train_accuracy", "final_loss")  # of which the sums over replicas are kept


class Checked:
    """The records of a sweep directory that are known to be whole.

    Args:
        store: the sweep directory; its ``records.json`` is read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, list[Any]] = _read(store)
        self._written = dict(self._known)

    def __contains__(self, entry: Entry) -> bool:
        """Return whether the file was checked as it is now."""
        return self._known.get(entry.path, [])[:2] == [entry.size, entry.modified]

    def sums(self, entry: Entry) -> dict[str, float] | None:
        """Sum ``FIGURES`` over a record's replicas; None of a record that was not checked."""
        return dict(zip(FIGURES, self._known[entry.path][3:], strict=True)) if entry in self else None

    def content(self, entry: Entry) -> str:
        """Return what `RecordFile.content` says of a record; empty of one that was not checked."""
        return str(self._known[entry.path][2]) if entry in self else ""

    def problem(self, entry: Entry) -> str | None:
        """Say what is wrong with a record in a line; None where it is whole, or was when it was checked."""
        if entry in self:
            return None
        record = RecordFile(self._store, entry.path)
        try:
            record.check()
            sums = [float(record[name].sum()) for name in FIGURES]
        except RecordError as error:
            self._known.pop(entry.path, None)
            return str(error)
        self._known[entry.path] = [entry.size, entry.modified, record.content, *sums]
        return None

    def write(self, there: Iterable[Entry] | None = None) -> None:
        """Put ``records.json`` in place where something was learnt; where it is refused, reads come later.

        Args:
            there: all records that the directory holds; others are forgotten.
        """
        if there is not None:
            paths = {entry.path for entry in there}
            self._known = {path: found for path, found in self._known.items() if path in paths}
        records = dict(self._known)
        if records != self._written:
            with suppress(OSError):
                content = {"format": FORMAT, "digest": content_id(records), "records": records}
                self._store.write(CHECKED, json.dumps(content, separators=(",", ":")).encode())
                self._written = records


def _read(store: Store) -> dict[str, list[Any]]:
    """Return what the file says; nothing where it is missing or not as it was written."""
    try:
        content = json.loads(store.read(CHECKED))
        records = content["records"]
        whole = content["format"] == FORMAT and content["digest"] == content_id(records)
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return records if whole else {}
