"""Bring your own models: a file of predictions -> a sweep directory of one recipe, audited like any other.

``predictions.npz`` (no pickles) holds, for R models, n training candidates, m test examples, C classes and
optionally Q queries (augmented copies) an example:

- ``logits`` or ``probabilities``, float ``[R, n, C]`` or ``[R, Q, n, C]``: outputs on all n candidates;
- ``labels``, integers ``[n]`` from 0 to C-1;
- ``members``, bool or 0/1 ``[R, n]``: which candidates each model trained on. Every model needs members and
  non-members, and the models must differ. Where models 2k and 2k+1 hold complementary halves throughout,
  they are resampled together;
- optionally ``test_logits`` or ``test_probabilities`` ``[R, (Q,) m, C]`` with ``test_labels`` ``[m]``:
  examples that no model trained on. Without them there is no test accuracy, and no attack that needs a
  population.

Logits keep more than probabilities: a probability that rounded to 0 or 1 has lost how confident it was.
Where a file shows that, the manifest (``data.warnings``), the command and the page say so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import permutations
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from trainables.data.subsets import Subsets
from trainables.directory import Manifest, read_manifest, require_usable, write_manifest
from trainables.errors import UserError
from trainables.records import Address, Context, Record, Signals, content_id, write_record
from trainables.registry import nearest
from trainables.storage import Store, as_store

if TYPE_CHECKING:
    from analysis.audit.sweep_audit import Results

__all__ = ["audit_predictions", "read_predictions"]

KEYS = (
    "logits",
    "probabilities",
    "labels",
    "members",
    "test_logits",
    "test_probabilities",
    "test_labels",
)
SUM_TOLERANCE = 1e-3  # what half precision leaves of a sum of 1

Array = NDArray[Any]


def place_of(path: str | PathLike[str]) -> Path:
    """Return where the audit of a predictions file goes that is given no other directory."""
    return Path("runs") / Path(path).stem


def audit_predictions(
    path: str | PathLike[str], out: str | PathLike[str] | Store | None = None, **options: Any
) -> Results:
    """Audit a predictions file into a sweep directory: its record, manifest and ``results/``.

    Args:
        path: The file; see the module's docstring for its format.
        out: The sweep directory; ``runs/<name of the file>`` by default.
        **options: Those of `analysis.audit.sweep_audit.audit_sweep`.

    Returns:
        The audit and the tables that follow.

    Raises:
        UserError: What is wrong with the file, or ``out`` holds another sweep or other files.
    """
    from analysis.audit.sweep_audit import audit_sweep

    store = as_store(out or place_of(path))
    require_usable(store)
    given = _Given(Path(path))
    record = _record(given)
    knobs = {"optimizer": "predictions", "file": Path(path).name}
    recipe_id, context_id = content_id(knobs), record.context.context_id
    before = read_manifest(store)
    if before is not None and before.context_id != context_id:
        raise UserError(f"--out {store}: holds another sweep; expected a new or empty directory")
    address = Address(recipe_id, context_id, 0, len(record.seeds) - 1)
    write_record(store, address, replace(record, recipe=knobs))
    write_manifest(store, _manifest(Path(path), record, recipe_id, knobs, given.warnings))
    return audit_sweep(store, **options)


def read_predictions(path: str | PathLike[str]) -> Record:
    """Read a predictions file as a record.

    Args:
        path: The file; see the module's docstring for its format.

    Returns:
        The record of its replicas.

    Raises:
        UserError: Names the file, the array, the value and what was expected.
    """
    return _record(_Given(Path(path)))


def _record(given: _Given) -> Record:
    kind, outputs = given.outputs("")
    labels = given.labels("labels", outputs.shape[-2], outputs.shape[-1])
    members = given.members(len(outputs), outputs.shape[-2])
    test_labels, test = np.zeros(0, np.int32), outputs[:, :, :0]
    if given.has("test_logits", "test_probabilities", "test_labels"):
        test_kind, test = given.outputs("test_")
        wanted = (*outputs.shape[:2], test.shape[2], outputs.shape[3])
        if test.shape != wanted:
            raise given.error(test_kind, f"has shape {test.shape}", f"{wanted}, like {kind!r}")
        test_labels = given.labels("test_labels", test.shape[-2], test.shape[-1])
    train_signals, test_signals = _signals(outputs, labels), _signals(test, test_labels)
    replicas = len(members)
    unknown = np.full(replicas, np.nan)
    correct = train_signals.correct[:, 0]
    return Record(
        recipe={"optimizer": "predictions"},
        context=Context(
            dataset={"name": given.path.name},
            fingerprint=content_id({"labels": labels.tolist(), "members": np.packbits(members).tolist()}),
            model={"name": "predictions"},
            subsets=_subsets(members),
            queries=outputs.shape[1],
        ),
        seeds=np.arange(replicas),
        members=members,
        labels_train=labels,
        labels_test=test_labels,
        train=train_signals,
        test=test_signals,
        test_accuracy=test_signals.correct[:, 0].mean(axis=1) if len(test_labels) else unknown,
        train_accuracy=(correct & members).sum(axis=1) / members.sum(axis=1),
        final_loss=unknown,
        seconds=unknown,
        epochs=np.zeros(replicas),
        epsilon=np.full(replicas, np.inf),
        delta=np.zeros(replicas),
    )


class _Given:
    """The arrays of a file, each checked when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warnings: list[str] = []
        if path.is_dir() or (path.exists() and not is_zipfile(path)):
            raise UserError(f"{path}: is no .npz archive; expected predictions as numpy.savez writes them")
        try:
            with np.load(path, allow_pickle=False) as archive:
                self.arrays: dict[str, Array] = {name: archive[name] for name in archive.files}
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; expected an .npz of predictions") from None
        except Exception as error:  # a damaged archive fails in zip, zlib, NumPy or Python's own tokenizer
            raise UserError(f"{path}: cannot be read ({error}); expected an .npz without pickles") from error
        for name in self.arrays:
            if name not in KEYS:
                raise UserError(f"{path}: array {name!r} is not known; {nearest(name, KEYS)}")

    def error(self, name: str, problem: str, expected: str) -> UserError:
        return UserError(f"{self.path}: {name!r} {problem}; expected {expected}")

    def has(self, *names: str) -> bool:
        return any(name in self.arrays for name in names)

    def take(self, name: str, expected: str) -> Array:
        if name not in self.arrays:
            raise self.error(name, "is missing", expected)
        return self.arrays[name]

    def outputs(self, prefix: str) -> tuple[str, Array]:
        """Name and values of the logits ``[R, Q, n, C]``, or of the log-probabilities in their place."""
        names = [f"{prefix}logits", f"{prefix}probabilities"]
        found = [name for name in names if name in self.arrays]
        if len(found) != 1:
            problem = "are both there" if found else "are both missing"
            raise UserError(f"{self.path}: {names[0]!r} and {names[1]!r} {problem}; expected one of them")
        name = found[0]
        values = self.take(name, "an array")
        self._axes_are_in_order(name, values, prefix)
        if values.dtype.kind != "f" or values.ndim not in (3, 4):
            raise self.error(name, f"is {values.dtype} {values.shape}", "floats [R, n, C] or [R, Q, n, C]")
        values = values[:, None] if values.ndim == 3 else values
        if values.shape[0] < 2 or values.shape[1] < 1 or values.shape[2] < 1 or values.shape[3] < 2:
            raise self.error(name, f"has shape {values.shape}", "at least 2 models, 1 example and 2 classes")
        bad = ~np.isfinite(values)
        if bad.any():
            raise self.error(name, f"holds {values[bad][0]} at {_first(bad)}", "finite numbers")
        if name.endswith("logits"):
            return name, values
        self._warn_of_rounding(name, values)
        return name, self._log(name, values)

    def _axes_are_in_order(self, name: str, values: Array, prefix: str) -> None:
        """Say which axes are swapped, where labels and members tell."""
        labels, members = (np.shape(self.arrays.get(key, ())) for key in (f"{prefix}labels", "members"))
        if values.ndim not in (3, 4) or len(labels) != 1 or len(members) != 2:
            return
        replicas, n = members[0], labels[0]
        if not prefix and members == (n, values.shape[0]) and values.shape[-2] == n != values.shape[0]:
            raise self.error("members", f"has shape {members}, its axes swapped", f"{members[::-1]}, [R, n]")
        if (values.shape[0], values.shape[-2]) == (replicas, n):
            return
        middle = values.shape[1:-2]
        for order in permutations(range(values.ndim)):
            shape = tuple(values.shape[axis] for axis in order)
            if (shape[0], shape[-2]) == (replicas, n) and (len(middle) == 0 or shape[1] <= shape[-2]):
                wanted = "[R, n, C]" if values.ndim == 3 else "[R, Q, n, C]"
                raise self.error(
                    name,
                    f"has shape {values.shape}, its axes in another order",
                    f"{wanted}, {replicas} models and {n} examples: {name}.transpose{order} would have it",
                )

    def _warn_of_rounding(self, name: str, p: Array) -> None:
        """Warn where probabilities have lost how confident a model was."""
        top = p.max(axis=-1)
        certain = float(((top >= 1) | ((p <= 0).sum(axis=-1) == p.shape[-1] - 1)).mean())
        decimals = _decimals(p)
        found = []
        if p.dtype == np.float16:
            found.append("are in half precision")
        elif decimals is not None:
            found.append(f"are rounded to {decimals} decimals")
        if certain:
            found.append(f"are exactly 0 and 1 in {_percent(certain)} of all answers")
        if found:
            self.warnings.append(
                f"{name!r} {' and '.join(found)}: how confident the models were is lost there, and LiRA and "
                "others come out too weak; give logits, or probabilities in full precision"
            )

    def _log(self, name: str, p: Array) -> Array:
        bad = (p < -SUM_TOLERANCE) | (p > 1 + SUM_TOLERANCE)  # less is rounding, as in the sum
        if bad.any():
            raise self.error(name, f"holds {p[bad][0]} at {_first(bad)}", "probabilities from 0 to 1")
        total = p.sum(axis=-1, dtype=np.float64)
        bad = np.abs(total - 1) > SUM_TOLERANCE
        if bad.any():
            raise self.error(name, f"sums to {total[bad][0]:.4g} at {_first(bad)}", "1 over the classes")
        return np.log(np.clip(p, np.finfo(p.dtype).smallest_subnormal, 1).astype(np.float64))

    def labels(self, name: str, n: int, classes: int) -> Array:
        values = self.take(name, f"integers [{n}]")
        if values.shape != (n,) or values.dtype.kind not in "iu":
            raise self.error(name, f"is {values.dtype} {values.shape}", f"integers ({n},)")
        bad = (values < 0) | (values >= classes)
        if bad.any():
            raise self.error(name, f"holds {values[bad][0]} at {_first(bad)}", f"classes 0 to {classes - 1}")
        return values.astype(np.int32)

    def members(self, replicas: int, n: int) -> NDArray[np.bool_]:
        values = self.take("members", f"bool {(replicas, n)}")
        if values.shape != (replicas, n) or values.dtype.kind not in "buif":
            raise self.error("members", f"is {values.dtype} {values.shape}", f"bool or 0/1 {(replicas, n)}")
        bad = ~np.isin(values, (0, 1))
        if bad.any():
            raise self.error("members", f"holds {values[bad][0]} at {_first(bad)}", "bool or 0/1")
        mask = values.astype(bool)
        for what, count in (("members", mask.sum(axis=1)), ("non-members", (~mask).sum(axis=1))):
            if not count.all():
                raise self.error(
                    "members", f"gives model {int(count.argmin())} no {what}", "some of both for each"
                )
        if (mask == mask[0]).all():
            # What is easy to predict would pass for what was trained on.
            raise self.error("members", "is the same for every model", "models trained on different subsets")
        return mask


def _decimals(p: Array) -> int | None:
    """Return the number of decimals, up to 6, that a sample of ``p`` is rounded to; None where it is not."""
    flat = p.reshape(-1)
    sample = flat[:: max(1, len(flat) // 100_000)].astype(np.float64)
    sample = sample[(sample > 0) & (sample < 1)]
    for decimals in range(1, 7):
        scaled = sample * 10.0**decimals
        rounding = 1e-6 + 4 * np.finfo(p.dtype).eps * scaled
        if len(sample) and (abs(scaled - np.rint(scaled)) <= rounding).all() and (rounding < 0.1).all():
            return decimals
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 1e-4 else "less than 0.01 %"


def _first(bad: NDArray[np.bool_]) -> str:
    return str([int(i) for i in np.argwhere(bad)[0]])


def _signals(outputs: Array, labels: Array) -> Signals:
    """Return signals model by model: float64 copies of all outputs at once could be gigabytes."""
    parts = [Signals.of(one[None], labels) for one in outputs]
    return Signals(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Signals)))


def _subsets(members: NDArray[np.bool_]) -> Subsets:
    """``half`` where models pair up as complements, else independent subsets of the mean size."""
    if len(members) % 2 == 0 and (members[::2] != members[1::2]).all():
        return Subsets()
    return Subsets(scheme="fraction", fraction=float(members.mean()))


def _manifest(
    path: Path, record: Record, recipe_id: str, knobs: Mapping[str, Any], warnings: Sequence[str]
) -> Manifest:
    return Manifest(
        name=path.stem,
        context=record.context.model_dump(mode="json", exclude_none=True),
        data={"warnings": list(warnings)} if warnings else {},
        context_id=record.context.context_id,
        recipes={recipe_id: dict(knobs)},
        reference=recipe_id,
        seeds=len(record.seeds),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        show_examples=False,
    )
