"""Hundreds of malformed specs, archives, folders and tables: one line, code 2, nothing written."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from sweep.cli import main

SPEC: dict[str, Any] = {
    "name": "small",
    "dataset": {"name": "digits", "train_size": 240, "test_size": 100},
    "model": {"name": "mlp", "hidden": [16]},
    "subsets": {"scheme": "half", "seeds": 4},
    "training": {"epochs": 2},
    "grid": [{"optimizer": "sgd"}],
}
Case = tuple[str, Callable[[], list[str]]]


def spec_file(values: Any) -> list[str]:
    Path("spec.yaml").write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return ["run", "spec.yaml", "--out", "out"]


def on(**dataset: Any) -> list[str]:
    return spec_file(SPEC | {"dataset": dataset})


# ---- specs: each value of each key replaced by what it cannot be ----

JUNK = [None, -1, 0.5, "junk", [], [None], {}, {"junk": 1}, [[1]], float("nan"), float("inf"), True]
TAKEN = {  # what is no mistake there
    "about": ["junk"],
    "model": ["mlp"],
    "training": [{}],
    "resources": [{}, None],
    "audit": [{}],
    "search": [None],
    "sweep_seed": [0.5],
    "curvature": [None],
    "compile": [None],
    "tune_dir": [None, "junk"],
    "show_examples": [True],
    "loggers": [[]],
    "name": ["junk"],
    "subsets": [{}],
    "progress_minutes": [0.5],
    "resources.cpu": [0.5],
    "resources.gpu": [0.5, True],
    "audit.reference": [None, {}],
    "audit.attacks": [None],
    "audit.confidence": [0.5],
    "audit.seed": [-1],
    "audit.delta": [0.5],
    "dataset.train_size": [None],
    "dataset.test_size": [None],
    "dataset.label_noise": [0.5],
    "dataset.layout": [None],
    "dataset.normalise": [None],
    "subsets.fraction": [None],
    "training.lr": [0.5],
    "training.momentum": [0.5],
    "training.weight_decay": [0.5],
    "training.nesterov": [True],
    "training.noise": [0.5],
    "training.label_smoothing": [0.5],
    "training.mixup": [0.5],
    "training.early_stopping": [0.5],
    "training.warmup": [0.5],
    "training.grad_reg": [0.5],
    "training.augment": [[]],
}
KEYS = [
    "name", "dataset", "model", "subsets", "training", "grid", "queries", "curvature", "sweep_seed", "block",
    "stack", "resources.cpu", "resources.gpu", "audit.confidence", "audit.resamples", "audit.delta",
    "audit.attacks", "loggers", "progress_minutes", "compile", "show_examples", "subsets.scheme",
    "subsets.seeds", "subsets.first", "dataset.train_size", "dataset.test_size", "dataset.imbalance",
    "dataset.canaries", "dataset.seed", "dataset.layout", "dataset.normalise", "training.epochs",
    "training.batch_size", "training.lr", "training.momentum", "training.schedule", "training.precision",
    "training.noise", "training.label_smoothing",
]  # fmt: skip


def replaced(key: str, value: Any) -> Callable[[], list[str]]:
    def make() -> list[str]:
        values = yaml.safe_load(yaml.safe_dump(SPEC))
        *path, last = key.split(".")
        holder = values
        for step in path:
            holder = holder.setdefault(step, {})
        holder[last] = value
        return spec_file(values)

    return make


def specs() -> Iterator[Case]:
    for key in KEYS:
        for value in JUNK:
            if not any(value is taken or value == taken for taken in TAKEN.get(key, [])):
                yield f"{key}: {value}", replaced(key, value)


TEXTS: dict[str, bytes] = {
    "empty": b"",
    "list": b"- a\n- b\n",
    "text": b"hello",
    "number": b"5",
    "tab": b"name:\tsmall\n\tdataset: digits\n",
    "open bracket": b"name: [small\n",
    "open quote": b'name: "small\n',
    "twice": b"name: a\nname: b\n",
    "anchor of itself": b"name: a\ndataset: digits\ngrid: &g [*g]\n",
    "mapping of itself": b"name: a\ndataset: &d {name: digits, x: *d}\n",
    "anchors without end": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n".encode() for p, c in zip("abcdefg", "bcdefgh", strict=True)
    ),
    "unknown anchor": b"name: *a\n",
    "deep": b"name: " + b"[" * 60 + b"]" * 60 + b"\n",
    "deeper": b"name: " + b"[" * 5000 + b"\n",
    "python": b"name: !!python/object/apply:os.system [ls]\n",
    "tag": b"name: !mine x\n",
    "date": b"name: 2020-13-45\n",
    "binary": b"name: !!binary x\n",
    "int": b"name: !!int x\n",
    "list as key": b"? [a, b]\n: 1\n",
    "number as key": b"1: 2\nname: a\n",
    "two documents": b"name: a\n---\nname: b\n",
    "nul": b"name: a\0b\n",
    "control": b"name: a\x07b\n",
    "latin-1": "name: a\nabout: donn\xe9es\n".encode("latin-1"),
    "utf-16": "name: small\ndataset: digits\n".encode("utf-16"),
    "utf-32": "name: small\n".encode("utf-32"),
    "merge": b"name: a\n<<: 5\n",
    "pickle": b"\x80\x04\x95\x05\x00",
    "image": b"\x89PNG\r\n\x1a\n",
    "colon": b"name: a: b\n",
    "percent": b"%YAML 9.9\n---\nname: a\n",
}


def text(content: bytes) -> Callable[[], list[str]]:
    def make() -> list[str]:
        Path("spec.yaml").write_bytes(content)
        return ["run", "spec.yaml", "--out", "out"]

    return make


ASSIGNMENTS = [
    "epochs", "=", "=5", "training.epochs=", "training.epochs=yes", "training.epochs=[", "grid[9].rho=1",
    "grid[0]=5", "grid.rho=1", "name.x=1", "model.hidden[3]=5", "training..epochs=1", "dataset=~",
    "grid[0][0]=1", "training.epochs=1e400", "training.lr=-.inf", "dataset.train_size=9e99",
    "dataset.root=x", "dataset.name=npz", "model.name=nets:make", "dataset.name=math:pi",
    "dataset.name=:", "audit.attacks=[lyra]", "resources.gpu=64",
]  # fmt: skip


# ---- archives ----


def dense(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    values = {
        "x_train": rng.integers(0, 256, (40, 3, 8, 8)).astype(np.uint8),
        "y_train": np.arange(40) % 4,
        "x_test": rng.integers(0, 256, (20, 3, 8, 8)).astype(np.uint8),
        "y_test": np.arange(20) % 4,
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def archive(arrays: dict[str, Any], damage: Callable[[bytes], bytes] = bytes) -> Callable[[], list[str]]:
    def make() -> list[str]:
        out = io.BytesIO()
        np.savez(out, **arrays)
        Path("data.npz").write_bytes(damage(out.getvalue()))
        return on(name="npz", path="data.npz")

    return make


def encoded(**changes: Any) -> dict[str, Any]:
    files = [png(i) for i in range(8)]
    side = {
        "bytes": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": np.arange(8) % 2,
    }
    return {f"{s}_{k}": v for s in ("train", "test") for k, v in side.items()} | changes


def packed(**changes: Any) -> dict[str, Any]:
    bits = np.random.default_rng(0).integers(0, 2, (30, 20), np.uint8)
    values = {"features_packed": np.packbits(bits, axis=1), "n_features": 20, "labels": np.arange(30) % 3}
    return values | changes


BAD_X = [
    np.zeros(40), np.zeros((0, 5)), np.zeros((40, 0)), np.zeros((39, 3, 8, 8)), np.zeros((40, 3, 8, 7)),
    np.zeros((40, 2, 8, 8)), np.zeros((40, 8, 8, 13)), np.zeros((40, 8, 8, 5)), np.zeros((40, 1, 2, 3, 4)),
    np.zeros((40, 5), complex), np.full((40, 5), "a"), np.full((40, 5), np.nan), np.full((40, 5), np.inf),
    np.full((40, 5), 1e300), np.array(5), np.array(b"x"), np.zeros((40, 3, 3, 3)), np.array([None] * 40),
    np.zeros(40, [("a", int)]), np.zeros((40, 5), "M8[s]"),
]  # fmt: skip
BAD_Y = [
    np.zeros(40, int), np.zeros(39, int), np.arange(41) % 4, np.full(40, -1), np.zeros(40),
    np.zeros((40, 1), int),
    np.zeros((0,), int), np.array(5), np.arange(40) / 2, np.full(40, np.nan), np.array(["a"] * 40),
    np.array(["a", "b"] * 20), np.arange(40) % 4 + 10, np.zeros((40, 4)), np.array([None] * 40),
    np.array(b"bytes"), np.zeros(40, complex), np.zeros(40, "M8[s]"),
]  # fmt: skip


def archives() -> Iterator[Case]:
    for i, x in enumerate(BAD_X):
        yield f"x_train {i}", archive(dense(x_train=x))
        if len(np.atleast_1d(x)) != 39:  # of which the first 20 are as they should be
            yield f"x_test {i}", archive(dense(x_test=x[:20] if x.ndim else x))
    for i, y in enumerate(BAD_Y):
        yield f"y_train {i}", archive(dense(y_train=y))
        if i > 0:  # test examples of one class are no mistake
            yield f"y_test {i}", archive(dense(y_test=y))
    for key in dense():
        yield f"no {key}", archive(dense(**{key: None}))
    for i, names in enumerate([["a"], [], [["a", "b", "c", "d"]], b"abcd", 5]):
        yield f"class_names {i}", archive(dense(class_names=np.array(names)))
    yield from parts_of_archives()
    for at in range(0, 600, 40):
        yield f"damage at {at}", archive(dense(), lambda b, at=at: b[:at] + bytes(40) + b[at + 40 :])
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        yield f"cut at {share}", archive(dense(), lambda b, share=share: b[: int(len(b) * share)])
    yield "nothing", archive({})


def parts_of_archives() -> Iterator[Case]:
    bad = [np.zeros(3, np.uint8), np.array(5), np.array(b"x"), np.zeros(9), np.array([0, 1, 2]), np.arange(9)]
    for key in ("train_bytes", "train_offsets", "test_offsets", "train_labels"):
        for i, value in enumerate(bad):
            yield f"{key} {i}", archive(encoded(**{key: value}))
    for key in ("features_packed", "n_features", "labels"):
        for i, value in enumerate(
            [np.array(-1), np.array("x"), np.array(b"x"), np.zeros((2, 2)), np.zeros(0)]
        ):
            yield f"{key} {i}", archive(packed(**{key: value}))


# ---- folders and tables ----


def png(i: int, mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> bytes:
    pixels = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "TIFF" if mode == "F" else "PNG")
    return out.getvalue()


def folder(*changes: tuple[str, bytes | None], **options: Any) -> Callable[[], list[str]]:
    """Two classes of two images a side, and files that are put in; None puts an empty folder."""

    def make() -> list[str]:
        for side in ("train", "test"):
            for label in ("a", "b"):
                for i in range(2):
                    put(Path("images", side, label, f"{i}.png"), png(i))
        for name, content in changes:
            put(Path("images", name), content)
        return on(name="folder", path="images", **options)

    return make


def put(path: Path, content: bytes | None) -> None:
    (path.parent if content is not None else path).mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content)


def folders() -> Iterator[Case]:
    whole = png(0)
    for at in range(0, len(whole) - 30, 10):  # the last bytes hold no pixels
        yield f"image cut at {at}", folder(("train/a/0.png", whole[:at]))
    for at in range(0, 60, 6):
        yield f"image damaged at {at}", folder(("train/a/0.png", whole[:at] + b"\xff" * 6 + whole[at + 6 :]))
    yield "class without images", folder(("train/c", None))
    yield "class without test images", folder(("train/c/0.png", whole), ("test/c", None))
    yield "stranger", folder(("test/c/0.png", whole))
    yield "two sizes", folder(("train/a/9.png", png(1, size=(9, 8))))
    yield "float", folder(("train/a/9.tiff", png(1, "F")))
    for size in (0, -1, 2.5, "8", [8], True):
        yield f"size {size}", folder(size=size)
    yield "layout", folder(layout="channels_last")
    yield "no option", folder(colour=True)
    yield "no folder", lambda: on(name="folder", path="spec.yaml")
    yield "absent", lambda: on(name="folder", path="nowhere")
    yield "nobody", lambda: on(name="folder", path="~nobody-at-all/x")
    yield "nul", lambda: on(name="npz", path="a\0b")
    yield "long", lambda: on(name="npz", path="x" * 5000)
    yield "number", lambda: on(name="npz", path=5)
    yield "directory", lambda: on(name="npz", path=".")


TABLES: dict[str, str] = {
    "empty": "",
    "names alone": "x,y\n",
    "one row": "x,y\n1,a\n",
    "more fields": "x,y\n1,a\n2,b,3\n",
    "fields thrown away": "x,y\n1,a,9\n2,b,9\n3,a,9\n",
    "open quote": 'x,y\n1,"a\n2,b\n',
    "no label": "x,z\n1,a\n2,b\n3,a\n",
    "label alone": "y\na\nb\na\nb\na\n",
    "one class": "x,y\n" + "1,a\n" * 10,
    "missing label": "x,y\n" + "1,a\n2,\n" * 10,
    "quantity": "x,y\n" + "".join(f"1,{i / 7}\n" for i in range(20)),
    "infinite": "x,y\n" + "inf,a\n2,b\n" * 10,
    "empty column": "x,y\n" + ",a\n,b\n" * 10,
    "names": "x,y\n" + "".join(f"person {i},{'ab'[i % 2]}\n" for i in range(60)),
}


def table(content: str, **options: Any) -> Callable[[], list[str]]:
    def make() -> list[str]:
        Path("table.csv").write_text(content)
        return on(**({"name": "table", "path": "table.csv", "label": "y"} | options))

    return make


def tables() -> Iterator[Case]:
    for name, content in TABLES.items():
        yield name, table(content)
    good = "x,z,y\n" + "1,2,a\n2,3,b\n" * 20
    for option, value in (
        ("label", "w"), ("label", 5), ("label", None), ("label", ["y"]), ("drop", "w"), ("drop", 5),
        ("drop", [5]), ("drop", ["x", "z"]), ("drop", {"x": 1}), ("test_share", 0), ("test_share", 1),
        ("test_share", "half"), ("test_share", True), ("test_path", "nowhere.csv"), ("test_path", 5),
        ("path", "spec.yaml"), ("path", "."), ("layout", "channels_last"), ("layout", "rows"),
        ("normalise", "max"), ("sep", ";"),
    ):  # fmt: skip
        yield f"{option} {value}", table(good, **{option: value})


CASES: list[Case] = [
    *specs(),
    *((name, text(content)) for name, content in TEXTS.items()),
    *((a, lambda a=a: [*spec_file(SPEC), "--set", a]) for a in ASSIGNMENTS),
    *archives(),
    *folders(),
    *tables(),
]


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 500


@pytest.mark.parametrize("make", [make for _, make in CASES], ids=[ascii(name) for name, _ in CASES])
def test_a_mistake_is_one_line_and_nothing_is_written(
    make: Callable[[], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.setattr("sweep.runner.launch.Trainer", _accepted)
    arguments = make()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("sys.argv", ["flatleak", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    said = [line for line in printed.err.splitlines() if not line.startswith("runs your code:")]
    assert ended.value.code == 2, printed.err
    assert len(said) == 1, printed.err
    assert said[0].startswith("error: ")
    assert len(said[0]) < 600
    assert printed.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def _accepted(*_: object) -> None:
    raise AssertionError("this input is taken for a good one")
