"""The ``flatleak`` application, and what its commands share: arguments, options, where errors go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from sweep.runner import stopping


class Commands(TyperGroup):
    """Commands that Ctrl+C and SIGTERM end with one line; typer would end them without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interrupt ends it with one line on how to go on."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say_how_to_go_on()
            raise typer.Exit(stopping.exit_code()) from None


app = typer.Typer(
    name="flatleak",
    cls=Commands,
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
    """Return the example that closes a command's help."""
    return {"epilog": f"Example: `{line}`"}


def raw_spec(spec: str, assignments: list[str]) -> dict[str, Any]:
    """Read the raw spec; code that reading it would run is shown first."""
    from sweep.spec.reading import override, read

    values = override(read(spec), assignments)
    show_code(values)
    return values


def show_code(values: dict[str, Any]) -> None:
    """Say which code of the user's own a spec runs."""
    from sweep.spec.reading import import_strings

    for place, name in import_strings(values):
        errors.print(f"[yellow]runs your code:[/] {escape(f'{place}: {name}')}")


def validated(values: dict[str, Any]) -> Any:
    """Return the spec that these values describe.

    Raises:
        UserError: A value cannot be had.
    """
    from sweep.spec.schema import SweepSpec

    return SweepSpec.of(values)


def print_json(value: Any) -> None:
    """Print one line of JSON that every parser takes: named tuples are objects, NaN and infinity are null."""
    print(json.dumps(_plain(value), allow_nan=False))


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "item"):  # a number of NumPy's
        value = value.item()
    return None if isinstance(value, float) and not isfinite(value) else value


def require_head(address: str | None) -> None:
    """Refuse a cluster that cannot be connected to, before data and torch are loaded.

    Raises:
        UserError: It does not answer, or not to this process.
    """
    from sweep.cluster import require_head as require

    require(address)


def require_sweep(directory: str) -> None:
    """Refuse a directory that is not a sweep's.

    Raises:
        UserError: It has no manifest.
    """
    from trainables.directory import require_manifest
    from trainables.storage import as_store

    require_manifest(as_store(directory))


def say_how_to_go_on() -> None:
    """Say that the same command goes on with what a signal ended."""
    errors.print(escape(stopping.how_to_go_on()), soft_wrap=True)
