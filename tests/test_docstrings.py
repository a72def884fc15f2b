"""Public functions say every argument and what they return."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

PUBLIC = (
    "flatleak",
    "analysis.attacks.registry",
    "analysis.ensemble",
    "analysis.epsilon",
    "analysis.influence",
    "analysis.memorization",
    "analysis.metrics",
    "analysis.pareto",
    "trainables.data.dataset",
    "trainables.data.subsets",
    "trainables.signals",
    "trainables.training",
)


def functions() -> Iterator[Callable[..., Any]]:
    found = {}
    for name in PUBLIC:
        module = import_module(name)
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name]
        for key in getattr(module, "__all__", own):
            value = getattr(module, key)
            if inspect.isfunction(value) and not key.startswith("_"):
                found[f"{value.__module__}.{key}"] = value
    yield from found.values()


@pytest.mark.parametrize("function", list(functions()), ids=lambda function: function.__name__)
def test_every_argument_and_the_result_are_said(function: Callable[..., Any]) -> None:
    doc, signature = inspect.getdoc(function) or "", inspect.signature(function)
    said = set(re.findall(r"^    \**(\w+): ", doc.partition("Args:")[2], re.MULTILINE))
    assert set(signature.parameters) <= said, "an argument without a line"
    assert signature.return_annotation in ("None", None) or re.search(
        r"^(Returns|Yields):", doc, re.MULTILINE
    )
