"""The record that one trial leaves: masks and per-example signals of its replicas, one ``.npz``, no pickles.

Members of the archive (K replicas, Q queries, n examples; ``side`` is ``train`` or ``test``):
``version``, ``recipe`` and ``context`` (JSON), ``seeds`` i8[K], ``members`` u1 packed bits [K, ceil(n/8)],
``n_train``, ``n_test``, ``labels_train``, ``labels_test`` i4[n], ``canaries`` i4[c],
``<side>_correct`` u1 packed bits [K, Q, ceil(n/8)], ``<side>_margin``, ``<side>_log_p_true``,
``<side>_entropy``, ``<side>_modified_entropy`` f4[K, Q, n], ``train_curvature`` f4[K, Q, n] where the context
asks for it, and per replica ``test_accuracy``, ``train_accuracy``, ``final_loss``, ``seconds``, ``epsilon``,
``delta`` f8[K] and ``epochs`` i8[K].
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from trainables import signals
from trainables.data.subsets import Subsets
from trainables.errors import UserError
from trainables.ranges import Ranges
from trainables.storage import Store

VERSION = 1
_REMOTE, _CONTENT = "remote", "content"  # among what a RecordFile keeps: its open file, checksums
_HEADER = 30 + 64  # bytes before a member's data, its name aside: the format's own, and more than NumPy adds
SIDES = ("train", "test")
FLOAT_SIGNALS = ("margin", "log_p_true", "entropy", "modified_entropy")
PER_REPLICA = ("test_accuracy", "train_accuracy", "final_loss", "seconds", "epsilon", "delta", "epochs")
SMALL = ("version", "recipe", "context", "seeds", "n_train", "n_test", *PER_REPLICA)

Array = NDArray[Any]


class RecordError(UserError):
    """A record that is truncated, foreign or wrong; names the file and the field."""


class Context(BaseModel):
    """What decides a replica besides its recipe and its seed. Records of two contexts never mix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: dict[str, Any]
    fingerprint: str
    model: dict[str, Any]
    subsets: Subsets = Subsets()
    sweep_seed: int = 0
    queries: int = 1
    curvature: int | None = None

    @property
    def context_id(self) -> str:
        """Hash of what the replicas depend on: the data's bytes, not the path or name that found them.

        What is None leaves no trace in it: contexts of before there was curvature keep their address.
        """
        return content_id(self.model_dump(mode="json", exclude={"dataset"}, exclude_none=True))


def content_id(value: Mapping[str, Any]) -> str:
    """Return ten hexadecimal digits that name a JSON value by its content."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Signals:
    """Per-example signals of K replicas on n examples under Q queries, each ``[K, Q, n]``."""

    correct: NDArray[np.bool_]
    margin: Array
    log_p_true: Array
    entropy: Array
    modified_entropy: Array

    @staticmethod
    def of(logits: ArrayLike, labels: ArrayLike) -> Signals:
        """Return the signals of ``logits[K, Q, n, C]`` for ``labels[n]``. Ties go to the lower class."""
        z, y = np.asarray(logits), np.asarray(labels)
        values = (
            signals.scaled_logit(z, y),
            signals.log_p_true(z, y),
            signals.entropy(z),
            signals.modified_entropy(z, y),
        )
        return Signals(z.argmax(axis=-1) == y, *(v.astype(np.float32) for v in values))


@dataclass(frozen=True)
class Record:
    """The replicas of one trial. ``members`` is bool ``[K, n_train]``; per-replica figures are ``[K]``.

    Accuracies are fractions on the first query; ``train_accuracy`` is over each replica's own members.
    ``epsilon`` is infinite and ``delta`` 0 where training was not differentially private.
    ``train_curvature[K, Q, n]`` is there where ``context.curvature`` is (see `trainables.engine.curvature`).
    """

    recipe: dict[str, Any]
    context: Context
    seeds: NDArray[np.int64]
    members: NDArray[np.bool_]
    labels_train: Array
    labels_test: Array
    train: Signals
    test: Signals
    test_accuracy: Array
    train_accuracy: Array
    final_loss: Array
    seconds: Array
    epochs: Array
    epsilon: Array
    delta: Array
    canaries: Array = field(default_factory=lambda: np.zeros(0, np.int32))
    train_curvature: Array | None = None

    def arrays(self) -> dict[str, Array]:
        """Return the archive's members by name."""
        out: dict[str, Array] = {
            "members": np.packbits(self.members, axis=-1),
            "labels_train": self.labels_train.astype(np.int32),
            "labels_test": self.labels_test.astype(np.int32),
            "canaries": self.canaries.astype(np.int32),
        }
        for side, values in (("train", self.train), ("test", self.test)):
            out[f"{side}_correct"] = np.packbits(values.correct, axis=-1)
            out |= {f"{side}_{name}": getattr(values, name).astype(np.float32) for name in FLOAT_SIGNALS}
        if self.train_curvature is not None:
            out["train_curvature"] = self.train_curvature.astype(np.float32)
        # Small members come last, beside the archive's directory: one read of a file's end has them all.
        out |= {
            "version": np.int64(VERSION),  # type: ignore[dict-item]
            "recipe": np.array(json.dumps(self.recipe, sort_keys=True)),
            "context": np.array(self.context.model_dump_json(exclude_none=True)),
            "seeds": self.seeds.astype(np.int64),
            "n_train": np.int64(len(self.labels_train)),  # type: ignore[dict-item]
            "n_test": np.int64(len(self.labels_test)),  # type: ignore[dict-item]
        }
        for name in PER_REPLICA:
            out[name] = np.asarray(getattr(self, name), np.int64 if name == "epochs" else np.float64)
        return out

    def to_bytes(self) -> bytes:
        """Return the content of the record's file, an ``.npz`` without pickles."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **self.arrays())
        return buffer.getvalue()


@dataclass(frozen=True)
class Address:
    """Where a block's record lies: recipe, context and a run of consecutive subset seeds, ends included."""

    recipe_id: str
    context_id: str
    first: int
    last: int

    _name: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:.*/)?(?P<recipe>[0-9a-f]{10})/(?P<context>[0-9a-f]{10})-(?P<first>\d+)-(?P<last>\d+)\.npz"
    )

    @property
    def path(self) -> str:
        """Where the record lies in a sweep directory."""
        return f"records/{self.stem}.npz"

    @property
    def stem(self) -> str:
        """The address without folder and ending: ``<recipe_id>/<context_id>-<first>-<last>``."""
        return f"{self.recipe_id}/{self.context_id}-{self.first}-{self.last}"

    @property
    def seeds(self) -> range:
        """The block's subset seeds."""
        return range(self.first, self.last + 1)

    @classmethod
    def parse(cls, path: str) -> Address | None:
        """Return the address that a path spells, or None for a file that is no record."""
        match = cls._name.fullmatch(path)
        if match is None:
            return None
        return cls(match["recipe"], match["context"], int(match["first"]), int(match["last"]))


# NumPy reads an array's header with Python's parser, which counts its recursion for all threads together and
# fails (SystemError, seen with Python 3.11) where the collection of garbage lets another thread in between.
_PARSER = Lock()


def _array(data: bytes) -> Array:
    """Return the array that the bytes of an ``.npy`` file hold."""
    with _PARSER:
        array: Array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


def write_record(store: Store, address: Address, record: Record) -> None:
    """Write a record whole or not at all."""
    store.write(address.path, record.to_bytes())


@dataclass(frozen=True)
class RecordFile:
    """A record read lazily: each member is fetched, checked and unpacked when asked for by name.

    One that was checked before, see `trainables.checked`, is taken to hold the seeds that its name says.
    ``checked`` is its content, then.
    """

    store: Store
    path: str
    checked: str = ""
    _kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # small fields

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to another process: no open file."""
        return vars(self) | {"_kept": {k: v for k, v in self._kept.items() if k != _REMOTE}}

    def _open(self) -> IO[bytes]:
        """Open the file; of an object store's, what was read of its end is kept."""
        if self.store.local is not None:
            return self.store.open(self.path)
        if _REMOTE not in self._kept:
            self._kept[_REMOTE] = self.store.remote(self.path)
        return cast(IO[bytes], Ranges(self._kept[_REMOTE]))

    @contextmanager
    def _members(self) -> Iterator[Callable[[str], Array]]:
        """Open the archive once for several members; what is wrong with one becomes a RecordError."""
        asked = "version"
        try:
            with self._open() as file, zipfile.ZipFile(file) as archive:
                self._kept[_CONTENT] = content_id({part.filename: part.CRC for part in archive.infolist()})

                def member(name: str) -> Array:
                    nonlocal asked
                    asked = name
                    if name in self._kept:
                        return cast(Array, self._kept[name])
                    about = archive.getinfo(f"{name}.npy")
                    if isinstance(file, Ranges):
                        end = about.header_offset + _HEADER + len(about.filename) + about.compress_size
                        file.expect(about.header_offset, end)
                    value = _array(archive.read(about.filename))
                    if name in SMALL:
                        self._kept[name] = value
                    return value

                yield member
        except KeyError:
            raise self.error(asked, "is missing") from None
        except RecordError:
            raise
        except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            # NotImplementedError: of a damaged header that names a compression which zipfile lacks.
            # Not OSError: a storage that does not answer says nothing about the record.
            raise self.error(asked, f"cannot be read ({error})") from error

    def _load(self, name: str) -> Array:
        if name in self._kept:
            return cast(Array, self._kept[name])
        with self._members() as member:
            return member(name)

    def error(self, name: str, problem: str) -> RecordError:
        """Return the error that says what is wrong with a field, naming the file."""
        return RecordError(f"record {self.store.uri}/{self.path}: field {name!r} {problem}")

    def __getitem__(self, name: str) -> Array:
        """Return a member as the Record holds it, bits unpacked; shapes and ranges checked."""
        address = Address.parse(self.path) if self.checked and name == "seeds" else None
        if address is not None:
            return np.array(address.seeds, np.int64)
        value = self._load(name)
        if name in ("version", "recipe", "context", "seeds", "n_train", "n_test", "canaries"):
            return value
        k = len(self._load("seeds"))
        n = int(self._load("n_test" if name.startswith(("test_", "labels_test")) else "n_train"))
        if name in PER_REPLICA:
            return self._shaped(name, value, (k,))
        if name.startswith("labels_"):
            return self._shaped(name, value, (n,))
        if name == "members":
            packed = self._shaped(name, value, (k, -(-n // 8)))
            return np.unpackbits(packed, axis=-1, count=n).astype(bool)
        queries = self.context.queries
        if name.endswith("_correct"):
            packed = self._shaped(name, value, (k, queries, -(-n // 8)))
            return np.unpackbits(packed, axis=-1, count=n).astype(bool)
        values = self._shaped(name, value, (k, queries, n))
        if np.isnan(values).any():
            raise self.error(name, "holds NaN")
        return values

    def _shaped(self, name: str, value: Array, shape: tuple[int, ...]) -> Array:
        if value.shape != shape:
            raise self.error(name, f"has shape {value.shape}, expected {shape}")
        return value

    @property
    def recipe(self) -> dict[str, Any]:
        """The knobs of the record's recipe."""
        return dict(json.loads(str(self._load("recipe"))))

    @property
    def context(self) -> Context:
        """What the record holds beside the recipe: data, model, subset scheme and seed."""
        return Context.model_validate_json(str(self._load("context")))

    @property
    def content(self) -> str:
        """Ten hexadecimal digits that follow from all that the record holds: checksums of its members."""
        if self.checked:
            return self.checked
        if _CONTENT not in self._kept:
            with self._members():
                pass
        return str(self._kept[_CONTENT])

    def problem(self) -> str | None:
        """Return what `check` finds wrong, in one line; None for a record that is whole."""
        try:
            self.check()
        except RecordError as error:
            return str(error)
        return None

    def check(self) -> None:
        """Read the directory of the archive and its small fields, never the signals.

        Raises:
            RecordError: the file is truncated, of another version, or not what its address says.
        """
        with self._members() as member:
            version = int(member("version"))
            if version != VERSION:
                raise self.error("version", f"is {version}, expected {VERSION}")
            address = Address.parse(self.path)
            if address is None:
                return
            seeds = member("seeds")
            if not np.array_equal(seeds, np.array(address.seeds)):
                raise self.error(
                    "seeds", f"are {seeds.tolist()}, the name says {address.first}-{address.last}"
                )
            context_id = Context.model_validate_json(str(member("context"))).context_id
            if context_id != address.context_id:
                raise self.error("context", f"is {context_id}, the name says {address.context_id}")
            recipe_id = content_id(json.loads(str(member("recipe"))))
            if recipe_id != address.recipe_id:
                raise self.error("recipe", f"is {recipe_id}, the name says {address.recipe_id}")

    def signals(self, side: str) -> Signals:
        """Return the signals of one side, ``"train"`` or ``"test"``."""
        return Signals(*(self[f"{side}_{name}"] for name in ("correct", *FLOAT_SIGNALS)))

    def read(self) -> Record:
        """Return the whole record in memory."""
        names: Iterable[str] = ("seeds", "members", "labels_train", "labels_test", "canaries", *PER_REPLICA)
        return Record(
            recipe=self.recipe,
            context=self.context,
            train=self.signals("train"),
            test=self.signals("test"),
            train_curvature=self["train_curvature"] if self.context.curvature else None,
            **{name: self[name] for name in names},
        )
