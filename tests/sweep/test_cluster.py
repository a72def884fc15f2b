"""Which cluster is meant, and what fits on its nodes, with nodes that are not there."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep import cluster
from sweep.cluster import (
    LEFT_OUT,
    Cluster,
    bundle,
    chosen_address,
    elsewhere,
    local_hardware,
    options,
    require_local,
)
from tests.helpers.nodes import nodes
from trainables.errors import UserError


@pytest.fixture(autouse=True)
def three_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two with GPUs, one without."""
    there = nodes(
        {"CPU": 16.0, "GPU": 4.0, "accelerator_type:H100": 1.0, "fast": 2.0},
        {"CPU": 3.0, "GPU": 1.0},
        {"CPU": 8.0},
    )
    monkeypatch.setattr(cluster, "_alive", lambda: there)
    LEFT_OUT.clear()
    yield
    LEFT_OUT.clear()


@pytest.mark.parametrize(
    ("demand", "slots", "most", "named"),
    [
        ({"cpu": 1}, 27, 16, ["node0", "node1", "node2"]),
        ({"cpu": 4}, 6, 4, ["node0", "node2"]),
        ({"cpu": 1, "gpu": 1}, 5, 4, ["node0", "node1"]),
        ({"cpu": 1, "gpu": 0.1}, 19, 16, ["node0", "node1"]),
        ({"cpu": 1, "gpu": 2, "fast": 1}, 2, 2, ["node0"]),
        ({"cpu": 99}, 1, 0, []),
    ],
    ids=str,
)
def test_trials_fit_on_whole_nodes(demand: dict[str, float], slots: int, most: int, named: list[str]) -> None:
    found = Cluster(None)
    assert (found.slots(demand), found.most_on_a_node(demand)) == (slots, most)
    assert [node["NodeID"] for node in found.nodes(demand)] == named


@given(st.integers(1, 200), st.integers(1, 40))
def test_a_share_of_a_gpu_fits_as_often_as_it_says(gpus: int, parts: int) -> None:
    """Whatever a sum of binary fractions comes to."""
    assert cluster._fit({"CPU": 1e6, "GPU": float(gpus)}, {"cpu": 1, "gpu": 1 / parts}) == gpus * parts


def test_a_node_that_is_left_out_takes_no_trial() -> None:
    assert elsewhere() == {}
    LEFT_OUT.update({"node2": "it lacks torch", "node0": "does not answer"})
    assert [node["NodeID"] for node in Cluster(None).present()] == ["node1"]
    assert Cluster(None).slots({"cpu": 1}) == 3
    assert elsewhere() == {"ray.io/node-id": "!in(node0,node2)"}


def test_machines_are_named_with_their_gpus() -> None:
    assert [(m["name"], m["cpus"], m["gpus"], m["gpu"]) for m in Cluster(None).machines()] == [
        ("10.0.0.0", 16, 4, "H100"),
        ("10.0.0.1", 3, 1, "GPU"),
        ("10.0.0.2", 8, 0, "GPU"),
    ]
    found = Cluster(None).hardware({"cpu": 2})
    assert (found["nodes"], found["slots"]) == (3, 8 + 1 + 4)


def test_a_demand_is_told_to_ray_by_its_names() -> None:
    demand = {"cpu": 2.0, "gpu": 0.5, "node:fast": 1.0}
    assert bundle(demand) == {"CPU": 2.0, "GPU": 0.5, "node:fast": 1.0}
    assert options(demand) == {"num_cpus": 2.0, "num_gpus": 0.5, "resources": {"node:fast": 1.0}}
    assert options({}) == {"num_cpus": 0, "num_gpus": 0, "resources": {}}


@pytest.mark.parametrize(
    ("option", "variable", "meant"),
    [
        (None, None, "local"),
        (None, "", "local"),
        (None, "head:6379", "head:6379"),
        ("auto", None, "auto"),
        ("other:6379", "head:6379", "other:6379"),
    ],
)
def test_the_option_goes_before_the_variable(
    option: str | None, variable: str | None, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert chosen_address(option) == meant


@pytest.mark.parametrize(
    ("option", "variable", "message"),
    [
        ("ray://head:10001", None, "--address 'ray://head:10001': Ray's client cannot drive a sweep"),
        (None, "ray://head:10001", "RAY_ADDRESS 'ray://head:10001': Ray's client cannot"),
        ("http://head:8265", None, "--address 'http://head:8265': is a URL; expected auto or the host:port"),
    ],
)
def test_addresses_that_cannot_be_are_named_by_their_source(
    option: str | None, variable: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", variable or "")
    with pytest.raises(UserError, match=message):
        chosen_address(option)


@pytest.mark.parametrize(
    ("demand", "refused"),
    [({"cpu": 4}, None), ({"cpu": 5}, "resources.cpu: 5 asked"), ({"tpu": 1}, "resources.tpu: 1 asked")],
    ids=str,
)
def test_what_this_machine_can_never_run_is_refused(
    demand: dict[str, float], refused: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_cpus", lambda: 4)
    if refused is None:
        require_local(demand)
        return
    with pytest.raises(UserError, match=refused) as error:
        require_local(demand)
    assert f"lower it with --set {refused.partition(':')[0]}=..." in str(error.value)


def test_gpus_are_those_that_torch_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_local({"cpu": 1, "gpu": 2})
    with pytest.raises(UserError, match=r"resources\.gpu: 3 asked for a trial, this machine has 2"):
        require_local({"cpu": 1, "gpu": 3})


def test_this_machine_is_described_without_its_name() -> None:
    found: dict[str, Any] = local_hardware()
    assert (found["machine"], found["cpus"]) == (platform.machine(), os.cpu_count())
    assert platform.node() not in found.values()
    assert found["processor"]
