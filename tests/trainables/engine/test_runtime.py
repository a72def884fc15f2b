"""Where and how replicas train: what is taken, and what is refused with the remedy."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.engine.runtime import Runtime, find_device
from trainables.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"stack": value}, "expected 'auto' or a whole number") for value in (0, -1, 1.5, True, "all")),
        ({"compile": "fastest"}, "compile"),
    ],
    ids=str,
)
def test_options_are_checked_when_they_are_given(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Runtime(**options)


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("gpu", 1, "device 'gpu' is not known; expected 'cpu', 'cuda' or 'cuda:<number>'"),
        ("meta", 1, "device 'meta' is not known"),
        ("cuda", 0, "device 'cuda': torch finds no CUDA device here; use 'cpu'"),
        ("cuda:99", 0, "device 'cuda:99': torch finds no CUDA device"),
        ("cuda:2", 2, "device 'cuda:2': torch finds 2 CUDA devices here"),
    ],
)
def test_a_device_that_is_not_there_is_named(
    name: str, count: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(UserError, match=message):
        find_device(name)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1"])
def test_a_device_that_is_there_is_torchs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device(name) == torch.device(name)


def test_threads_are_set_where_a_number_is_given() -> None:
    before = torch.get_num_threads()
    try:
        Runtime(threads=2).use_threads()
        assert torch.get_num_threads() == 2
        Runtime().use_threads()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
