"""What a live page says of the process that drives its sweep."""

from __future__ import annotations

import json
from pathlib import Path

from analysis.report.serve import Driven
from trainables.directory import DRIVER
from trainables.phase import note_phase
from trainables.storage import Store

FIGURES = {
    "nodes": [
        {"name": "10.0.0.1", "gpu": "H100", "gpus": 8.0, "trials": 16},
        {"name": "10.0.0.2", "gpu": "H100", "gpus": 4.0, "trials": 8},
        {"name": "10.0.0.3", "gpu": "GPU", "gpus": 0.0, "trials": 0},
    ],
    "trials_per_gpu": 2.0,
    "rate_now": 0.5,
    "rate": 0.25,
    "retries": {"node lost": 3, "process died": 0},
    "failures": {"Diverged": 1},
}


def test_the_driver_is_quoted_until_it_is_gone(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    driven = Driven(store)
    assert driven.words() == ""
    note_phase(store, "training")
    store.write(DRIVER, json.dumps({"figures": FIGURES}).encode())
    assert driven.words() == (
        "training, 3 nodes with 12 H100, 2 trials a GPU, 1,800 replicas an hour now, 900 on average, "
        "3 retries (node lost 3), 1 failure (Diverged 1)"
    )
    assert Driven(store, patience=-1).words() == "", "a lease that no longer changes is of a driver that died"
    store.delete(DRIVER)
    assert driven.words() == ""
