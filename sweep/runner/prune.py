"""What no recipe of the manifest names: records, progress, failures and audits that may go."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from sweep.runner import lease
from trainables.directory import FAILURES, PROGRESS, RECORDS, Manifest, require_manifest
from trainables.records import Address
from trainables.storage import Store

AUDITS = "results/audits"  # see `analysis.audit.artefacts`


@dataclass(frozen=True)
class Unnamed:
    """A file that the sweep uses no more: its path below the sweep directory, its bytes, and why."""

    path: str
    bytes: int
    why: str


def unnamed(store: Store) -> list[Unnamed]:
    """List what belongs to a recipe or a context that the manifest does not name.

    Files whose names say no recipe are never listed, nor are replicas whose subset seeds lie outside the
    manifest's: more seeds use them again.

    Args:
        store: the sweep directory; nothing is written to it.

    Raises:
        UserError: it has no manifest.
    """
    manifest = require_manifest(store)
    found = []
    for folder in (RECORDS, PROGRESS, FAILURES, AUDITS):
        for entry in store.list(folder):
            why = _why(entry.path, folder, manifest)
            if why:
                found.append(Unnamed(entry.path, entry.size, why))
    return found


def prune(store: Store) -> list[Unnamed]:
    """Delete what `unnamed` lists, while no run can start.

    Returns:
        What was deleted.

    Raises:
        UserError: it has no manifest, or a living process drives the sweep.
    """
    require_manifest(store)  # before the lease, which would make the directory
    with lease.hold(store):
        gone = unnamed(store)
        for file in gone:
            store.delete(file.path)
        _drop_empty_folders(store, gone)
    return gone


def _why(path: str, folder: str, manifest: Manifest) -> str:
    """Why the sweep does not use a file; empty where it does, or where its name does not tell."""
    name = PurePosixPath(path)
    if folder == AUDITS:
        named = set(name.stem.split("-with-")) <= set(manifest.recipes)
        return "" if name.suffix != ".npz" or named else "no such recipe"
    address = Address.parse(str(name.with_suffix(".npz")))
    if address is None:
        return ""
    if address.recipe_id not in manifest.recipes:
        return "no such recipe"
    return "" if address.context_id == manifest.context_id else "another context"


def _drop_empty_folders(store: Store, gone: list[Unnamed]) -> None:
    """Delete empty folders on a disk; object stores have none."""
    if store.local is None:
        return
    for folder in {(store.local / file.path).parent for file in gone}:
        with suppress(OSError):  # not empty
            folder.rmdir()
