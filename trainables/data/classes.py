"""Labels of any coding -> classes 0 to C-1 and their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.normalise import listed
from trainables.errors import UserError

Array = NDArray[Any]


@dataclass(frozen=True)
class Classes:
    """The classes of both sides as numbers.

    Labels are int64 ``[n]`` below ``count``. ``names`` is None where labels are 0 to C-1 already and nobody
    named them.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    count: int
    names: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def find_classes(y_train: Any, y_test: Any, names: Sequence[Any] | None = None) -> Classes:
    """Return the classes that the training labels spell.

    Labels 0 to C-1 are the classes themselves; with ``names``, label i is the class of that name. Any other
    whole numbers and any texts become classes in ascending order, and what they were their names.

    Raises:
        UserError: no labels of classes, fewer than two classes, or a test label that no training example has.
    """
    train, test = _labels(y_train, "train"), _labels(y_test, "test")
    if (train.dtype.kind == "U") != (test.dtype.kind == "U"):
        kinds = ["text" if y.dtype.kind == "U" else "numbers" for y in (train, test)]
        raise UserError(f"dataset: train labels are {kinds[0]}, test labels {kinds[1]}; expected one coding")
    if names is not None:
        return _named(train, test, _texts(names))
    found = _ascending(train)
    _require_two(found.tolist(), len(train))
    _refuse_strangers(found, test)
    codes = {label: code for code, label in enumerate(found.tolist())}
    y_train, y_test = (np.array([codes[v] for v in y.tolist()], np.int64) for y in (train, test))
    if train.dtype.kind != "U" and found[0] == 0 and found[-1] == len(found) - 1:
        return Classes(y_train, y_test, len(found), None)
    texts = tuple(map(str, found.tolist()))
    notes: tuple[str, ...] = ()
    if train.dtype.kind != "U":
        notes = (f"labels {listed(texts)} became classes 0 to {len(texts) - 1}, named after them",)
    return Classes(y_train, y_test, len(found), texts, notes)


def _labels(y: Any, side: str) -> Array:
    """Return the labels as int64 or text ``[n]``."""
    y = np.asarray(y)
    if y.dtype == object and y.ndim == 1 and all(isinstance(label, str) for label in y):
        y = y.astype(np.str_)
    if y.dtype.kind == "S" and y.ndim == 1:
        y = np.array([label.decode(errors="replace") for label in y.tolist()], np.str_)
    if y.ndim != 1 or len(y) == 0 or y.dtype.kind not in "iubU":
        raise UserError(
            f"dataset: {side} labels are {y.dtype} {y.shape}; expected integers or texts [n], n at least 1"
        )
    return np.asarray(y if y.dtype.kind in "Uu" else y.astype(np.int64))


def _texts(names: Sequence[Any]) -> tuple[str, ...]:
    values = np.asarray(names)
    if values.ndim != 1 or not len(values):
        raise UserError(f"dataset: class_names have shape {values.shape}; expected one text a class")
    return tuple(n.decode(errors="replace") if isinstance(n, bytes) else str(n) for n in values.tolist())


def _named(train: Array, test: Array, names: tuple[str, ...]) -> Classes:
    """Return the labels that are indices into ``names``, or, as texts, the names themselves."""
    if train.dtype.kind == "U":
        codes = {name: code for code, name in enumerate(names)}
        if len(codes) < len(names):
            raise UserError(
                "dataset: class_names hold a name twice, and the labels are names; expected each once"
            )
        for side, y in (("train", train), ("test", test)):
            stranger = next((label for label in y.tolist() if label not in codes), None)
            if stranger is not None:
                raise UserError(f"dataset: {side} label {stranger!r} is none of the class_names")
        train, test = (np.array([codes[v] for v in y.tolist()]) for y in (train, test))
    for side, y in (("train", train), ("test", test)):
        if not 0 <= y.min() <= y.max() < len(names):
            bad = int(y.min() if y.min() < 0 else y.max())
            remedy = "; subtract 1 from all labels" if y.min() == 1 and bad == len(names) else ""
            raise UserError(
                f"dataset: {side} label {bad} is out of range; expected 0 to {len(names) - 1}, "
                f"one for each of {len(names)} class_names{remedy}"
            )
    found = np.unique(train)
    _require_two([names[code] for code in found], len(train))
    _refuse_strangers(found, test)
    empty = [name for code, name in enumerate(names) if code not in set(found.tolist())]
    notes = (f"classes without a training example: {listed(empty)}",) if empty else ()
    return Classes(train.astype(np.int64), test.astype(np.int64), len(names), names, notes)


def _ascending(y: Array) -> Array:
    """Return the labels there are; texts that are all whole numbers in the order of the numbers."""
    found = np.unique(y)
    if found.dtype.kind == "U" and all(text.isdecimal() for text in found.tolist()):
        return found[np.argsort([int(text) for text in found.tolist()], kind="stable")]
    return found


def _require_two(found: Sequence[Any], n: int) -> None:
    if len(found) < 2:
        raise UserError(f"dataset: all {n:,} training labels are {found[0]!r}; expected at least 2 classes")


def _refuse_strangers(found: Array, test: Array) -> None:
    strangers = np.setdiff1d(test, found)
    if len(strangers):
        count = int(np.isin(test, strangers).sum())
        raise UserError(
            f"dataset: {count:,} test examples have labels that no training example has, such as "
            f"{strangers.tolist()[0]!r}; expected labels of the {len(found)} training classes"
        )
