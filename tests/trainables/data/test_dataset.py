"""Data sets: what the options do to a source, and what mistakes say."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.archives import dense, rows, saved
from trainables.data.dataset import DATASETS, load_dataset
from trainables.errors import UserError


def test_a_users_factory_takes_the_options_it_names(tmp_path, monkeypatch) -> None:
    (tmp_path / "mydata.py").write_text(
        "import numpy as np\n"
        "def build(rows=8):\n"
        "    x = np.random.default_rng(0).normal(size=(rows, 3))\n"
        "    return x, np.arange(rows) % 2, x[:4], np.arange(4) % 2\n"
        "def wrong():\n    return 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mydata", raising=False)
    data = load_dataset({"name": "mydata:build", "rows": 12, "train_size": 6})
    assert data.x_train.shape == (6, 3)
    assert data.x_train.dtype == np.float32
    with pytest.raises(UserError, match="no option 'row'; did you mean 'rows'"):
        load_dataset({"name": "mydata:build", "row": 12})
    with pytest.raises(UserError, match="returned int; expected a mapping with x_train"):
        load_dataset("mydata:wrong")
    with pytest.raises(UserError, match="cannot be imported"):
        load_dataset("mydata:absent")


@settings(max_examples=30, deadline=None)
@given(st.integers(50, 300), st.integers(0, 20), st.floats(0, 0.5), st.floats(1, 50), st.integers(0, 5))
def test_options_do_what_they_say(
    size: int, canaries: int, noise: float, imbalance: float, seed: int
) -> None:
    spec = {"name": "digits", "train_size": size, "seed": seed}
    plain = load_dataset(spec)
    changed = load_dataset(spec | {"canaries": canaries, "label_noise": noise})
    wrong = np.flatnonzero(plain.y_train != changed.y_train)
    assert len(wrong) == round(noise * size) + canaries
    assert set(changed.canaries) <= set(wrong)
    assert len(changed.canaries) == canaries
    np.testing.assert_array_equal(plain.x_train, changed.x_train)
    np.testing.assert_array_equal(plain.y_test, changed.y_test)
    tail = load_dataset(spec | {"imbalance": imbalance})
    before, after = (np.bincount(d.y_train, minlength=10) for d in (plain, tail))
    share = imbalance ** (-np.arange(10) / 9)
    np.testing.assert_array_equal(after[before > 0], np.maximum(1, np.round(share * before))[before > 0])
    assert rows(tail.x_train) <= rows(plain.x_train)


def test_smaller_sets_are_parts_of_larger_ones() -> None:
    small, large = (
        load_dataset({"name": "digits", "train_size": n, "test_size": n // 2}) for n in (100, 300)
    )
    assert rows(small.x_train) < rows(large.x_train)
    assert rows(small.x_test) < rows(large.x_test)


def test_the_fingerprint_is_of_the_bytes_and_nothing_else(tmp_path) -> None:
    arrays = dense()
    first = load_dataset(saved(tmp_path / "a.npz", **arrays))
    moved = load_dataset(saved(tmp_path / "b.npz", **arrays) | {"train_size": 40, "seed": 7})
    assert first.fingerprint == moved.fingerprint
    for key in arrays:
        other = {k: v.copy() for k, v in arrays.items()}
        other[key].flat[0] = other[key].flat[0] ^ 1
        assert load_dataset(saved(tmp_path / "c.npz", **other)).fingerprint != first.fingerprint


def located(path: str) -> dict[str, np.ndarray]:
    raise AssertionError(path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "dataset 'digit' is not known; did you mean 'digits'"),
        ({"path": "x"}, "dataset.name: None is not a name; expected one of digits"),
        ({"name": "npz"}, "dataset: 'npz' needs 'path'"),
        ({"name": f"{__name__}:located"}, "located' needs 'path'"),
        ({"name": "npz", "path": "absent.npz"}, "absent.npz does not exist"),
        ({"name": "npz", "path": 5}, "dataset.path: 5: expected a path"),
        ({"name": "cifar10", "root": ["a"]}, "dataset.root: ['a']: expected a path"),
        (
            {"name": "folder", "path": ".", "size": "32"},
            "dataset.size: '32': expected a whole number of pixels",
        ),
        ({"name": "math:pi"}, "dataset 'math:pi' is of type float; expected a function"),
        ({"name": "digits", "trainsize": 3}, "'digits' has no option 'trainsize'; did you mean 'train_size'"),
        ({"name": "digits", "train_size": 5000}, "dataset.train_size: 5000 is more than the 1200"),
        ({"name": "digits", "label_noise": 2}, "dataset.label_noise: 2: Input should be less than 1"),
        ({"name": "digits", "canaries": -1}, "dataset.canaries: -1: Input should be greater"),
        (
            {"name": "digits", "train_size": 100, "canaries": 101},
            "dataset.canaries: 101 is more than the 100",
        ),
        ({"name": "digits", "imbalance": 0.5}, "dataset.imbalance: 0.5"),
    ],
)
def test_mistakes_name_the_place_and_what_was_expected(spec, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_dataset(spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": None, "Y_train": np.zeros(40, int)}, "has no 'y_train'; did you mean 'Y_train'"),
        ({"y_train": np.arange(39) % 4}, "train has 40 examples and 39 labels"),
        ({"y_train": np.full(40, -1)}, "all 40 training labels are -1; expected at least 2 classes"),
        (
            {"y_test": np.arange(20) % 5},
            "4 test examples have labels that no training example has, such as 4",
        ),
        ({"y_train": np.zeros(40)}, "train labels are float64 (40,); expected integers or texts [n]"),
        (
            {"x_test": np.zeros((20, 4, 4), np.uint8)},
            "training examples are (1, 5, 5), test examples (1, 4, 4)",
        ),
        ({"x_train": np.zeros(40)}, "train examples are float64 (40,); expected numbers"),
        ({"x_train": np.full((40, 5), np.nan), "x_test": np.zeros((20, 5))}, "not finite"),
        ({"class_names": np.array(["a", "b"])}, "train label 3 is out of range; expected 0 to 1"),
        ({"x_train": np.array([None] * 40)}, "cannot be read"),
    ],
)
def test_bad_arrays_are_named(tmp_path, change: dict, message: str) -> None:
    arrays = {k: v for k, v in {**dense(), **change}.items() if v is not None}
    with pytest.raises(UserError) as error:
        load_dataset(saved(tmp_path / "bad.npz", **arrays))
    assert message in str(error.value)


def test_every_name_is_tried_here() -> None:
    images = {"digits", "cifar10", "cifar100", "mnist", "fashion-mnist", "folder"}
    assert set(DATASETS) == {*images, "npz", "table"}
