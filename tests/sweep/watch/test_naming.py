"""Actors are listed by their sweep; tests/end_to_end/test_s3.py reads the names in Ray's dashboard."""

from __future__ import annotations

from pathlib import Path

from ray import tune

from sweep.watch.naming import listed


def test_the_class_keeps_what_a_trial_asks_for(tmp_path: Path) -> None:
    def train(config: dict[str, int]) -> None:
        (tmp_path / str(config["block"])).touch()

    made = listed(tune.with_resources(train, {"cpu": 2, "gpu": 0.5}), "digits")
    assert made.__name__ == "flatleak digits"
    asked = made.default_resource_request({})
    assert asked.required_resources == {"CPU": 2, "GPU": 0.5}
