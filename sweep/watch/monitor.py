"""``flatleak monitor``: the Grafana dashboard and a Prometheus configuration, where they are looked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from trainables.errors import UserError

DASHBOARD = files("sweep.watch") / "dashboards" / "flatleak.json"
RAY = Path("/tmp/ray")
DISCOVERY = "prom_metrics_service_discovery.json"


@dataclass(frozen=True)
class Monitor:
    """What was written, and the commands that use it."""

    prometheus: Path
    provisioning: Path
    ray_dashboard: Path | None

    @property
    def commands(self) -> dict[str, str]:
        """How to start Prometheus and Grafana, by name."""
        provisioning = f"GF_PATHS_PROVISIONING={self.provisioning}"
        return {
            "Prometheus": f"prometheus --config.file={self.prometheus} --web.listen-address=127.0.0.1:9090",
            "Grafana": f"GF_SERVER_HTTP_ADDR=127.0.0.1 {provisioning} grafana server",
        }


def monitor(
    out: str | os.PathLike[str], *, ray_dir: Path = RAY, dashboard: str | None = None, every: int = 10
) -> Monitor:
    """Write ``prometheus.yml``, Grafana's provisioning and the dashboard below ``out``.

    Where a Ray runs on this machine, its own Grafana folder gets the dashboard too.

    Args:
        out: a directory, made where it is missing.
        ray_dir: Ray's temporary directory on this machine, which lists what there is to scrape.
        dashboard: URL of a Ray dashboard elsewhere, asked over HTTP instead, with the token in ``~/.ray``.
        every: seconds between scrapes.

    Raises:
        UserError: ``out`` is a file, or ``dashboard`` is no URL.
    """
    root = Path(out).expanduser().absolute()
    if root.exists() and not root.is_dir():
        raise UserError(f"--out {root}: is a file, expected a directory")
    if dashboard is not None and not dashboard.startswith(("http://", "https://")):
        raise UserError(f"--dashboard {dashboard!r}: expected a URL such as http://127.0.0.1:8265")
    dashboards, provisioning = root / "grafana" / "dashboards", root / "grafana" / "provisioning"
    provider = {"name": "flatleak", "type": "file", "options": {"path": str(dashboards)}}
    source = {"name": "Prometheus", "type": "prometheus", "url": "http://127.0.0.1:9090", "isDefault": True}
    discovery = _from_url(dashboard) if dashboard else _from_file(ray_dir)
    _write(
        root / "prometheus.yml",
        {
            "global": {"scrape_interval": f"{every}s"},
            "scrape_configs": [{"job_name": "ray", **discovery}],
        },
    )
    _write(provisioning / "dashboards" / "flatleak.yml", {"apiVersion": 1, "providers": [provider]})
    _write(provisioning / "datasources" / "flatleak.yml", {"apiVersion": 1, "datasources": [source]})
    _place(dashboards)
    session = ray_dir / "session_latest" / "metrics" / "grafana" / "dashboards"
    return Monitor(root / "prometheus.yml", provisioning, _place(session) if session.is_dir() else None)


def find_ray(temp_dir: str | None) -> Path:
    """Return the temporary directory of the Ray of this machine.

    Args:
        temp_dir: What ``ray start --temp-dir`` was given, if anything.

    Returns:
        That directory, else the one that Ray uses by itself, which follows RAY_TMPDIR.

    Raises:
        UserError: ``temp_dir`` is not a directory.
    """
    if temp_dir is None:
        return Path(os.environ["RAY_TMPDIR"]) / "ray" if os.environ.get("RAY_TMPDIR") else RAY
    path = Path(temp_dir).expanduser().absolute()
    if not path.is_dir():
        raise UserError(f"--temp-dir {path}: is not a directory; expected that of `ray start --temp-dir`")
    return path


def _from_file(ray_dir: Path) -> dict[str, Any]:
    """Ray rewrites this file as nodes come and go; the newest session's one, whichever that will be."""
    listing = str(ray_dir / "session_latest" / DISCOVERY)
    return {"file_sd_configs": [{"files": [listing], "refresh_interval": "10s"}]}


def _from_url(dashboard: str) -> dict[str, Any]:
    """Prometheus reads the token from its file: the configuration holds none."""
    token = os.environ.get("RAY_AUTH_TOKEN_PATH") or str(Path.home() / ".ray" / "auth_token")
    asked = {"url": f"{dashboard.rstrip('/')}/api/prometheus/sd", "refresh_interval": "10s"}
    return {"http_sd_configs": [{**asked, "authorization": {"type": "Bearer", "credentials_file": token}}]}


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False))


def _place(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DASHBOARD.name).write_text(DASHBOARD.read_text())
    return folder / DASHBOARD.name
