"""Data sets: a source by name, the options that change it, and a fingerprint of the bytes that come out."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from trainables.data.classes import find_classes
from trainables.data.images import Images
from trainables.data.layout import Layout, channels_first, find_layout
from trainables.data.loading import Report, reported_to
from trainables.data.normalise import Mode, Scale, normalise
from trainables.data.sources import DENSE, Array, Column, Source, digits, folder, npz, torchvision_set
from trainables.data.table import row_text, table
from trainables.errors import UserError, first_line
from trainables.registry import lookup_factory, nearest
from trainables.section import Section

DATASETS: dict[str, Callable[..., Any]] = {
    "digits": digits,
    "cifar10": partial(torchvision_set, "CIFAR10"),
    "cifar100": partial(torchvision_set, "CIFAR100"),
    "mnist": partial(torchvision_set, "MNIST"),
    "fashion-mnist": partial(torchvision_set, "FashionMNIST"),
    "npz": npz,
    "folder": folder,
    "table": table,
}


class Options(Section):
    """What every data set can be changed by, in this order; drawn from ``seed`` alone.

    ``train_size``, ``test_size``: that many random examples; a smaller set is part of a larger one.
    ``imbalance``: a long tail, class c keeping imbalance^(-c/(C-1)) of its training examples, so the first
    class keeps all and the last 1/imbalance (Cui et al. 2019, section 5.1). ``label_noise``: the share of
    training labels that is replaced by a random other class. ``canaries``: how many further training examples
    get a random wrong label, their indices recorded. ``layout``: of an array of images, ``channels_first`` or
    ``channels_last``, where its shape does not tell. ``normalise``: ``none`` trains on the numbers as they
    are, ``standard`` also standardises what is left alone otherwise (see `normalise.normalise`).
    """

    train_size: int | None = Field(default=None, ge=1)
    test_size: int | None = Field(default=None, ge=1)
    imbalance: float = Field(default=1.0, ge=1)
    label_noise: float = Field(default=0.0, ge=0, lt=1)
    canaries: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    layout: Layout | None = None
    normalise: Mode | None = None


@dataclass(frozen=True)
class Dataset:
    """Training and test examples, ready to train on.

    Images are ``[n, C, H, W]``, tables ``[n, d]``: uint8 (0 to 255), which the device standardises per
    channel, or float32, which is trained on as it is. Labels are int64 ``[n]`` below ``num_classes``;
    ``canaries`` are indices of training examples. ``normalisation`` says how the numbers came about,
    ``notes`` what else a user should know of the reading, ``scale`` leads back to the original numbers, and
    ``columns`` says what the features of a table are.
    """

    name: str
    options: dict[str, Any]
    x_train: Array
    y_train: NDArray[np.int64]
    x_test: Array
    y_test: NDArray[np.int64]
    num_classes: int
    class_names: tuple[str, ...] | None
    canaries: NDArray[np.int32]
    fingerprint: str
    normalisation: str = ""
    scale: Scale | None = None
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()

    def readable(self, x: Array) -> Array:
        """Examples ``x`` of either side as a person reads them: numbers as they came in, rows as text."""
        original = self.scale.original(x) if self.scale else x
        if not self.columns:
            return original
        return np.array([row_text(self.columns, row) for row in original], np.str_)

    def describe(self) -> dict[str, Any]:
        """Return what was made of the data, as JSON, for a manifest."""
        return {
            "train": len(self.y_train),
            "test": len(self.y_test),
            "shape": list(self.x_train.shape[1:]),
            "classes": self.num_classes,
            "normalisation": self.normalisation,
            "notes": list(self.notes),
        }


def load_dataset(spec: str | Mapping[str, Any], *, report: Report | None = None) -> Dataset:
    """Load the data set that a spec names.

    Args:
        spec: A name, or a mapping with ``name``, the source's options and ``Options``. ``name`` may be an
            import string ``package.module:factory``; the factory takes the remaining options and returns a
            mapping with x_train, y_train, x_test, y_test and perhaps class_names, or those four arrays.
        report: Called as ``report(what, done, total)`` while many files are read.

    Returns:
        The data set, ready to train on.

    Raises:
        UserError: A name, option, file, array or label is wrong; says which, and what was expected.

    >>> data = load_dataset({"name": "digits", "train_size": 300, "canaries": 5})
    >>> data.x_train.shape, data.num_classes, len(data.canaries)
    ((300, 1, 8, 8), 10, 5)
    """
    chosen = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = chosen.pop("name", None)
    if not isinstance(name, str):
        raise UserError(f"dataset.name: {name!r} is not a name; expected one of {', '.join(DATASETS)}")
    load = lookup_factory("dataset", name, DATASETS)
    options = _options({key: value for key, value in chosen.items() if key in Options.model_fields})
    own = {key: value for key, value in chosen.items() if key not in Options.model_fields}
    with reported_to(report):
        return _derive(name, chosen, _as_source(_call(name, load, own), name), options)


def _options(values: Mapping[str, Any]) -> Options:
    try:
        return Options(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"dataset.{first['loc'][0]}: {first['input']!r}: {first['msg']}") from error


def _call(name: str, load: Callable[..., Any], own: Mapping[str, Any]) -> Any:
    """Call the source, after checking its options against the loader's signature."""
    taken = inspect.signature(load).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        for key in own.keys() - taken.keys():
            raise UserError(
                f"dataset: {name!r} has no option {key!r}; {nearest(key, {*taken, *Options.model_fields})}"
            )
    for key, parameter in taken.items():
        if (
            parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and key not in own
        ):
            raise UserError(f"dataset: {name!r} needs {key!r}")
    return load(**own)


def _as_source(value: Any, name: str) -> Source:
    if isinstance(value, Source):
        return value
    if isinstance(value, (tuple, list)):
        if len(value) != len(DENSE):
            raise UserError(
                f"dataset {name!r} returned {len(value)} things; expected four arrays, {', '.join(DENSE)}"
            )
        value = dict(zip(DENSE, value, strict=True))
    if not isinstance(value, Mapping):
        raise UserError(
            f"dataset {name!r} returned {type(value).__name__}; expected a mapping with {', '.join(DENSE)}"
        )
    missing = [key for key in DENSE if key not in value]
    if missing:
        hint = nearest(missing[0], map(str, value)) if value else "it is empty"
        raise UserError(f"dataset {name!r} returned a mapping without {missing[0]!r}; {hint}")
    try:
        x_train, y_train, x_test, y_test = (np.asarray(value[key]) for key in DENSE)
    except (TypeError, ValueError) as error:  # rows of unequal length; a tensor on a GPU
        raise UserError(f"dataset {name!r} returned what is no array: {first_line(error)}") from error
    return Source(x_train, y_train, x_test, y_test, value.get("class_names"), layout=None)


def _derive(name: str, chosen: dict[str, Any], source: Source, options: Options) -> Dataset:
    classes = find_classes(source.y_train, source.y_test, source.class_names)
    index = {}
    for side, x, y, size in (
        ("train", source.x_train, classes.train, options.train_size),
        ("test", source.x_test, classes.test, options.test_size),
    ):
        if isinstance(x, np.ndarray) and not x.ndim:
            raise UserError(f"dataset: {side} examples are one {x.dtype}; expected an array of them")
        if len(x) != len(y):
            raise UserError(f"dataset: {side} has {len(x)} examples and {len(y)} labels")
        index[side] = subset_index(len(y), size, side, options.seed)
    index["train"] = _long_tail(index["train"], classes.train, classes.count, options)
    y_train, canaries = _mislabelled(classes.train[index["train"]], classes.count, options)
    y_test = classes.test[index["test"]]
    unseen = _unseen(y_train, y_test)
    scaled = normalise(
        *_features(source, index, options),
        options.normalise or source.normalise,
        numeric=np.array([c.categories is None for c in source.columns for _ in c.features])
        if source.columns
        else None,
        names=[name for column in source.columns for name in column.features],
    )
    arrays = (scaled.train, y_train, scaled.test, y_test)
    return Dataset(
        name,
        chosen,
        *arrays,
        classes.count,
        classes.names,
        canaries,
        fingerprint(*arrays, classes.count),
        normalisation=scaled.how,
        scale=scaled.scale,
        columns=source.columns,
        notes=(*source.notes, *classes.notes, *unseen, *scaled.notes),
    )


def _unseen(y_train: Array, y_test: Array) -> tuple[str, ...]:
    """Say what a small or lopsided draw of training examples leaves out."""
    if len(y_train) > 1 and (y_train == y_train[0]).all():
        raise UserError(
            f"dataset: all {len(y_train)} training examples that are left have one label; "
            "expected at least 2 classes: raise train_size"
        )
    count = int(np.isin(y_test, y_train, invert=True).sum())
    if not count:
        return ()
    return (f"{count:,} of {len(y_test):,} test examples are of classes without a training example",)


def _features(source: Source, index: Mapping[str, Array], options: Options) -> tuple[Array, Array]:
    """Return the chosen examples of both sides: finite numbers, images as [n, C, H, W]."""
    if source.layout is not None and options.layout is not None:
        raise UserError(f"dataset.layout: {options.layout!r}: only arrays of your own take a layout")
    train, test = (
        _numbers(np.asarray(x[index[side]]), side)
        for side, x in (("train", source.x_train), ("test", source.x_test))
    )
    if source.layout is None and find_layout(train, options.layout) == "channels_last":
        train, test = channels_first(train), channels_first(test)
    train, test = (x[:, None] if x.ndim == 3 else x for x in (train, test))
    if isinstance(source.x_train, Images) and {train.shape[1], test.shape[1]} == {1, 3}:
        train, test = (np.repeat(x, 3, axis=1) if x.shape[1] == 1 else x for x in (train, test))
    if train.shape[1:] != test.shape[1:]:
        raise UserError(f"dataset: training examples are {train.shape[1:]}, test examples {test.shape[1:]}")
    return np.ascontiguousarray(train), np.ascontiguousarray(test)


def _numbers(x: Array, side: str) -> Array:
    if x.ndim not in (2, 3, 4) or x.dtype.kind not in "fiub" or 0 in x.shape:
        raise UserError(
            f"dataset: {side} examples are {x.dtype} {x.shape}; expected numbers "
            "[n, d], [n, H, W], [n, H, W, C] or [n, C, H, W]"
        )
    with np.errstate(over="ignore"):
        if x.dtype.kind == "f" and not np.isfinite(x.astype(np.float32)).all():
            raise UserError(f"dataset: {side} examples hold values that are not finite in single precision")
    return x


def _draws(options: Options, purpose: str) -> np.random.Generator:
    return np.random.default_rng([options.seed, *purpose.encode()])


def subset_index(n: int, size: int | None, side: str, seed: int) -> Array:
    """Find which examples a ``<side>_size`` keeps; smaller sizes are part of larger ones.

    Args:
        n: Original examples.
        size: How many to keep; None keeps all.
        side: ``"train"`` or ``"test"``.
        seed: Of the draw.

    Returns:
        Their indices, ascending, ``[size]``.

    Raises:
        UserError: ``size`` is more than there are.
    """
    if size is None:
        return np.arange(n)
    if size > n:
        raise UserError(f"dataset.{side}_size: {size} is more than the {n} examples there are")
    return np.sort(_draws(Options(seed=seed), side).permutation(n)[:size])


def _long_tail(index: Array, y: Array, num_classes: int, options: Options) -> Array:
    if options.imbalance == 1:
        return index
    order = _draws(options, "imbalance").permutation(index)
    keep = []
    for c in range(num_classes):
        of_class = order[y[order] == c]
        share = options.imbalance ** (-c / max(1, num_classes - 1))
        keep.append(of_class[: max(1, round(share * len(of_class)))])
    return np.sort(np.concatenate(keep))


def _mislabelled(y: Array, num_classes: int, options: Options) -> tuple[Array, NDArray[np.int32]]:
    """Return the labels with noise and canaries put in, and the canaries' indices."""
    noisy = round(options.label_noise * len(y))
    if noisy + options.canaries > len(y):
        raise UserError(
            f"dataset.canaries: {options.canaries} is more than the {len(y) - noisy} clean examples"
        )
    y = y.copy()
    order = _draws(options, "mislabel").permutation(len(y))
    noise, canaries = order[:noisy], np.sort(order[noisy : noisy + options.canaries])
    for wrong, purpose in ((noise, "label_noise"), (canaries, "canaries")):
        if len(wrong):
            shift = _draws(options, purpose).integers(1, num_classes, len(wrong))
            y[wrong] = (y[wrong] + shift) % num_classes
    return y, canaries.astype(np.int32)


def fingerprint(*parts: Array | int) -> str:
    """Name arrays by their content.

    Args:
        *parts: Arrays, or whole numbers.

    Returns:
        Sixteen hexadecimal digits of the SHA-256 of the arrays' types, shapes and bytes.
    """
    digest = hashlib.sha256()
    for part in parts:
        array = np.ascontiguousarray(part)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]
