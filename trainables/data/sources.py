"""Where data comes from: one function a source, each giving the training and test examples as they are
stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from trainables.errors import UserError
from trainables.registry import nearest

Array = NDArray[Any]
CHANNELS = (1, 3, 4)
IMAGE_FILES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


class Examples(Protocol):
    """An array, or something that decodes the examples it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Array, /) -> Array: ...


@dataclass(frozen=True)
class Source:
    """Examples and labels before any option: ``x`` images ``[n, H, W]``, ``[n, H, W, C]`` or ``[n, C, H,
    W]``, or tables ``[n, d]``; ``y`` integers ``[n]``."""

    x_train: Examples
    y_train: Array
    x_test: Examples
    y_test: Array
    class_names: Sequence[str] | None = None


def digits() -> Source:
    """scikit-learn's 8 x 8 digits: 1,200 to train on and 597 to test on, always the same."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = (data.images / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1200], order[1200:]
    return Source(x[train], data.target[train], x[test], data.target[test], [str(d) for d in range(10)])


def torchvision_set(kind: str, *, root: str = "~/.cache/flatleak") -> Source:
    """A data set that torchvision downloads into ``root`` the first time: CIFAR10, CIFAR100, MNIST,
    FashionMNIST."""
    import torchvision

    where = _place("root", root)
    try:
        train, test = (
            getattr(torchvision.datasets, kind)(str(where), train=train, download=True)
            for train in (True, False)
        )
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"dataset: {kind} is not in {where} and cannot be downloaded there ({_first_line(error)}); "
            "give 'root', a folder that holds torchvision's copy, or use {name: npz, path: FILE}"
        ) from error
    x_train, x_test = (channels_first(np.asarray(part.data)) for part in (train, test))
    return Source(x_train, np.asarray(train.targets), x_test, np.asarray(test.targets), train.classes)


def npz(*, path: str, test_share: float = 0.2) -> Source:
    """A NumPy archive, told by its keys.

    - ``x_train, y_train, x_test, y_test``: dense arrays. - ``train_bytes, train_offsets, train_labels`` and
    the same for ``test``: encoded images (JPEG, PNG), image i being ``bytes[offsets[i]:offsets[i+1]]``. -
    ``features_packed, n_features, labels``: a binary table, ``np.unpackbits`` along axis 1; without a split
    of its own, a fixed random ``test_share`` of it is held out.

    ``class_names`` may name the classes.
    """
    file = existing(path)
    if not is_zipfile(file):
        raise UserError(f"dataset.path: {file} is not a .npz archive")
    try:
        with np.load(file, allow_pickle=False) as archive:
            return _read(file, archive, test_share)
    except (OSError, BadZipFile, EOFError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"dataset.path: {file} cannot be read: {_first_line(error)}") from error


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
        raise UserError(f"dataset.path: {file} has no {missing[0]!r}; {nearest(missing[0], others)}")
    values = [archive[key] for key in form]
    names = None
    if "class_names" in keys:
        names = [n.decode() if isinstance(n, bytes) else str(n) for n in archive["class_names"].tolist()]
    if form is PACKED:
        packed, features, labels = values
        return held_out(np.unpackbits(packed, axis=1)[:, : int(features)], labels, test_share, names)
    if form is ENCODED:
        train, test = Encoded(*values[:2]), Encoded(*values[3:5])
        return Source(train, values[2], test, values[5], names)
    x_train, y_train, x_test, y_test = values
    return Source(guess_channels(x_train), y_train, guess_channels(x_test), y_test, names)


class Encoded:
    """Encoded images in one byte string; indexing decodes only what is asked for."""

    def __init__(self, data: Array, offsets: Array) -> None:
        self.data, self.offsets = data, offsets.astype(np.int64)
        if len(offsets) == 0 or self.offsets[-1] > len(data) or (np.diff(self.offsets) <= 0).any():
            raise UserError(f"dataset.path: offsets do not rise from 0 to the {len(data)} bytes there are")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Array, /) -> Array:
        with ThreadPoolExecutor() as pool:
            return channels_first(np.stack(list(pool.map(self._decode, np.asarray(index).tolist()))))

    def _decode(self, i: int) -> Array:
        try:
            return np.asarray(Image.open(BytesIO(self.data[self.offsets[i] : self.offsets[i + 1]].tobytes())))
        except UnidentifiedImageError as error:
            raise UserError(f"dataset.path: image {i} cannot be decoded") from error


def folder(*, path: str, size: int | None = None, test_share: float = 0.2) -> Source:
    """Images in ``path/train/<class>/`` and ``path/test/<class>/``, or ``path/<class>/`` of which
    ``test_share`` is held out; read as RGB. ``size``: scale each to that many pixels square; without it all
    must have one size."""
    if size is not None and (not isinstance(size, int) or size < 1):
        raise UserError(f"dataset.size: {size!r}: expected a whole number of pixels, 1 or more")
    root = existing(path)
    split = {side: root / side for side in SPLITS}
    whole = not all(part.is_dir() for part in split.values())
    parts = {"train": root} if whole else split
    classes = sorted(entry.name for entry in parts["train"].iterdir() if entry.is_dir())
    if not classes:
        raise UserError(f"dataset.path: {parts['train']} holds no folder of images, expected one a class")
    data = {side: _images(part, classes, size) for side, part in parts.items()}
    if whole:
        return held_out(*data["train"], test_share, classes)
    return Source(*data["train"], *data["test"], classes)


def _images(root: Path, classes: Sequence[str], size: int | None) -> tuple[Array, Array]:
    strangers = {entry.name for entry in root.iterdir() if entry.is_dir()} - set(classes)
    if strangers:
        raise UserError(f"dataset.path: {root / min(strangers)} is no class of the training images")
    files = [
        (file, label)
        for label, name in enumerate(classes)
        for file in sorted((root / name).glob("*"))
        if file.suffix.lower() in IMAGE_FILES
    ]
    if not files:
        raise UserError(f"dataset.path: no image below {root}")
    images = []
    for file, _ in files:
        try:
            image = Image.open(file).convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"dataset.path: {file} cannot be decoded") from error
        images.append(np.asarray(image.resize((size, size)) if size else image))
        if images[-1].shape != images[0].shape:
            raise UserError(
                f"dataset.path: {file} is {image.size}, {files[0][0]} is not; give 'size' to scale them"
            )
    return channels_first(np.stack(images)), np.array([label for _, label in files])


def channels_first(x: Array) -> Array:
    """``[n, H, W, C]`` -> ``[n, C, H, W]``; images without channels as they are."""
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x


def guess_channels(x: Array) -> Array:
    """Channels first, where a user's array has 1, 3 or 4 of them last and another number of rows second."""
    last = x.ndim == 4 and x.shape[3] in CHANNELS and x.shape[1] not in CHANNELS
    return channels_first(x) if last else x


def held_out(x: Array, y: Array, share: float, names: Sequence[str] | None) -> Source:
    """A fixed random split of data that comes without one."""
    if not isinstance(share, (int, float)) or not 0 < share < 1:
        raise UserError(f"dataset.test_share: {share!r} is not between 0 and 1")
    order = np.random.default_rng(0).permutation(len(x))
    test, train = np.split(order, [round(share * len(x))])
    return Source(x[train], np.asarray(y)[train], x[test], np.asarray(y)[test], names)


def _place(option: str, value: object) -> Path:
    if not isinstance(value, (str, Path)):
        raise UserError(f"dataset.{option}: {value!r}: expected a path")
    return Path(value).expanduser()


def existing(path: str) -> Path:
    """The file or folder at a path, relative to the working directory; ``~`` is the home directory."""
    where = _place("path", path)
    if not where.exists():
        raise UserError(f"dataset.path: {where.absolute()} does not exist")
    return where


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
