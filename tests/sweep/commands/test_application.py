"""What ``--json`` prints is JSON, whatever is in it."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pytest

from sweep.commands.application import print_json


class Choice(NamedTuple):
    label: str
    risk: tuple[float, float]


def test_named_tuples_are_objects_and_what_is_no_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    choice = Choice("sgd", (0.5, float("nan")))
    print_json({"choice": choice, "others": [choice], "n": np.int64(3), "inf": np.inf})
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    there = {"label": "sgd", "risk": [0.5, None]}
    assert told == {"choice": there, "others": [there], "n": 3, "inf": None}
