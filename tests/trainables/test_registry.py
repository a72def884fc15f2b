"""Look-up by name and by import string."""

from __future__ import annotations

import math

import pytest

from trainables.errors import UserError
from trainables.registry import lookup

REGISTRY = {"sam": 1, "asam": 2, "sgd": 3}


def test_a_registered_name_is_found() -> None:
    assert lookup("optimizer", "asam", REGISTRY) == 2


def test_an_import_string_is_imported() -> None:
    assert lookup("function", "math:sqrt", {}) is math.sqrt


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("asma", "optimizer 'asma' is not known; did you mean 'asam'?"),
        ("zzz", "optimizer 'zzz' is not known; expected one of asam, sam, sgd"),
        ("math:sqrrt", "optimizer 'math:sqrrt' cannot be imported: module 'math' has no attribute 'sqrrt'"),
        ("no.such:thing", "optimizer 'no.such:thing' cannot be imported: No module named 'no'"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest_choice(name: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        lookup("optimizer", name, REGISTRY)
    assert str(error.value) == message
