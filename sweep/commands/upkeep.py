"""Commands that clean a sweep directory up, and join two."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape

from sweep.commands.application import Directory, Json, app, errors, example, print_json


@app.command(**example("flatleak prune runs/digits --yes"))
def prune(
    directory: Directory,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
    as_json: Json = False,
) -> None:
    """List records, progress, failures and audits that no recipe of the manifest names; --yes deletes them.

    After a search these include the recipes that it dropped; the same search again would train them again.
    """
    from sweep.runner import prune as pruning
    from trainables.storage import as_store

    store = as_store(directory)
    found = pruning.prune(store) if yes else pruning.unnamed(store)
    if as_json:
        print_json({"files": [asdict(file) for file in found], "deleted": yes})
        return
    for file in found:
        print(f"{file.path}  {decimal(file.bytes)}  {file.why}")
    total = decimal(sum(file.bytes for file in found))
    errors.print(
        f"{len(found)} files, {total}" + (", deleted" if yes else "; --yes deletes them" * bool(found))
    )


@app.command(**example("flatleak merge runs/digits runs/digits-2 --out runs/both"))
def merge(
    first: Annotated[str, typer.Argument(metavar="A", help="A sweep directory.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one, of the same context.")],
    out: Annotated[str, typer.Option(metavar="DIR", help="A new directory, or an earlier merge.")],
    as_json: Json = False,
) -> None:
    """Join two sweeps of the same data, model and subsets: other recipes, other seeds, other machines.

    Nothing is trained: `audit` draws the report of what is there, `run` on its `spec.yaml` what is missing.
    """
    from sweep.runner import merge as merging
    from trainables.storage import as_store

    done = merging.merge(as_store(first), as_store(second), as_store(out))
    for line in done.damaged:
        errors.print(f"[yellow]left out:[/] {escape(line)}", soft_wrap=True)
    for line in done.differences:
        errors.print(f"[yellow]versions:[/] {escape(line)}", soft_wrap=True)
    if as_json:
        print_json(done.to_json())
        return
    kept = f", {done.repeated} were there already" if done.repeated else ""
    errors.print(
        f"{done.recipes} recipes, subset seeds {done.seeds.start} to {done.seeds.stop - 1}: "
        f"{done.copied} replicas copied{kept}; next: flatleak audit {escape(done.directory)}",
        soft_wrap=True,
    )
    print(done.directory)
