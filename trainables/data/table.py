"""Tables as people have them: a CSV or Parquet file with columns of numbers and of categories."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.loading import tell
from trainables.data.sources import Column, Source, existing, split_index
from trainables.errors import UserError, first_line
from trainables.registry import nearest

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".csv.gz", ".tsv.gz", ".parquet", ".pq")
UNKNOWN = ("?",)  # missing, beside what pandas takes for it: empty, NA, NaN, null, None
MISSING = "missing"  # the category of what is not known
MOST_CATEGORIES = 1000
SHOWN = 12  # columns of a row that a page shows


def table(
    *,
    path: str,
    label: str,
    drop: Sequence[str] = (),
    test_path: str | None = None,
    test_share: float | None = None,
) -> Source:
    """Read a CSV or Parquet file whose first line, or schema, names the columns.

    Columns of numbers become a feature each, a missing value being the median of the training rows. All other
    columns are one-hot by the categories of the training rows; a missing value is a category of its own where
    a training row misses it too, and a category that no training row has is none of them.

    Args:
        path: The file: ``.csv``, ``.tsv``, ``.txt``, ``.data``, perhaps with ``.gz``, ``.parquet`` or
            ``.pq``.
        label: The column of the classes.
        drop: Columns to leave out.
        test_path: A file with the test rows.
        test_share: Without ``test_path``, the share of rows held out at random, always the same; 0.2 by
            default.

    Returns:
        Features and labels of both sides.

    Raises:
        UserError: A file, column or value that cannot be used; names it and what was expected.
    """
    if test_path is not None and test_share is not None:
        raise UserError("dataset.test_share: belongs to a table without 'test_path'; expected one of the two")
    if not isinstance(label, str):
        raise UserError(f"dataset.label: {label!r}: expected the name of a column")
    dropped = [drop] if isinstance(drop, str) else drop
    if not isinstance(dropped, (list, tuple)) or not all(isinstance(name, str) for name in dropped):
        raise UserError(f"dataset.drop: {drop!r}: expected a list of columns")
    file = existing(path)
    frame = _read(file)
    notes: list[str] = []
    if test_path is None:
        rows, held = split_index(len(frame), 0.2 if test_share is None else test_share)
        train, test = frame.iloc[rows], frame.iloc[held]
    else:
        train, test = frame, _read(existing(test_path, "test_path"))
    labels = [_labels(part, label, side) for part, side in ((train, "training"), (test, "test"))]
    for name in dropped:
        _require(frame, name, "dataset.drop")
    kept = [name for name in frame.columns if name != label and name not in dropped]
    kept = [name for name in kept if not _is_index(frame, name, notes)]
    absent = [name for name in kept if name not in test.columns]
    if absent:
        raise UserError(
            f"dataset.test_path: {test_path} has no column {absent[0]!r}, which the training rows have"
        )
    if not kept:
        raise UserError(f"dataset.path: {file} has no column beside label {label!r} and what is dropped")
    columns, parts = [], []
    for name in kept:
        column, *features = _features(train[name], test[name], str(name), notes)
        columns.append(column)
        parts.append(features)
    x_train, x_test = (np.concatenate(side, axis=1) for side in zip(*parts, strict=True))
    return Source(x_train, labels[0], x_test, labels[1], columns=tuple(columns), notes=notes)


def row_text(columns: Sequence[Column], values: NDArray[Any]) -> str:
    """Return the first columns of a row, read back from its features: ``age 39, sex Male``."""
    texts, at = [], 0
    for column in columns[:SHOWN]:
        width = len(column.features)
        own = values[at : at + width]
        at += width
        if column.categories is None:
            texts.append(f"{column.name} {own[0]:.6g}")
        else:
            texts.append(f"{column.name} {column.categories[int(own.argmax())] if own.any() else 'other'}")
    return ", ".join(texts)


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd

    if not file.is_file() or not file.name.lower().endswith(SUFFIXES):
        raise UserError(f"dataset.path: {file} is no table; expected a file in {', '.join(SUFFIXES)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of fields that it would throw away
            parquet = file.suffix.lower() in (".parquet", ".pq")
            frame = pd.read_parquet(file) if parquet else _csv(file)
    except UnicodeDecodeError as error:
        raise UserError(
            f"dataset.path: {file} is not UTF-8 ({first_line(error)}); save it as UTF-8"
        ) from error
    except Exception as error:  # of pandas, pyarrow, gzip
        raise UserError(f"dataset.path: {file} cannot be read: {first_line(error)}") from error
    if len(frame) < 2:
        raise UserError(f"dataset.path: {file} has {len(frame)} rows; expected at least 2 below the names")
    frame.columns = frame.columns.map(str)
    return frame.reset_index(drop=True)


class _Counted(io.BufferedReader):
    """A file that tells how much of it has been read."""

    def __init__(self, file: Path) -> None:
        super().__init__(io.FileIO(file))
        self._what, self._size = f"bytes of {file.name}", file.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        return self._told(super().read(size))

    def read1(self, size: int = -1, /) -> bytes:
        return self._told(super().read1(size))

    def _told(self, data: bytes) -> bytes:
        tell(self._what, self.tell(), self._size)
        return data


def _csv(file: Path) -> pd.DataFrame:
    """Read a CSV file, its fields parted by the comma, semicolon, tab or bar that line 1 has most of."""
    import pandas as pd

    with _Counted(file) as counted, _unpacked(counted, file) as raw:
        head = raw.readline(2**20).decode("utf-8-sig")
        raw.seek(0)
        separator = max(",;\t|", key=head.count)
        return pd.read_csv(
            raw,
            sep=separator,
            skipinitialspace=True,
            na_values=list(UNKNOWN),
            index_col=False,
            low_memory=False,  # or a column may be of one type at its top and of another below
            encoding="utf-8-sig",
        )


def _unpacked(file: io.BufferedReader, path: Path) -> AbstractContextManager[Any]:
    return gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else nullcontext(file)


def _require(frame: pd.DataFrame, name: Any, place: str) -> None:
    if name not in frame.columns:
        hint = nearest(str(name), frame.columns) if len(frame.columns) < 50 else "see the file's first line"
        raise UserError(f"{place}: {name!r} is no column; {hint}")


def _labels(frame: pd.DataFrame, label: str, side: str) -> NDArray[Any]:
    """Whole numbers or texts, one a row."""
    import pandas as pd

    _require(frame, label, "dataset.label")
    values = frame[label]
    if values.isna().any():
        raise UserError(
            f"dataset.label: {label!r} is missing in {int(values.isna().sum()):,} {side} rows; "
            "expected a class in every row: leave those rows out"
        )
    if not pd.api.types.is_numeric_dtype(values):
        return values.astype(str).to_numpy(object)
    numbers = values.to_numpy()
    if numbers.dtype.kind in "iub":
        return np.asarray(numbers)
    whole = values.to_numpy(np.float64)
    if not (whole == np.rint(whole)).all():
        example = whole[whole != np.rint(whole)][0]
        raise UserError(f"dataset.label: {label!r} holds {example:g}; expected classes, not a quantity")
    return whole.astype(np.int64)


def _is_index(frame: pd.DataFrame, name: str, notes: list[str]) -> bool:
    """Return whether a nameless column only counts the rows, as ``to_csv`` writes it; then it is left out."""
    if not name.startswith("Unnamed: ") or frame[name].tolist() != list(range(len(frame))):
        return False
    notes.append(f"column {name!r} only counts the rows and was left out")
    return True


def _features(
    train: pd.Series[Any], test: pd.Series[Any], name: str, notes: list[str]
) -> tuple[Column, NDArray[np.float64], NDArray[np.float64]]:
    """Return a column, and its features of both sides ``[n, 1 or categories]``."""
    import pandas as pd

    _refuse_foreign(train, name)
    if pd.api.types.is_numeric_dtype(train):
        return Column(name), *_numbers(train, test, name, notes)
    categories = sorted({str(v) for v in train.dropna().unique()})
    missing = next(name for name in (MISSING + "_" * i for i in count()) if name not in categories)
    own = [*categories, missing] if train.isna().any() else categories
    most = min(MOST_CATEGORIES, max(20, len(train) // 2))
    if len(own) > most:
        raise UserError(
            f"dataset.path: column {name!r} has {len(own):,} different values in {len(train):,} training "
            f"rows; expected at most {most:,} categories: name it in 'drop', or give numbers"
        )
    if not own:
        raise UserError(f"dataset.path: column {name!r} is empty in training; name it in 'drop'")
    if missing in own:
        notes.append(f"{int(train.isna().sum()):,} training rows miss {name!r}, a category of its own")
    place: Mapping[str, int] = {category: i for i, category in enumerate(own)}
    found = []
    for side in (train, test):
        texts = [missing if absent else str(v) for v, absent in zip(side, side.isna(), strict=True)]
        code = np.array([place.get(text, -1) for text in texts])
        found.append((code[:, None] == np.arange(len(own))).astype(np.float64))
    unseen = int((found[1].sum(axis=1) == 0).sum())
    if unseen:
        notes.append(f"{unseen:,} test rows have a {name!r} that no training row has; all its features are 0")
    return Column(name, tuple(own)), found[0], found[1]


def _refuse_foreign(values: pd.Series[Any], name: str) -> None:
    """Refuse dates, durations, complex numbers and columns of lists."""
    import pandas as pd

    types = pd.api.types
    if types.is_datetime64_any_dtype(values) or types.is_timedelta64_dtype(values):
        kind = "dates"
    elif types.is_complex_dtype(values):
        kind = "complex numbers"
    elif values.dtype == object and any(isinstance(v, (list, dict, np.ndarray)) for v in values):
        kind = "lists"
    else:
        return
    raise UserError(
        f"dataset.path: column {name!r} holds {kind}; expected numbers or categories: name it in 'drop'"
    )


def _numbers(
    train: pd.Series[Any], test: pd.Series[Any], name: str, notes: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import pandas as pd

    numbers = []
    for side, values in (("training", train), ("test", test)):
        try:
            column = pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"dataset.test_path: column {name!r} holds numbers in training, but not here "
                f"({first_line(error)})"
            ) from error
        if np.isinf(column).any():
            raise UserError(f"dataset.path: column {name!r} holds infinite values in {side} rows")
        numbers.append(column)
    if np.isnan(numbers[0]).all():
        raise UserError(f"dataset.path: column {name!r} is empty in training; name it in 'drop'")
    median = float(np.nanmedian(numbers[0]))
    missing = sum(int(np.isnan(column).sum()) for column in numbers)
    if missing:
        notes.append(f"{missing:,} rows miss {name!r} and have its median in training, {median:g}")
    return tuple(np.where(np.isnan(c), median, c)[:, None] for c in numbers)  # type: ignore[return-value]
