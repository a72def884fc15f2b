"""Labels of any coding: what they become, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.classes import find_classes
from trainables.errors import UserError


@given(st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=6, unique=True), st.integers(0, 99))
def test_any_whole_numbers_become_classes_in_their_order(values: list[int], seed: int) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat(values, 3))
    found = find_classes(y, y[:4])
    order = sorted(values)
    assert [order[c] for c in found.train] == y.tolist()
    assert [order[c] for c in found.test] == y[:4].tolist()
    assert found.count == len(values)
    assert found.names == (None if order == list(range(len(values))) else tuple(map(str, order)))
    assert bool(found.notes) == (found.names is not None)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=5),
        min_size=2,
        max_size=6,
        unique=True,
    )
)
def test_texts_become_classes_and_keep_their_names(values: list[str]) -> None:
    y = np.array(values * 2, object)
    found = find_classes(y, y)
    assert found.names is not None
    assert [found.names[c] for c in found.train] == values * 2
    assert found.notes == ()


def test_numbers_written_as_text_keep_the_order_of_numbers() -> None:
    found = find_classes(np.array(["10", "9", "1"] * 2), np.array(["9"]))
    assert found.names == ("1", "9", "10")
    assert found.train.tolist() == [2, 1, 0] * 2


def test_names_that_are_given_name_the_labels() -> None:
    found = find_classes(np.array([1, 0, 1]), np.array([0]), ["cat", "dog", "cow"])
    assert (found.names, found.count) == (("cat", "dog", "cow"), 3)
    assert found.notes == ("classes without a training example: cow",)
    found = find_classes(np.array(["dog", "cat"]), np.array([b"cat"]), np.array([b"dog", b"cat"]))
    assert found.train.tolist() == [0, 1]
    assert found.test.tolist() == [1]


@pytest.mark.parametrize(
    ("train", "test", "names", "message"),
    [
        ([3, 3], [3], None, "all 2 training labels are 3; expected at least 2 classes"),
        (["a", "a"], ["a"], None, "all 2 training labels are 'a'"),
        ([0, 0], [0], ["x", "y"], "all 2 training labels are 'x'"),
        ([0, 1], [10, 11, 1], None, "2 test examples have labels that no training example has, such as 10"),
        (["a", "b"], ["c"], None, "such as 'c'"),
        ([0, 1], ["a"], None, "train labels are numbers, test labels text"),
        ([1, 2, 3], [1], ["x", "y", "z"], "label 3 is out of range; expected 0 to 2.*subtract 1"),
        ([0, -1], [0], ["x", "y"], "label -1 is out of range"),
        (["a", "q"], ["a"], ["a", "b"], "train label 'q' is none of the class_names"),
        (["a", "b"], ["a"], ["a", "a"], "hold a name twice"),
        ([0, 1], [0], [["x", "y"]], r"class_names have shape \(1, 2\)"),
        ([0, 1], [0], np.array(b"x"), r"class_names have shape \(\)"),
        ([0.5, 1.5], [0.5], None, "train labels are float64"),
        ([[0], [1]], [0], None, "train labels are int64 .2, 1."),
        ([], [0], None, "train labels are"),
        ([0, None], [0], None, "train labels are object"),
    ],
)
def test_labels_that_are_no_classes_are_refused(train, test, names, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_classes(np.array(train), np.array(test), names)
