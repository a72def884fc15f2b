"""docs/reference.md names all that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.attacks.registry import ATTACKS
from sweep.spec.schema import SweepSpec
from sweep.spec.sections import AuditSpec, Resources, SearchSpec, SeedRange
from sweep.watch.loggers import LOGGERS
from trainables.data.dataset import DATASETS, Options
from trainables.models import MODELS, NORMS
from trainables.optimizers.registry import BASES, OPTIMIZERS
from trainables.recipe import Recipe
from trainables.records import FLOAT_SIGNALS

TEXT = Path("docs/reference.md").read_text()
NAMED = {word for code in re.findall(r"`([^`]+)`", TEXT) for word in re.findall(r"[\w.@%-]+", code)}


@pytest.mark.parametrize(
    "names",
    [
        *(
            part.model_fields
            for part in (SweepSpec, SeedRange, SearchSpec, AuditSpec, Resources, Recipe, Options)
        ),
        *(ATTACKS, LOGGERS, DATASETS, MODELS, NORMS, OPTIMIZERS, BASES, FLOAT_SIGNALS),
    ],
)
def test_every_key_and_name_is_there(names: dict[str, object]) -> None:
    assert not set(names) - NAMED


def test_defaults_are_those_of_the_code() -> None:
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in TEXT.splitlines() if row[:1] == "|"
    ]
    stated = {row[0].strip("`"): row[1].strip("`") for row in rows if len(row) == 3 and row[1] != "needs"}
    fields = {**SweepSpec.model_fields, **Recipe.model_fields}
    checked = {
        key: str(fields[key].default).lower() for key, said in stated.items() if key in fields and said
    }
    checked |= {"model": "mlp"}
    assert len(checked) > 12
    assert {key: stated[key] for key in checked} == {
        key: re.sub(r"\.0$", "", value) for key, value in checked.items()
    }


def test_columns_are_those_of_an_audit(smoke_sweep: Path) -> None:
    columns = set(pd.read_parquet(smoke_sweep / "results" / "recipes.parquet"))
    table = TEXT.partition("## Figures")[2].partition("## A sweep")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    own = {name for name in named if "<" not in name}
    private = {"epsilon", "delta", "one_run_epsilon"}  # of recipes and subsets that this sweep has none of
    assert own - private <= columns
    knobs = {*Recipe.model_fields, *private, "recipe_id", "label"}
    attack = re.compile("|".join(ATTACKS))
    bare = {re.sub("_(low|high)$", "", c) for c in columns if not attack.match(c)}
    assert bare - knobs == own - knobs
    for example in ("lira", "confidence"):
        assert {n.replace("<attack>", example) for n in named - own} - columns <= (
            {f"lira_{figure}" for figure in ("accuracy", "tpr", "fpr", "precision")}
        )
