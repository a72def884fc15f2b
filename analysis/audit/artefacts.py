"""Finished audits of single recipes, kept beside the results while what they follow from stays the same."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.attacks import registry
from analysis.audit.outcome import Audit, Options
from analysis.ensemble import Ensemble
from trainables.records import RecordFile, content_id
from trainables.storage import Store

FORMAT = 4
_PACKAGES = ("attacks", "audit", "statistics")  # whose code finds the figures, with that of
_MODULES = ("ensemble", "epsilon", "influence", "memorization", "metrics", "results")
_TABLES = ("metrics", "examples", "roc", "scores", "correlations", "influence", "growth")


def path_of(key: str) -> str:
    """Where an audit lies: one a recipe, and one for each recipe of a pair whose subset seeds differ."""
    return f"results/audits/{key}.npz"


def address_of(
    ensemble: Ensemble, options: Mapping[str, Any], among: NDArray[Any] | None = None
) -> str | None:
    """Return the address of an audit: a hash of the records, options, attacks and code it follows from.

    Args:
        ensemble: the replicas of one recipe.
        options: those of `audit`. The reference and the risk shown are none of them.
        among: the ``cluster_ids`` that its bootstrap draws are paired with. They matter where it lacks some.

    Returns:
        Ten hexadecimal digits; None where it cannot be told: replicas in memory, code without a file.
    """
    records = []
    for block in ensemble.blocks:
        if not isinstance(block.source, RecordFile):
            return None
        rows = np.asarray(block.rows).tolist()
        records.append([block.source.path, block.source.content, rows])
    attacks = {}
    for name, attack in registry.select(options.get("attacks")).items():
        code = "" if attack is registry.ATTACKS.get(name) else _code(attack)
        if code is None:
            return None
        attacks[name] = code
    plain = Options(
        **{k: v for k, v in options.items() if k in Options.__dataclass_fields__ and k != "attacks"}
    )
    chosen = {k: v for k, v in vars(plain).items() if k != "attacks"}
    whole = among is None or np.array_equal(np.unique(ensemble.cluster_ids), among)
    return content_id(
        {
            "records": records,
            "order": [*attacks],
            "attacks": attacks,
            "options": chosen,
            "among": None if whole else np.asarray(among).tolist(),
            "code": [FORMAT, code_of(Path(__file__).parents[1])],
        }
    )


@cache
def code_of(package: Path) -> str:
    """Return a hash of the sources that an audit follows from: other code may find other figures.

    Args:
        package: the directory of `analysis`.
    """
    files = [package / f"{name}.py" for name in _MODULES]
    for name in _PACKAGES:
        files += sorted((package / name).glob("*.py"))
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.name}:".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _code(attack: registry.Attack) -> str | None:
    """Return the hash of the file that holds an attack of one's own."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(attack.function))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
    except (TypeError, OSError):
        return None


def save(store: Store, key: str, address: str, found: Audit) -> None:
    """Put an audit in place, whole or not at all."""
    members = {f"draws/{name}": draws for name, draws in found.draws.items()}
    for name in _TABLES:
        buffer = io.BytesIO()
        getattr(found, name).to_parquet(buffer, index=False)
        members[name] = np.frombuffer(buffer.getvalue(), np.uint8)
    about = {"address": address, "row": found.row, "notes": found.notes, "draws": [*found.draws]}
    archive = io.BytesIO()
    np.savez(archive, allow_pickle=False, about=np.array(json.dumps(about)), **members)
    store.write(path_of(key), archive.getvalue())


def load(store: Store, key: str, address: str) -> tuple[Audit | None, str]:
    """Read an audit that is there.

    Returns:
        The audit, or None where it is missing, follows from something else, or is damaged; and what is wrong
        with a damaged one, else "".
    """
    try:
        data = store.read(path_of(key))
    except FileNotFoundError:
        return None, ""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            if about["address"] != address:
                return None, ""
            tables = {name: pd.read_parquet(io.BytesIO(archive[name].tobytes())) for name in _TABLES}
            draws = {name: archive[f"draws/{name}"] for name in about["draws"]}
            return Audit(row=about["row"], draws=draws, notes=about["notes"], **tables), ""
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        told = " ".join(str(error).split())
        return None, f"{store}/{path_of(key)} is damaged ({told}), audited again"
