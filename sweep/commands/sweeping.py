"""Commands that say what to run, and run it."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape

from sweep.commands.application import (
    Address,
    Json,
    Out,
    Set,
    Spec,
    app,
    errors,
    example,
    print_json,
    raw_spec,
    require_head,
    say_how_to_go_on,
    validated,
)
from sweep.runner import stopping


@app.command(**example("flatleak run digits --set subsets.seeds=128 --out runs/digits"))
def run(spec: Spec, out: Out = None, address: Address = None, set_: Set = [], as_json: Json = False) -> None:  # noqa: B006
    """Train what is missing of a sweep, audit it and draw its report. Run again to go on or to add."""
    stopping.shield()
    values = raw_spec(spec, set_)
    require_head(address)  # torch, which the check of a spec loads, takes its time
    from sweep.runner.launch import run as run_sweep

    outcome = run_sweep(validated(values), out, address=address, console=errors)
    if as_json:
        print_json(outcome.to_json())
    else:
        _conclude(outcome)
    raise typer.Exit(outcome.exit_code)


@app.command(**example("flatleak validate my-sweep.yaml --set subsets.seeds=128"))
def validate(spec: Spec, set_: Set = [], as_json: Json = False) -> None:  # noqa: B006
    """Check a spec and list its recipes. Data and model are tried by `run`, before it trains."""
    from trainables.labels import labels

    checked = validated(raw_spec(spec, set_))
    names = labels(recipe.knobs for recipe in checked.recipes)
    if as_json:
        recipes = {recipe.recipe_id: recipe.knobs for recipe in checked.recipes}
        print_json({"spec": checked.model_dump(mode="json"), "recipes": recipes})
        return
    for recipe, label in zip(checked.recipes, names, strict=True):
        print(f"{recipe.recipe_id}  {label}")
    seeds = checked.subsets.seeds
    print(f"{len(names)} recipes x {seeds} subset seeds = {len(names) * seeds} replicas")


@app.command(**example("flatleak specs"))
def specs(as_json: Json = False) -> None:
    """List the shipped specs."""
    from sweep.spec.reading import read, shipped

    about = {name: str(read(name).get("about", "")) for name in shipped()}
    if as_json:
        print_json(about)
        return
    width = max(map(len, about))
    for name, text in about.items():
        print(f"{name:{width}}  {text}")


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
        say_how_to_go_on()
    elif not done.fatal:
        errors.print(
            f"{done.trained} replicas trained, {done.present} were there, in {outcome.seconds:.0f} s",
            style="dim",
        )
        if done.replicas_there:  # else there was nothing to report
            print(f"{outcome.directory}/{REPORT}")
