"""The ``flatleak`` command.

Exit codes: 0 done, 1 replicas given up, or a storage or cluster that failed, 2 a user's mistake, 130 Ctrl+C.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from trainables.errors import RunError, UserError

app = typer.Typer(
    name="flatleak",
    help="Which training recipe gives the best accuracy for the privacy that you can afford?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True, highlight=False)

Directory = Annotated[
    str, typer.Argument(metavar="DIR", help="A sweep directory: a path, or a URI such as s3://bucket/x.")
]
Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="A shipped spec's name (see `flatleak specs`) or a YAML file.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, for scripts.")]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. training.epochs=5; repeatable."),
]
Out = Annotated[
    str | None, typer.Option(metavar="DIR", help="The sweep directory; default: runs/ and the spec's name.")
]
Address = Annotated[
    str | None,
    typer.Option(
        help="An existing Ray cluster that this machine is in: auto or host:port; default: RAY_ADDRESS, else "
        "Ray started in here."
    ),
]


def example(line: str) -> dict[str, Any]:
    """The example that closes a command's help."""
    return {"epilog": f"Example: `{line}`"}


@app.command(**example("flatleak run digits --set subsets.seeds=128 --out runs/digits"))
def run(spec: Spec, out: Out = None, address: Address = None, set_: Set = [], as_json: Json = False) -> None:  # noqa: B006
    """Trains what is missing of a sweep, audits it and draws its report. Run again to go on or to add."""
    values = _values(spec, set_)
    try:
        from sweep.runner.launch import run as run_sweep

        outcome = run_sweep(_validated(values), out, address=address, console=errors)
    except KeyboardInterrupt:  # here, for typer ends any that leaves a command without a word
        _say_how_to_go_on()
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(outcome.to_json()))
    else:
        _conclude(outcome)
    raise typer.Exit(outcome.exit_code)


@app.command(**example("flatleak validate my-sweep.yaml --set subsets.seeds=128"))
def validate(spec: Spec, set_: Set = [], as_json: Json = False) -> None:  # noqa: B006
    """Checks a spec and lists its recipes. Data and model are tried by `run`, before it trains."""
    from trainables.labels import labels

    checked = _validated(_values(spec, set_))
    names = labels(recipe.knobs for recipe in checked.recipes)
    if as_json:
        recipes = {recipe.recipe_id: recipe.knobs for recipe in checked.recipes}
        print(json.dumps({"spec": checked.model_dump(mode="json"), "recipes": recipes}))
        return
    for recipe, label in zip(checked.recipes, names, strict=True):
        print(f"{recipe.recipe_id}  {label}")
    seeds = checked.subsets.seeds
    print(f"{len(names)} recipes x {seeds} subset seeds = {len(names) * seeds} replicas")


@app.command(**example("flatleak specs"))
def specs(as_json: Json = False) -> None:
    """Lists the shipped specs."""
    from sweep.spec.schema import read, shipped

    about = {name: str(read(name).get("about", "")) for name in shipped()}
    if as_json:
        print(json.dumps(about))
        return
    width = max(map(len, about))
    for name, text in about.items():
        print(f"{name:{width}}  {text}")


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
    as_json: Json = False,
) -> None:
    """Audits a sweep directory again, or the predictions of models that you trained yourself.

    It draws `report.html`, too. Without `--attack` it runs the attacks of the sweep's spec; those of every
    audit where it names none.
    """
    _show_code({"--attack": attack})
    from analysis.report.html import write_report
    from trainables.storage import as_store

    if source.endswith(".npz"):
        from analysis.predictions import audit_predictions, place_of

        store = as_store(out or place_of(source))
        results = audit_predictions(source, store, attacks=attack or None)
    else:
        from analysis.audit.sweep_audit import audit_sweep
        from trainables.directory import STATE

        _require(source)
        store = as_store(source)
        if attack and store.exists(STATE):
            store.delete(STATE)  # or the next run would take these results for those of its spec
        results = audit_sweep(store, attacks=attack or None)
    path = write_report(store)
    if as_json:
        print(results.recipes.to_json(orient="records"))
    else:
        from sweep.watch.front_table import show_front

        show_front(Console(), results.recipes)
        print(path)


@app.command(**example("flatleak report runs/digits"))
def report(directory: Directory, as_json: Json = False) -> None:
    """Draws `report.html` of an audited sweep again."""
    from analysis.report.html import write_report

    _require(directory)
    path = str(write_report(directory))
    print(json.dumps({"report": path}) if as_json else path)


@app.command(**example("flatleak status runs/digits --watch"))
def status(
    directory: Directory,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep it fresh until nobody drives the sweep.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Shows by recipe what is done, running, failed and missing; from any terminal, without Ray."""
    from sweep.watch import status as look
    from trainables.storage import as_store

    store = as_store(directory)
    if as_json:
        print(json.dumps(look.status(store).to_json()))
    else:
        look.show(Console(), store, watch=watch)


@app.command(**example("flatleak recommend runs/digits --max-risk lira_advantage=0.15"))
def recommend(
    directory: Directory,
    max_risk: Annotated[
        list[str], typer.Option(metavar="COLUMN=NUMBER", help="A risk to stay within; repeatable.")
    ] = [],  # noqa: B006
    min_accuracy: Annotated[float | None, typer.Option(help="A test accuracy to reach, a fraction.")] = None,
    as_json: Json = False,
) -> None:
    """Names the recipe to take, given how much risk or how little accuracy you can accept."""
    from analysis.recommend import parse_bound
    from analysis.recommend import recommend as choose
    from analysis.results import Tables

    _require(directory)
    bounds = dict(map(parse_bound, max_risk))
    advice = choose(Tables.of(directory).recipes, max_risk=bounds, min_accuracy=min_accuracy)
    if as_json:
        print(json.dumps(advice._asdict() | {"choice": advice.choice._asdict()}, default=_as_dict))
        return
    print(advice.choice)
    for line in advice.why:
        print(f"  {line}")
    for other in advice.following:
        print(f"next: {other}")


@app.command(**example("flatleak serve runs/digits --port 8700"))
def serve(
    directory: Directory, port: Annotated[int, typer.Option(help="On this machine only.")] = 8700
) -> None:
    """Shows the report in a browser and keeps it fresh while the sweep runs."""
    from analysis.report.serve import serve as serve_page

    _require(directory)
    serve_page(directory, port)


@app.command(**example("flatleak export runs/digits --format svg --figure front"))
def export(
    directory: Directory,
    format: Annotated[str, typer.Option(help="png, svg or pdf.")] = "png",
    figure: Annotated[list[str], typer.Option(help="A figure's name; repeatable; default: all.")] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Writes the report's figures as image files."""
    from analysis.report.export import export as write_figures

    _require(directory)
    written = write_figures(directory, format, names=figure)
    print(json.dumps(written) if as_json else "\n".join(written))


@app.command(**example("flatleak monitor --out monitor"))
def monitor(
    out: Annotated[str, typer.Option(metavar="DIR", help="Where the configuration goes.")] = "monitor",
    dashboard: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A Ray dashboard to ask for nodes; default: this machine's Ray."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Sets Prometheus and Grafana up for watching sweeps: writes their configuration and the dashboard."""
    from sweep.watch.monitor import monitor as set_up

    made = set_up(out, dashboard=dashboard)
    if as_json:
        print(json.dumps({"prometheus": str(made.prometheus), "provisioning": str(made.provisioning)}))
        return
    for name, command in made.commands.items():
        print(f"{name}: {command}")
    if made.ray_dashboard:
        print(f"the Grafana of this machine's Ray finds the dashboard at {made.ray_dashboard}")


def _values(spec: str, assignments: list[str]) -> dict[str, Any]:
    """The raw spec; code that reading it would run is shown first."""
    from sweep.spec.reading import override
    from sweep.spec.schema import read

    values = override(read(spec), assignments)
    _show_code(values)
    return values


def _show_code(values: dict[str, Any]) -> None:
    from sweep.spec.reading import import_strings

    for place, name in import_strings(values):
        errors.print(f"[yellow]runs your code:[/] {escape(f'{place}: {name}')}")


def _validated(values: dict[str, Any]) -> Any:
    from sweep.spec.schema import SweepSpec

    return SweepSpec.of(values)


def _require(directory: str) -> None:
    from trainables.directory import require_manifest
    from trainables.storage import as_store

    require_manifest(as_store(directory))


def _as_dict(value: Any) -> Any:
    return value._asdict() if hasattr(value, "_asdict") else value.item()


def _conclude(outcome: Any) -> None:
    from trainables.directory import REPORT, failure_path

    done = outcome.trained
    for block in done.failed:
        record = f"{outcome.directory}/{failure_path(block.address)}"
        errors.print(f"[red]given up:[/] {escape(block.name)}; see {escape(record)}", soft_wrap=True)
    if done.fatal:
        why = f"{escape(done.fatal)}; what was trained is kept, run again when files can be written there"
        errors.print(f"[red]stopped:[/] {why}", soft_wrap=True)
    if done.interrupted:
        _say_how_to_go_on()
    elif not done.fatal:
        errors.print(
            f"{done.trained} replicas trained, {done.present} were there, in {outcome.seconds:.0f} s",
            style="dim",
        )
        print(f"{outcome.directory}/{REPORT}")


def _say_how_to_go_on() -> None:
    command = shlex.join(["flatleak", *sys.argv[1:]])
    errors.print(
        f"Stopped. Everything trained so far is kept; go on with\n  {escape(command)}", soft_wrap=True
    )


def main() -> None:
    """The console script. It finds code of yours in the current directory, as ``python -m`` would."""
    sys.path.append(os.getcwd())
    try:
        app(standalone_mode=True)
    except UserError as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
    except (RunError, OSError) as error:  # the latter: no bucket, no rights, no room, in the storage's words
        errors.print(f"[red]error:[/] {escape(' '.join(str(error).split()))}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
