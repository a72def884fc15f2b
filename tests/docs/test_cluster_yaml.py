"""cluster.yaml against Ray's own offline validation, and the promises that the file and its page make."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "cluster.yaml").read_text()


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load(TEXT)


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)
    validate_config(prepared)
    assert prepared["available_node_types"]["gpu"]["min_workers"] == 0


def test_ec2_accepts_the_node_configs(cluster: dict[str, Any]) -> None:
    """Ray does not check node_config; botocore's model of RunInstances knows every field and its type."""
    session = pytest.importorskip("botocore.session").get_session()
    model = session.get_service_model("ec2").operation_model("RunInstances").input_shape
    from botocore.validate import ParamValidator

    for name, node in cluster["available_node_types"].items():
        request = {"MinCount": 1, "MaxCount": 1, **node["node_config"]}
        assert set(request) <= set(model.members), name
        assert not ParamValidator().validate(request, model).has_errors(), name


def test_every_node_asks_for_the_token(cluster: dict[str, Any]) -> None:
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "/home/ubuntu/.ray/auth_token" in cluster["file_mounts"]


def test_nothing_but_ssh_is_open_to_the_world(cluster: dict[str, Any]) -> None:
    assert "0.0.0.0" not in TEXT
    assert "security_group" not in cluster["provider"]
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][-1]


def test_workers_are_spot_and_the_head_is_not(cluster: dict[str, Any]) -> None:
    nodes = cluster["available_node_types"]
    market = {name: n["node_config"].get("InstanceMarketOptions") for name, n in nodes.items()}
    assert market == {"head": None, "gpu": {"MarketType": "spot"}}
    assert nodes["head"]["resources"] == {"CPU": 0}


def test_what_a_user_must_change_is_marked() -> None:
    marked = [line for line in TEXT.splitlines() if "CHANGE:" in line]
    assert len(marked) == 3
    assert re.findall(r"ami-\S+", re.sub(r"#.*", "", TEXT)) == ["ami-CHANGE-ME"]


def test_every_ray_command_and_flag_exists(cluster: dict[str, Any]) -> None:
    import click
    from ray.scripts.scripts import cli

    starts = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    text = "\n".join([(ROOT / "docs" / "cluster.md").read_text().replace("\\\n", " "), *starts])
    names = "|".join(sorted(cli.commands, key=len, reverse=True))
    found = re.findall(rf"(?:^ *|[`\"/ ])ray ((?:job )?(?:{names}|submit))\b([^`\"\n]*)", text, re.MULTILINE)
    assert {name for name, _ in found} >= {"up", "exec", "down", "job submit", "symmetric-run", "start"}
    for name, rest in found:
        command: click.Command = cli
        for word in name.split():
            command = command.commands[word]  # type: ignore[attr-defined]
        both = [command, cli.commands["start"]] if name == "symmetric-run" else [command]
        known = {f for c in both for option in c.params for f in (*option.opts, *option.secondary_opts)}
        given = re.findall(r"--[a-z][a-z-]*", rest.partition(" -- ")[0])
        assert set(given) <= known, name


def test_the_job_for_kuberay_is_yaml_that_it_accepts() -> None:
    """Its rules: retries need a cluster of the job's own, and tokens need a named Ray of 2.52 or later."""
    text = (ROOT / "docs" / "cluster.md").read_text()
    (block,) = re.findall(r"^    apiVersion: ray\.io/v1\n(?:    .*\n)+", text, re.MULTILINE)
    spec = yaml.safe_load(block)["spec"]
    assert spec["backoffLimit"] > 0
    assert "clusterSelector" not in spec
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert [int(part) for part in spec["rayClusterSpec"]["rayVersion"].split(".")] >= [2, 52, 0]


def test_no_secret_is_in_the_file() -> None:
    assert not re.search(r"AKIA[0-9A-Z]{16}|aws_secret|[0-9a-f]{64}", TEXT)
