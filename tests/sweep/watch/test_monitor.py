"""The configuration that ``flatleak monitor`` writes, against promtool and Grafana's own rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from sweep.watch.gauges import BY_REASON, BY_RECIPE, BY_SWEEP
from sweep.watch.monitor import DASHBOARD, find_ray, monitor
from trainables.errors import UserError


def test_prometheus_accepts_the_configuration(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    for made in (monitor(tmp_path), monitor(tmp_path / "far", dashboard="http://10.0.0.1:8265/")):
        checked = subprocess.run(
            ["promtool", "check", "config", "--syntax-only", str(made.prometheus)], check=False
        )
        assert checked.returncode == 0


def test_the_token_stays_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hush-hush")
    (tmp_path / "token").write_text("hush-hush")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    made = monitor(tmp_path / "out", dashboard="http://127.0.0.1:8265")
    (asked,) = yaml.safe_load(made.prometheus.read_text())["scrape_configs"][0]["http_sd_configs"]
    assert asked["authorization"]["credentials_file"] == str(tmp_path / "token")
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any("hush-hush" in path.read_text() for path in written)


def test_a_running_ray_gets_the_dashboard_where_its_grafana_looks(tmp_path: Path) -> None:
    session = tmp_path / "ray" / "session_latest" / "metrics" / "grafana" / "dashboards"
    session.mkdir(parents=True)
    made = monitor(tmp_path / "out", ray_dir=tmp_path / "ray")
    assert made.ray_dashboard == session / "flatleak.json"
    assert json.loads(made.ray_dashboard.read_text())["uid"] == "flatleak"
    provider = yaml.safe_load((made.provisioning / "dashboards" / "flatleak.yml").read_text())["providers"][0]
    assert (
        json.loads((Path(provider["options"]["path"]) / "flatleak.json").read_text())["title"] == "flatleak"
    )


def test_every_metric_is_shown_and_every_shown_metric_exists() -> None:
    dashboard = DASHBOARD.read_text()
    shown = {name.removeprefix("ray_") for name in re.findall(r"ray_flatleak_\w+", dashboard)}
    assert shown == {name for name, _ in (*BY_RECIPE.values(), *BY_SWEEP.values(), *BY_REASON.values())}
    panels = json.loads(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        monitor(tmp_path / "file")
    with pytest.raises(UserError, match="head:8265"):
        monitor(tmp_path / "out", dashboard="head:8265")


def test_the_temporary_directory_of_ray_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert find_ray(None) == Path("/tmp/ray")
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    assert find_ray(None) == Path("/scratch/ray")
    assert find_ray(str(tmp_path)) == tmp_path
    with pytest.raises(UserError, match=f"--temp-dir {tmp_path}/none: is not a directory"):
        find_ray(str(tmp_path / "none"))
