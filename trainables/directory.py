"""A sweep directory: its manifest, where everything in it lies, and which recipe is the reference."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainables.errors import UserError
from trainables.records import Address
from trainables.storage import Entry, Store

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
SPEC = "spec.yaml"
DRIVER = "driver.json"  # the lease of the process that drives the sweep
PHASE = "phase.json"  # what happens to the sweep now, or how its last run ended
REPORT = "report.html"
RECORDS = "records"
CHECKED = "records.json"  # which records were checked; see `trainables.checked`
PROGRESS = "progress"  # unfinished blocks
FAILURES = "failures"  # blocks that failed, and why
RUN_FAILURE = "failures/run.json"  # why a run ended before its first trial
SET_ASIDE = "set-aside"  # records that could not be read
RESULTS = "results"
NOTES = "results/notes.json"
PICTURES = "results/pictures.npz"
STATE = "results/state.txt"  # what the results follow from
FIGURES = "figures"
BEFORE_MANIFEST = (DRIVER, PHASE, RUN_FAILURE)  # what a new directory may hold before it has a manifest


class Manifest(BaseModel):
    """What a sweep directory is. Keys that a later release adds are kept.

    ``data`` says what was made of the data set, with ``notes`` for who reads the figures. ``recipes`` holds
    knobs by recipe_id, in the order of the spec. ``stack``, ``compile``, ``seconds_per_pass``,
    ``seconds_per_replica`` and ``replicas_per_hour`` (of the whole cluster, in the last run that trained) are
    what was measured where the sweep ran. ``own_code`` holds hashes of the files with models and optimizers
    of the user's own, as they were when the first replicas were trained.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "sweep"
    context: dict[str, Any] = {}
    data: dict[str, Any] = {}
    context_id: str
    recipes: dict[str, dict[str, Any]]
    reference: str | None = None
    seeds: int = Field(ge=0)
    first_seed: int = Field(default=0, ge=0)
    stack: int | None = None
    compile: str | None = None
    seconds_per_pass: float | None = None
    seconds_per_replica: float | None = None
    replicas_per_hour: float | None = None
    versions: dict[str, str] = {}
    own_code: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    git: str | None = None
    created: str | None = None
    show_examples: bool = True
    audit: dict[str, Any] = {}
    spec: dict[str, Any] = {}

    @property
    def seed_range(self) -> range:
        """The subset seeds of the sweep."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def reference_id(self) -> str | None:
        """The recipe that all others are compared with; see `reference_recipe`."""
        return reference_recipe(self.recipes, self.reference)

    def to_json(self) -> dict[str, Any]:
        """Return the values of the file, in its order."""
        return self.model_dump(mode="json")


NO_MANIFEST = Manifest(context_id="", recipes={}, seeds=0)  # of a bare directory of records


def read_manifest(store: Store) -> Manifest | None:
    """Read the manifest of a sweep directory.

    Returns:
        The manifest, or None where there is none.

    Raises:
        UserError: the file is not a manifest.
    """
    try:
        return Manifest.model_validate(json.loads(store.read(MANIFEST)))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        problem = f"{place}: {first['msg'].lower()}; expected a manifest"
    except ValueError as error:
        problem = f"not valid JSON ({error}); expected a manifest"
    raise UserError(f"{store}/{MANIFEST}: {problem}")


def require_manifest(store: Store) -> Manifest:
    """Read the manifest of what must be a sweep directory.

    Raises:
        UserError: the directory has no manifest, or what is there is not one.
    """
    manifest = read_manifest(store)
    if manifest is None:
        raise UserError(
            f"{store} is not a sweep directory: it has no {MANIFEST}; `flatleak run SPEC` makes one"
        )
    return manifest


def require_usable(store: Store) -> None:
    """Refuse an output directory that holds something else than a sweep.

    Raises:
        UserError: a file, or a folder that has files and no manifest.
    """
    if store.local is not None and store.local.exists() and not store.local.is_dir():
        raise UserError(f"--out {store}: is a file, expected a directory")
    if read_manifest(store) is None and any(entry.path not in BEFORE_MANIFEST for entry in store.list()):
        raise UserError(
            f"--out {store}: is not a sweep directory: it holds files but no manifest.json; "
            "expected a new or empty directory, or an earlier sweep"
        )


def write_manifest(store: Store, manifest: Manifest) -> None:
    """Write the manifest of a sweep directory, in one step."""
    store.write(MANIFEST, json.dumps(manifest.to_json(), indent=1).encode())


def reference_recipe(recipes: Mapping[str, Mapping[str, Any]], named: str | None = None) -> str | None:
    """Find the recipe that all others are compared with.

    Args:
        recipes: knobs by recipe_id.
        named: the recipe_id that the manifest names, if any.

    Returns:
        ``named`` where it is among the recipes, else the plain SGD with the fewest knobs, else the first
        recipe; None where there is none.
    """
    if named in recipes:
        return named
    sgd = [recipe_id for recipe_id, knobs in recipes.items() if knobs.get("optimizer") == "sgd"]
    if sgd:
        return min(sgd, key=lambda recipe_id: len(recipes[recipe_id]))
    return next(iter(recipes), None)


def addresses(
    store: Store, manifest: Manifest | None = None, *, folder: str = RECORDS, suffix: str = ".npz"
) -> Iterator[Address]:
    """List the addresses of the files in a folder, by one listing of the store.

    Args:
        store: the sweep directory.
        manifest: leaves out what belongs to another context or to a recipe that it does not name.
        folder: ``records``, ``progress`` or ``failures``.
        suffix: how the files' names end.
    """
    for address, _ in addressed(store, manifest, folder=folder, suffix=suffix):
        yield address


def addressed(
    store: Store, manifest: Manifest | None = None, *, folder: str = RECORDS, suffix: str = ".npz"
) -> Iterator[tuple[Address, Entry]]:
    """List addresses as `addresses` does, each with its file."""
    for entry in store.list(folder):
        if not entry.path.endswith(suffix):
            continue
        address = Address.parse(entry.path.removesuffix(suffix) + ".npz")
        if address is None:
            continue
        if manifest is None or (
            address.context_id == manifest.context_id and address.recipe_id in manifest.recipes
        ):
            yield address, entry


def failure_path(address: Address) -> str:
    """Return where the failure of a block is written."""
    return f"{FAILURES}/{address.stem}.json"


def progress_path(address: Address) -> str:
    """Return where the unfinished state of a block is kept."""
    return f"{PROGRESS}/{address.stem}.npz"


def set_aside_path(address: Address) -> str:
    """Return where a record that could not be read is moved to."""
    return f"{SET_ASIDE}/{address.stem}.npz"


def table_path(name: str, suffix: str = "parquet") -> str:
    """Return where a table of the results lies: ``recipes``, ``comparisons``, ``examples/<recipe_id>`` ..."""
    return f"{RESULTS}/{name}.{suffix}"


def write_table(store: Store, name: str, table: pd.DataFrame) -> None:
    """Write one table of the results as Parquet, without its index."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    store.write(table_path(name), buffer.getvalue())


def read_table(store: Store, name: str) -> pd.DataFrame:
    """Read one table of the results.

    Raises:
        FileNotFoundError: there is no such table.
    """
    import pandas as pd

    return pd.read_parquet(io.BytesIO(store.read(table_path(name))))
