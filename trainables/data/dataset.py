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
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainables.data.sources import DENSE, Array, Source, digits, folder, guess_channels, npz, torchvision_set
from trainables.errors import UserError
from trainables.registry import lookup_factory, nearest

DATASETS: dict[str, Callable[..., Any]] = {
    "digits": digits,
    "cifar10": partial(torchvision_set, "CIFAR10"),
    "cifar100": partial(torchvision_set, "CIFAR100"),
    "mnist": partial(torchvision_set, "MNIST"),
    "fashion-mnist": partial(torchvision_set, "FashionMNIST"),
    "npz": npz,
    "folder": folder,
}


class Options(BaseModel):
    """What every data set can be changed by, in this order; drawn from ``seed`` alone.

    ``train_size``, ``test_size``: that many random examples; a smaller set is part of a larger one.
    ``imbalance``: a long tail, class c keeping imbalance^(-c/(C-1)) of its training examples, so the first
    class keeps all and the last 1/imbalance (Cui et al. 2019, section 5.1). ``label_noise``: the share of
    training labels that is replaced by a random other class. ``canaries``: how many further training examples
    get a random wrong label, their indices recorded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    train_size: int | None = Field(default=None, ge=1)
    test_size: int | None = Field(default=None, ge=1)
    imbalance: float = Field(default=1.0, ge=1)
    label_noise: float = Field(default=0.0, ge=0, lt=1)
    canaries: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Dataset:
    """Training and test examples. Images are uint8 (0 to 255) or float32 ``[n, C, H, W]``, tables float32
    ``[n, d]``; labels are int64 ``[n]`` below ``num_classes``; ``canaries`` are indices of training
    examples."""

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


def load_dataset(spec: str | Mapping[str, Any]) -> Dataset:
    """The data set that a spec names: a name, or a mapping with ``name``, the source's options and
    ``Options``.

    ``name`` may be an import string ``package.module:factory``; the factory takes the remaining options and
    returns a mapping with x_train, y_train, x_test, y_test and perhaps class_names, or those four arrays.

    Raises:
        UserError: a name, option, file, array or label is wrong; says which, and what was expected.

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
    source = _as_source(_call(name, load, own), name)
    return _derive(name, chosen, source, options)


def _options(values: Mapping[str, Any]) -> Options:
    try:
        return Options(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"dataset.{first['loc'][0]}: {first['input']!r}: {first['msg']}") from error


def _call(name: str, load: Callable[..., Any], own: Mapping[str, Any]) -> Any:
    """The source, after checking its options against the loader's signature."""
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
    if isinstance(value, tuple) and len(value) == len(DENSE):
        value = dict(zip(DENSE, value, strict=True))
    if not isinstance(value, Mapping) or not set(DENSE) <= value.keys():
        raise UserError(
            f"dataset {name!r} returned {type(value).__name__}; expected a mapping with {', '.join(DENSE)}"
        )
    x_train, y_train, x_test, y_test = (np.asarray(value[key]) for key in DENSE)
    x_train, x_test = guess_channels(x_train), guess_channels(x_test)
    return Source(x_train, y_train, x_test, y_test, value.get("class_names"))


def _derive(name: str, chosen: dict[str, Any], source: Source, options: Options) -> Dataset:
    labels = {side: _labels(y, side) for side, y in (("train", source.y_train), ("test", source.y_test))}
    names = None if source.class_names is None else tuple(map(str, source.class_names))
    num_classes = len(names) if names else 1 + max(int(y.max()) for y in labels.values())
    index = {}
    for side, x, size in (
        ("train", source.x_train, options.train_size),
        ("test", source.x_test, options.test_size),
    ):
        y = labels[side]
        if len(x) != len(y):
            raise UserError(f"dataset: {side} has {len(x)} examples and {len(y)} labels")
        if not 0 <= y.min() <= y.max() < num_classes:
            bad = int(y.min() if y.min() < 0 else y.max())
            raise UserError(f"dataset: {side} label {bad} is out of range; expected 0 to {num_classes - 1}")
        index[side] = subset_index(len(y), size, side, options.seed)
    index["train"] = _long_tail(index["train"], labels["train"], num_classes, options)
    y_train, canaries = _mislabelled(labels["train"][index["train"]], num_classes, options)
    y_test = labels["test"][index["test"]]
    x_train, x_test = (
        _features(x[index[s]], s) for s, x in (("train", source.x_train), ("test", source.x_test))
    )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise UserError(
            f"dataset: training examples are {x_train.shape[1:]}, test examples {x_test.shape[1:]}"
        )
    arrays = (x_train, y_train, x_test, y_test)
    return Dataset(name, chosen, *arrays, num_classes, names, canaries, fingerprint(*arrays, num_classes))


def _labels(y: Array, side: str) -> NDArray[np.int64]:
    y = np.asarray(y)
    if y.ndim != 1 or len(y) == 0 or y.dtype.kind not in "iub":
        raise UserError(
            f"dataset: {side} labels are {y.dtype} {y.shape}; expected integers [n], n at least 1"
        )
    return y.astype(np.int64)


def _features(x: Array, side: str) -> Array:
    """Images as [n, C, H, W]; uint8 where they hold more than 0 and 1, else float32."""
    if x.ndim not in (2, 3, 4) or x.dtype.kind not in "fiub" or 0 in x.shape:
        raise UserError(
            f"dataset: {side} examples are {x.dtype} {x.shape}; expected numbers "
            "[n, d], [n, H, W], [n, H, W, C] or [n, C, H, W]"
        )
    if x.ndim == 3:
        x = x[:, None]
    if x.dtype != np.uint8 or x.max() <= 1:
        x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise UserError(f"dataset: {side} examples hold values that are not finite")
    return np.ascontiguousarray(x)


def _draws(options: Options, purpose: str) -> np.random.Generator:
    return np.random.default_rng([options.seed, *purpose.encode()])


def subset_index(n: int, size: int | None, side: str, seed: int) -> Array:
    """Which of ``n`` original examples a ``<side>_size`` keeps, ascending; smaller sizes are nested."""
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
    """Labels with noise and canaries put in, and the canaries' indices."""
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
            shift = _draws(options, purpose).integers(1, max(2, num_classes), len(wrong))
            y[wrong] = (y[wrong] + shift) % num_classes
    return y, canaries.astype(np.int32)


def fingerprint(*parts: Array | int) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the arrays' types, shapes and bytes."""
    digest = hashlib.sha256()
    for part in parts:
        array = np.ascontiguousarray(part)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]
