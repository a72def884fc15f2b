"""Pictures of the examples that the page talks about.

They are kept beside the results so that the page needs no data set: ``results/pictures.npz`` (no pickles),
for each side ``train`` and ``test``: ``<side>_index`` i8[k], ``<side>_label`` i8[k], ``<side>_x`` u1
``[k, C, H, W]`` for images, f4 ``[k, d]`` (first features) for tables or text ``[k]`` for tables whose
columns have names; and ``class_names``.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.results import Tables
from trainables.directory import PICTURES
from trainables.storage import Store, as_store

TOP = 12
MOST = 1000  # of a side, those that most recipes name; the page must stay below 8 MB
SIDE = 64
FEATURES = 12


class ExampleData(Protocol):
    """What of a data set is needed: ``trainables.data.dataset.Dataset`` has it."""

    @property
    def x_train(self) -> NDArray[Any]:
        """Inputs of the training examples, ``[n, ...]``."""

    @property
    def y_train(self) -> NDArray[Any]:
        """Their labels, ``[n]``."""

    @property
    def x_test(self) -> NDArray[Any]:
        """Inputs of the test examples, ``[m, ...]``."""

    @property
    def y_test(self) -> NDArray[Any]:
        """Their labels, ``[m]``."""

    @property
    def class_names(self) -> Sequence[str] | None:
        """A name for each label, where the classes have names."""

    def readable(self, x: NDArray[Any], /) -> NDArray[Any]:
        """Return examples in the numbers that they came in, or rows as text."""


@dataclass(frozen=True)
class Pictures:
    """The examples of both sides that were kept, by their index in the data set."""

    train_index: NDArray[np.int64]
    train_label: NDArray[np.int64]
    train_x: NDArray[Any]
    test_index: NDArray[np.int64]
    test_label: NDArray[np.int64]
    test_x: NDArray[Any]
    class_names: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the content of ``pictures.npz``."""
        buffer = io.BytesIO()
        arrays = asdict(self) | {"class_names": np.array(self.class_names, dtype=np.str_)}
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @staticmethod
    def read(store: Store) -> Pictures | None:
        """Return the pictures of a sweep directory, None where none were kept."""
        try:
            data = store.read(PICTURES)
        except FileNotFoundError:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return Pictures(**{**arrays, "class_names": tuple(map(str, arrays["class_names"]))})

    def as_json(self) -> dict[str, Any]:
        """Return what the page shows: by side and index, a PNG data address or the features' text."""
        return {side: self._side(side) for side in ("train", "test")} | {"classes": list(self.class_names)}

    def _side(self, side: str) -> dict[str, dict[str, Any]]:
        index, label, x = (getattr(self, f"{side}_{name}") for name in ("index", "label", "x"))
        show = _png if x.ndim == 4 else _features
        return {str(i): {"label": int(y), **show(one)} for i, y, one in zip(index, label, x, strict=True)}


def save_pictures(directory: str | PathLike[str] | Store, dataset: ExampleData, *, top: int = TOP) -> None:
    """Keep the examples that the page of an audited sweep will show.

    Those are the most memorized, the most exposed and the influential ones. Does nothing where the manifest
    says ``show_examples: false``. Call it after ``audit_sweep``.
    """
    store = as_store(directory)
    tables = Tables(store)
    if not tables.show_examples:
        return
    train: Counter[int] = Counter()
    test: Counter[int] = Counter()
    for recipe_id in tables.recipes.index:
        found = notable(tables, recipe_id, top).values()
        shown = {int(i) for rows in found for i in rows["index"]}
        train.update(shown)
        named = touched_by(tables.of_recipe("influence", recipe_id), shown)
        test.update(int(p["test"]) for sides in named.values() for points in sides.values() for p in points)
    kept, queried = ([i for i, _ in side.most_common(MOST)] for side in (train, test))
    rows, queries = np.array(sorted(kept), np.int64), np.array(sorted(queried), np.int64)
    train_x, test_x = dataset.readable(dataset.x_train[rows]), dataset.readable(dataset.x_test[queries])
    scale = _scale(train_x)
    pictures = Pictures(
        rows, dataset.y_train[rows].astype(np.int64), _small(train_x, scale),
        queries, dataset.y_test[queries].astype(np.int64), _small(test_x, scale),
        tuple(map(str, dataset.class_names or ())),
    )  # fmt: skip
    store.write(PICTURES, pictures.to_bytes())


def notable(tables: Tables, recipe_id: str, top: int = TOP) -> dict[str, pd.DataFrame]:
    """List a recipe's ``top`` most memorized and, under the default attack, most exposed examples.

    Ties are broken by the gap of the margins.
    """
    table = tables.examples(recipe_id)
    columns = {"memorized": "memorization", "exposed": f"risk_{tables.default_risk.attack}"}
    ties = [name for name in ("margin_gap",) if name in table]  # few replicas leave many at the same value
    return {
        kind: table[table[column].notna()]
        .sort_values([column, *ties], ascending=False, kind="stable")
        .head(top)
        for kind, column in columns.items()
        if column in table
    }


def touched_by(
    pairs: pd.DataFrame, train: set[int], top: int = 4
) -> dict[int, dict[str, list[dict[str, Any]]]]:
    """Return the test points that each training example helps and harms most, strongest first."""
    found: dict[int, dict[str, list[dict[str, Any]]]] = {}
    if pairs.empty:
        return found
    mine = pairs[pairs["train"].isin(train)].sort_values("influence", key=np.abs, ascending=False)
    for i, kind, test, influence in zip(
        *(mine[c].tolist() for c in ("train", "kind", "test", "influence")), strict=True
    ):
        points = found.setdefault(i, {}).setdefault("helps" if kind == "helper" else "harms", [])
        if len(points) < top:
            points.append({"test": test, "influence": float(f"{influence:.3g}")})
    return found


def _scale(x: NDArray[Any]) -> tuple[float, float]:
    """Return the offset and factor that bring float images to 0-255."""
    if x.dtype == np.uint8 or x.ndim != 4 or not len(x):
        return 0.0, 1.0
    low, high = float(x.min()), float(x.max())
    return low, 255.0 / (high - low or 1.0)


def _small(x: NDArray[Any], scale: tuple[float, float]) -> NDArray[Any]:
    if x.dtype.kind == "U":
        return x
    if x.ndim != 4:
        return x.reshape(len(x), -1)[:, :FEATURES].astype(np.float32)
    step = max(1, -(-max(x.shape[-2:]) // SIDE))
    shrunk = x[:, :, ::step, ::step]
    if x.dtype == np.uint8:
        return shrunk
    return np.asarray(((shrunk - scale[0]) * scale[1]).round().clip(0, 255), np.uint8)


def _png(x: NDArray[np.uint8]) -> dict[str, Any]:
    from PIL import Image

    pixels = x[0] if x.shape[0] != 3 else np.moveaxis(x, 0, -1)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return {"picture": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()}


def _features(x: Iterable[float] | str) -> dict[str, Any]:
    return {"features": x if isinstance(x, str) else " ".join(f"{value:.3g}" for value in x)}
