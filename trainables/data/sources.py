"""Where data comes from: one function a source, each giving the examples as they are stored."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from trainables.data.images import SUFFIXES, Encoded, Images
from trainables.data.layout import Layout, channels_first
from trainables.data.normalise import Mode
from trainables.errors import UserError, first_line
from trainables.registry import nearest

Array = NDArray[Any]


class Examples(Protocol):
    """An array, or something that decodes the examples it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Array, /) -> Array: ...


@dataclass(frozen=True)
class Column:
    """A column of a table: one feature where it holds numbers, else one a category."""

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def features(self) -> list[str]:
        """The names of its features."""
        if self.categories is None:
            return [self.name]
        return [f"{self.name}={category}" for category in self.categories]


@dataclass(frozen=True)
class Source:
    """Examples and labels before any option.

    ``x``: images ``[n, H, W]`` or, as ``layout`` says, ``[n, C, H, W]`` or ``[n, H, W, C]``, where it is None
    to be told by their shape; or tables ``[n, d]``. ``y``: integers or texts ``[n]``. ``normalise``: how the
    examples are scaled unless the user says otherwise. ``columns``: of a table, what its features are.
    ``notes``: what a user should know of the reading.
    """

    x_train: Examples
    y_train: Array
    x_test: Examples
    y_test: Array
    class_names: Sequence[str] | None = None
    layout: Layout | None = "channels_first"
    normalise: Mode | None = None
    columns: tuple[Column, ...] = ()
    notes: list[str] = field(default_factory=list)


def digits() -> Source:
    """scikit-learn's 8 x 8 digits: 1,200 to train on and 597 to test on, always the same.

    Replicas train on grey levels from 0 to 1.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    x = (data.images / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1200], order[1200:]
    names = [str(d) for d in range(10)]
    return Source(x[train], data.target[train], x[test], data.target[test], names, normalise="none")


def torchvision_set(kind: str, *, root: str = "~/.cache/flatleak") -> Source:
    """Load a data set that torchvision downloads the first time.

    Args:
        kind: ``CIFAR10``, ``CIFAR100``, ``MNIST`` or ``FashionMNIST``.
        root: The folder that it is downloaded into; ``~`` is the home directory.

    Returns:
        Images and labels of both sides.
    """
    import torchvision

    where = _place("root", root)
    try:
        train, test = (
            getattr(torchvision.datasets, kind)(str(where), train=train, download=True)
            for train in (True, False)
        )
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"dataset: {kind} is not in {where} and cannot be downloaded there ({first_line(error)}); "
            "give 'root', a folder that holds torchvision's copy, or use {name: npz, path: FILE}"
        ) from error
    x_train, x_test = (channels_first(np.asarray(part.data)) for part in (train, test))
    return Source(x_train, np.asarray(train.targets), x_test, np.asarray(test.targets), train.classes)


def npz(*, path: str, test_share: float = 0.2) -> Source:
    """Read a NumPy archive in one of three forms, which its keys tell apart.

    - ``x_train, y_train, x_test, y_test``: dense arrays.
    - ``train_bytes, train_offsets, train_labels`` and the same for ``test``: encoded images (JPEG, PNG),
    image i
      being ``bytes[offsets[i]:offsets[i+1]]``.
    - ``features_packed, n_features, labels``: a binary table, ``np.unpackbits`` along axis 1, without a split
    of
      its own.

    ``class_names`` may name the classes.

    Args:
        path: The file.
        test_share: The share of a binary table that is held out at random, always the same, in 0..1.

    Returns:
        Examples and labels of both sides.

    Raises:
        UserError: The file is no such archive; names the array and what was expected.
    """
    file = existing(path)
    if not file.is_file() or not is_zipfile(file):
        raise UserError(f"dataset.path: {file} is not a .npz archive")
    try:
        with np.load(file, allow_pickle=False) as archive:
            return _read(file, archive, test_share)
    except UserError:
        raise
    except Exception as error:  # a damaged archive fails in zip, zlib, NumPy or Python's own tokenizer
        raise UserError(f"dataset.path: {file} cannot be read: {first_line(error)}") from error


SPLITS = ("train", "test")
DENSE = ("x_train", "y_train", "x_test", "y_test")
ENCODED = tuple(f"{split}_{part}" for split in SPLITS for part in ("bytes", "offsets", "labels"))
PACKED = ("features_packed", "n_features", "labels")


def _read(file: Path, archive: Mapping[str, Array], test_share: float) -> Source:
    keys = set(archive)
    form = max((DENSE, ENCODED, PACKED), key=lambda form: len(keys.intersection(form)))
    missing = [key for key in form if key not in keys]
    if missing:
        others = keys.difference(form) or keys
        hint = nearest(missing[0], others) if others else "it is empty"
        raise UserError(f"dataset.path: {file} has no {missing[0]!r}; {hint}")
    values = [archive[key] for key in form]
    names: Any = archive["class_names"] if "class_names" in keys else None
    if form is PACKED:
        packed, features, labels = values
        if packed.dtype != np.uint8 or packed.ndim != 2 or features.dtype.kind not in "iu" or features.ndim:
            raise UserError(
                f"dataset.path: {file}: 'features_packed' is {packed.dtype} {packed.shape}, 'n_features' "
                f"{features.dtype} {features.shape}; expected uint8 [n, bytes] and one integer"
            )
        bits = np.unpackbits(packed, axis=1)
        if not 1 <= int(features) <= bits.shape[1]:
            raise UserError(
                f"dataset.path: {file}: 'n_features' is {int(features)}; expected 1 to {bits.shape[1]}"
            )
        return held_out(bits[:, : int(features)], labels, test_share, names)
    if form is ENCODED:
        notes: list[str] = []
        train = _slices("train", values[0], values[1], notes)
        test = _slices("test", values[3], values[4], notes)
        return Source(train, values[2], test, values[5], names, notes=notes)
    return Source(values[0], values[1], values[2], values[3], names, layout=None)


def _slices(side: str, data: Array, offsets: Array, notes: list[str]) -> Images:
    """Return the images of one byte string."""
    if data.dtype != np.uint8 or data.ndim != 1 or offsets.dtype.kind not in "iu" or offsets.ndim != 1:
        raise UserError(
            f"dataset.path: '{side}_bytes' is {data.dtype} {data.shape}, '{side}_offsets' {offsets.dtype} "
            f"{offsets.shape}; expected uint8 [bytes] and integers [n + 1]"
        )
    at = offsets.astype(np.int64)
    if len(at) == 0 or at[0] < 0 or at[-1] > len(data) or (np.diff(at) <= 0).any():
        raise UserError(
            f"dataset.path: '{side}_offsets': offsets do not rise from 0 to the {len(data)} bytes there are"
        )
    whole = np.ascontiguousarray(data).data
    ends = zip(at.tolist(), at[1:].tolist(), strict=False)
    return Images([Encoded(f"{side} image {i}", whole[a:b]) for i, (a, b) in enumerate(ends)], notes=notes)


def folder(*, path: str, size: int | None = None, test_share: float = 0.2) -> Source:
    """Images in a folder a class, read as RGB.

    They lie in ``path/train/<class>/`` and ``path/test/<class>/``, or in ``path/<class>/``, of which
    ``test_share`` is held out; at any depth below their class. Hidden files, and files of no image type, are
    skipped and counted.

    Args:
        path: The folder.
        size: Scales each image to that many pixels square; without it all must have one size.
        test_share: The share that is held out, in 0..1, where the folder has no ``test``.

    Returns:
        Images and labels of both sides.
    """
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise UserError(f"dataset.size: {size!r}: expected a whole number of pixels, 1 or more")
    root = existing(path)
    if not root.is_dir():
        raise UserError(
            f"dataset.path: {root} is a file; expected a folder with one folder of images a class"
        )
    split = {side: root / side for side in SPLITS}
    whole = not all(part.is_dir() for part in split.values())
    parts = {"train": root} if whole else split
    classes = _classes(parts["train"])
    if not classes:
        raise UserError(f"dataset.path: {parts['train']} holds no folder of images, expected one a class")
    found = {side: _files(part, classes) for side, part in parts.items()}
    skipped = [file for files in found.values() for file in files.skipped]
    notes: list[str] = []
    if skipped:
        example = skipped[0].relative_to(root)
        notes.append(
            f"1 file is hidden or of no image type and was skipped: {example}"
            if len(skipped) == 1
            else f"{len(skipped):,} files are hidden or of no image type and were skipped, such as {example}"
        )
    data = {
        side: (Images([Encoded(str(f), f) for f in files.images], True, size, notes), np.array(files.labels))
        for side, files in found.items()
    }
    if whole:
        return held_out(*data["train"], test_share, classes, notes)
    return Source(*data["train"], *data["test"], classes, notes=notes)


@dataclass
class _Files:
    """What lies below one side of a folder of images."""

    images: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)


def _classes(root: Path) -> list[str]:
    return sorted(e.name for e in root.iterdir() if e.is_dir() and not e.name.startswith("."))


def _files(root: Path, classes: Sequence[str]) -> _Files:
    strangers = set(_classes(root)) - set(classes)
    if strangers:
        raise UserError(f"dataset.path: {root / min(strangers)} is no class of the training images")
    found = _Files(skipped=sorted(entry for entry in root.iterdir() if entry.is_file()))
    for label, name in enumerate(classes):
        for file in _below(root / name):
            if file.name.startswith(".") or file.suffix.lower() not in SUFFIXES:
                found.skipped.append(file)
            else:
                found.images.append(file)
                found.labels.append(label)
    counts = Counter(found.labels)
    for label, name in enumerate(classes):
        if not counts[label] and (root / name).is_dir():
            raise UserError(
                f"dataset.path: class folder {root / name} holds no image; expected some, or no such folder"
            )
    if not found.images:
        raise UserError(f"dataset.path: no image below {root}")
    return found


def _below(folder: Path) -> list[Path]:
    """Return all files below a class's folder, hidden folders left out."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where) / name for name in names]
    return sorted(found)


def held_out(
    x: Array | Images, y: Array, share: float, names: Any = None, notes: list[str] | None = None
) -> Source:
    """Split data that comes without a split, at random but always alike."""
    if len(x) != len(y):
        raise UserError(f"dataset: there are {len(x)} examples and {len(y)} labels")
    train, test = split_index(len(x), share)
    sides = [x.take(part) if isinstance(x, Images) else x[part] for part in (train, test)]
    y = np.asarray(y)
    return Source(sides[0], y[train], sides[1], y[test], names, notes=[] if notes is None else notes)


def split_index(n: int, share: Any) -> tuple[Array, Array]:
    """Return which of ``n`` examples are trained on and which are held out, drawn once and for all.

    Raises:
        UserError: ``share`` is no number between 0 and 1, or leaves a side empty.
    """
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise UserError(f"dataset.test_share: {share!r} is not between 0 and 1")
    held = round(share * n)
    if not 0 < held < n:
        raise UserError(f"dataset.test_share: {share:g} of {n} examples leaves one side empty")
    test, train = np.split(np.random.default_rng(0).permutation(n), [held])
    return train, test


def _place(option: str, value: object) -> Path:
    if not isinstance(value, (str, Path)) or "\0" in str(value):
        raise UserError(f"dataset.{option}: {value!r}: expected a path")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # ~nobody
        raise UserError(f"dataset.{option}: {value!r}: {first_line(error)}") from error


def existing(path: object, option: str = "path") -> Path:
    """Return the file or folder at a path, relative to the working directory; ``~`` is the home directory."""
    where = _place(option, path)
    try:
        where.stat()
    except OSError as error:
        why = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        )
        place = str(where.absolute())
        shown = place if len(place) <= 300 else f"{place[:300]}..."
        raise UserError(f"dataset.{option}: {shown} {why}") from error
    return where
