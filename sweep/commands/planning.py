"""The command that says what a sweep will cost, and what it can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

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
    validated,
)
from sweep.runner import stopping

if TYPE_CHECKING:
    from sweep.runner.estimate import Estimate


@app.command(**example("flatleak plan cifar10 --gpus 8 --price 2.50"))
def plan(
    spec: Spec,
    out: Out = None,
    address: Address = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="Estimate the time on so many GPUs, too.")] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="Of a GPU for an hour; of a core where trials ask for no GPU.")
    ] = None,
    set_: Set = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Say what is missing of a sweep, what it will cost, and what its replicas can tell.

    It trains nothing but a few timed steps, where no earlier run measured any, and writes nothing.
    """
    stopping.shield()
    values = raw_spec(spec, set_)
    require_head(address)
    from sweep.runner.estimate import estimate

    found = estimate(validated(values), out, address=address, gpus=gpus, price=price, console=errors)
    if as_json:
        print_json(found.to_json())
    else:
        _show(Console(highlight=False), found)


def _show(console: Console, found: Estimate) -> None:
    table = _table("recipe", "there", "missing", "s a replica")
    for r in found.recipes:
        seconds = "unknown" if r.seconds is None else f"{r.seconds:.3g}"
        table.add_row(escape(r.label), str(r.there), str(r.missing), seconds)
    console.print(table, "")
    table = _table("replicas", "AUC +-", "TPR at 0.1 % FPR +-")
    for p in found.precision:
        table.add_row(str(p.replicas), f"{p.auc:.2g} ({p.auc_from})", f"{p.tpr_at_01pct:.2g} ({p.tpr_from})")
    console.print("what replicas can tell: half width of LiRA's 95 % intervals", table, "", sep="\n")
    for line in _lines(found):
        console.print(escape(line), soft_wrap=True)


def _lines(found: Estimate) -> list[str]:
    """Return the costs, and the whole in the last line."""
    from sweep.runner.lease import age
    from sweep.runner.plan import outlook

    lines = [f"seconds a replica: {found.measured}", *(f"note: {note}" for note in found.notes)]
    if found.gpus_seconds is not None:
        lines.append(f"wall time on {found.gpus} GPUs: about {age(found.gpus_seconds)}")
    if found.hours is not None:
        money = "" if found.money is None else f", {found.money:.4g} at {found.price:g} an hour"
        lines.append(f"{found.unit} hours: {found.hours:.3g}{money}")
    lines.append(f"storage: {decimal(found.bytes_there)} there, {decimal(found.bytes_missing)} to come")
    if found.trial_bytes is not None:
        lines.append(f"memory of a trial: {decimal(found.trial_bytes)}, by what the timed one used")
    if found.audit_seconds is not None:
        lines.append(f"audit: about {age(found.audit_seconds)}, {found.audit_measured}")
    return [*lines, outlook(found.there, found.missing, found.wall_seconds, found.slots)]


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
