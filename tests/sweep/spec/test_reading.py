"""Reading specs: YAML that is none is one line, overrides and import strings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.spec.reading import import_strings, override, parse
from trainables.errors import UserError


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: [", "spec:1: not valid YAML"),
        ("a: 1\nb: 2\na: 3", "spec:1: not valid YAML: key 'a' is given twice"),
        ("- 1", "spec: expected a mapping such as 'name: digits', found list"),
        (
            "name: !!python/object/apply:os.getcwd []",
            "spec:1: not valid YAML: could not determine a constructor",
        ),
    ],
)
def test_yaml_that_is_no_spec_names_its_line(text: str, line: str) -> None:
    with pytest.raises(UserError, match=r".*") as caught:
        parse(text)
    assert str(caught.value).startswith(line)


def test_exponents_are_numbers_as_in_yaml_1_2() -> None:
    assert parse("lr: 5e-4") == {"lr": 5e-4}


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(), max_size=3), st.integers())
def test_an_override_changes_one_key_and_leaves_its_source_alone(values: dict[str, Any], value: int) -> None:
    before = dict(values)
    assert override(values, [f"deep.key={value}"]) == {**before, "deep": {"key": value}}
    assert values == before


def test_import_strings_are_found_wherever_they_stand() -> None:
    values = {
        "model": "nets.small:make",
        "dataset": {"name": "a.b:load", "root": "s3://x/y"},
        "grid": [{"optimizer": "o:p"}],
    }
    assert list(import_strings(values)) == [
        ("model", "nets.small:make"),
        ("dataset.name", "a.b:load"),
        ("grid[0].optimizer", "o:p"),
    ]
