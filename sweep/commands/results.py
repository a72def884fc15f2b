"""Commands that audit a sweep, and show what its results say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from sweep.commands.application import (
    Directory,
    Json,
    app,
    errors,
    example,
    print_json,
    require_head,
    require_sweep,
    show_code,
)
from sweep.runner import stopping

if TYPE_CHECKING:
    from analysis.audit.sweep_audit import Results
    from trainables.storage import Store


@app.command(**example("flatleak audit predictions.npz --attack lira --attack my_attacks:score"))
def audit(
    source: Annotated[
        str, typer.Argument(metavar="DIR|FILE", help="A sweep directory or a predictions file.")
    ],
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="For a file: where results go; default: runs/ and its name."),
    ] = None,
    attack: Annotated[
        list[str],
        typer.Option(
            metavar="NAME", help="A registered attack, default, or package.module:function; repeatable."
        ),
    ] = [],  # noqa: B006
    address: Annotated[
        str | None,
        typer.Option(help="Audit on this Ray cluster, a task a recipe; default: in threads of this process."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Audit a sweep directory again, or the predictions of models that you trained yourself.

    It draws `report.html`, too. Without `--attack` it runs the attacks of the sweep's spec; those of every
    audit where it names none.
    """
    stopping.shield()
    show_code({"--attack": attack})
    if address is not None:
        require_head(address)
    from analysis.report.html import write_report
    from sweep.runner.launch import say_audited
    from trainables.storage import as_store

    if source.endswith(".npz") or Path(source).is_file():
        from analysis.predictions import audit_predictions, place_of

        store = as_store(out or place_of(source))
        results = audit_predictions(source, store, attacks=attack or None)
        path = write_report(store)
    else:
        require_sweep(source)
        store = as_store(source)
        results, path = _audit_again(store, attack, address)
    say_audited(errors, results)
    for warning in results.manifest.data.get("warnings", []):
        errors.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True, highlight=False)
    if as_json:
        print(results.recipes.to_json(orient="records"))
    else:
        from sweep.watch.front_table import show_front

        show_front(Console(), results.recipes)
        print(path)


def _audit_again(store: Store, attack: list[str], address: str | None) -> tuple[Results, Any]:
    """Audit a sweep directory and draw its report; what that ends by is noted there."""
    from analysis.audit.sweep_audit import audit_sweep
    from analysis.report.html import write_report
    from sweep.runner.audits import auditing
    from sweep.runner.phases import note_audit
    from trainables.directory import STATE

    if attack and store.exists(STATE):
        store.delete(STATE)  # or the next run would take these results for those of its spec
    with note_audit(store):
        with auditing(store, address, errors) as execute:
            results = audit_sweep(store, attacks=attack or None, execute=execute)
        return results, write_report(store)


@app.command(**example("flatleak report runs/digits runs/fashion --out runs/both"))
def report(
    directories: Annotated[
        list[str], typer.Argument(metavar="DIR...", help="A sweep directory, or several for one page.")
    ],
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the page of several sweeps goes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw `report.html` of an audited sweep again, or one page of several sweeps."""
    from analysis.report.html import write_report
    from analysis.report.several import write_joint_report
    from trainables.errors import UserError

    for directory in directories:
        require_sweep(directory)
    if len(directories) > 1 and out is None:
        raise UserError(f"report of {len(directories)} sweeps: expected --out DIR, where their page goes")
    path = str(write_report(directories[0]) if out is None else write_joint_report(directories, out))
    if as_json:
        print_json({"report": path})
    else:
        print(path)


@app.command(**example("flatleak recommend runs/digits --max-risk lira_advantage=0.15"))
def recommend(
    directory: Directory,
    max_risk: Annotated[
        list[str], typer.Option(metavar="COLUMN=NUMBER", help="A risk to stay within; repeatable.")
    ] = [],  # noqa: B006
    min_accuracy: Annotated[float | None, typer.Option(help="A test accuracy to reach, a fraction.")] = None,
    as_json: Json = False,
) -> None:
    """Name the recipe to take, given how much risk or how little accuracy you can accept."""
    from analysis.recommend import parse_bound
    from analysis.recommend import recommend as choose
    from analysis.results import Tables

    require_sweep(directory)
    bounds = dict(map(parse_bound, max_risk))
    advice = choose(Tables.of(directory).recipes, max_risk=bounds, min_accuracy=min_accuracy)
    if as_json:
        print_json(advice)
        return
    print(advice.choice)
    for line in advice.why:
        print(f"  {line}")
    for other in advice.following:
        print(f"next: {other}")


@app.command(**example("flatleak serve runs/digits --port 8700"))
def serve(
    directory: Directory,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine only.")] = 8700,
) -> None:
    """Show the report in a browser and keep it fresh while the sweep runs."""
    from analysis.report.serve import serve as serve_page

    require_sweep(directory)
    serve_page(directory, port)
    if stopping.terminated():
        raise typer.Exit(stopping.exit_code())


@app.command(**example("flatleak export runs/digits --format svg --figure front"))
def export(
    directory: Directory,
    format: Annotated[str, typer.Option(help="png, svg or pdf.")] = "png",
    figure: Annotated[list[str], typer.Option(help="A figure's name; repeatable; default: all.")] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Write the report's figures as image files."""
    from analysis.report.export import export as write_figures

    require_sweep(directory)
    written = write_figures(directory, format, names=figure)
    if as_json:
        print_json(written)
    else:
        print("\n".join(written))
