"""Code of a user's own that changes after the first replicas were trained is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sweep import SweepSpec
from sweep.runner import own_code
from sweep.runner.manifest import make_manifest

SPEC = {
    "name": "own",
    "dataset": "digits",
    "model": "altered_net:build",
    "grid": [{"optimizer": "sgd"}, {"optimizer": "altered_rule:rule"}],
}


def test_a_change_is_named_for_as_long_as_replicas_of_the_old_code_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, rule = tmp_path / "altered_net.py", tmp_path / "altered_rule.py"
    net.write_text("def build(input_shape, num_classes): ...\n")
    rule.write_text("def rule(step): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = SweepSpec.of(SPEC)
    context, recipes = spec.context("data"), spec.recipes
    first = make_manifest(spec, recipes, context, {}, {}, None)
    digest = hashlib.sha256(net.read_bytes()).hexdigest()
    assert first.own_code["altered_net:build"] == digest
    assert set(first.own_code) == {"altered_net:build", "altered_rule:rule"}
    assert own_code.changed(context, recipes, first) == []
    net.write_text("def build(input_shape, num_classes, width=3): ...\n")
    assert own_code.changed(context, recipes, first) == ["altered_net:build"]
    again = make_manifest(spec, recipes, context, {}, {}, first)
    assert own_code.changed(context, recipes, again) == ["altered_net:build"]
    other = spec.context("other data")  # of which no replicas are there
    assert own_code.changed(other, recipes, again) == []
    assert make_manifest(spec, recipes, other, {}, {}, again).own_code["altered_net:build"] != digest
