"""Commands that watch a sweep."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sweep.commands.application import Directory, Json, app, errors, example, print_json


@app.command(**example("flatleak status runs/digits --watch"))
def status(
    directory: Directory,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep it fresh until nobody drives the sweep.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show by recipe what is done, running, failed and missing; from any terminal, without Ray."""
    from sweep.watch import status as look
    from trainables.storage import as_store

    store = as_store(directory)
    if as_json:
        print_json(look.status(store).to_json())
    else:
        look.show(Console(), store, watch=watch)


@app.command(**example("flatleak monitor --out monitor"))
def monitor(
    out: Annotated[str, typer.Option(metavar="DIR", help="Where the configuration goes.")] = "monitor",
    dashboard: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A Ray dashboard to ask for nodes; default: this machine's Ray."),
    ] = None,
    temp_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Of `ray start --temp-dir`, on this machine; default: Ray's own."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Set Prometheus and Grafana up for watching sweeps: write their configuration and the dashboard."""
    from sweep.watch.monitor import find_ray
    from sweep.watch.monitor import monitor as set_up

    ray_dir = find_ray(temp_dir)
    made = set_up(out, ray_dir=ray_dir, dashboard=dashboard)
    if dashboard is None and not (ray_dir / "session_latest").exists():
        errors.print(
            f"no Ray runs in {escape(str(ray_dir))} yet; give --temp-dir where it was started with one, or "
            "--dashboard URL where it runs elsewhere",
            soft_wrap=True,
        )
    if as_json:
        print_json({"prometheus": str(made.prometheus), "provisioning": str(made.provisioning)})
        return
    for name, command in made.commands.items():
        print(f"{name}: {command}")
    if made.ray_dashboard:
        print(f"the Grafana of this machine's Ray finds the dashboard at {made.ray_dashboard}")
