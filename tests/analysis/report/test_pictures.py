"""Pictures of notable examples: which are kept, and only where the spec allows it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis.report.payload import chunks, summary
from analysis.report.pictures import Pictures, notable, save_pictures
from analysis.results import Tables
from tests.helpers.simulated_results import simulate


def dataset(images: bool) -> SimpleNamespace:
    rng = np.random.default_rng(1)
    shape = (3, 96, 96) if images else (20,)
    x = rng.normal(size=(320, *shape)).astype(np.float32)
    y = np.arange(320) % 10
    sides = {"x_train": x[:300], "y_train": y[:300], "x_test": x[300:], "y_test": y[300:]}
    return SimpleNamespace(**sides, class_names=None, readable=lambda x: x)


@pytest.mark.parametrize("images", [True, False])
def test_pictures_of_the_notable_examples(tmp_path: Path, images: bool) -> None:
    directory = simulate(tmp_path, 3, images=False)
    data = dataset(images)
    save_pictures(directory, data)
    tables = Tables.of(directory)
    pictures = Pictures.read(tables.store)
    assert pictures is not None
    wanted = {
        int(i) for r in tables.recipes.index for rows in notable(tables, r).values() for i in rows["index"]
    }
    assert set(pictures.train_index.tolist()) == wanted
    assert pictures.train_label.tolist() == data.y_train[pictures.train_index].tolist()
    told = [dict(chunks(tables))[f"recipe/{r}"]["who"] for r in tables.recipes.index]
    examples = [e for kinds in told for shown in kinds.values() for e in shown]
    named = {p["test"] for e in examples for kind in ("helps", "harms") for p in e.get(kind, [])}
    assert named
    assert named <= set(pictures.test_index.tolist()), "every example that is named has its picture"
    one = pictures.as_json()["train"][str(pictures.train_index[0])]
    if images:
        assert max(pictures.train_x.shape[-2:]) <= 64
        assert one["picture"].startswith("data:image/png;base64,")
    else:
        first = data.x_train[pictures.train_index[0], 0]
        assert float(one["features"].split()[0]) == pytest.approx(first, rel=1e-2)


def test_a_spec_that_hides_examples_hides_them_everywhere(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 3, show_examples=False, images=False)
    save_pictures(directory, dataset(True))
    assert not (directory / "results/pictures.npz").exists()
    simulate(tmp_path, 3, show_examples=False, images=True)
    told = dict(chunks(Tables.of(directory)))
    assert told["pictures"]["train"] == {}
    assert all(not told[f"recipe/{i}"]["who"] for i in told["summary"]["ids"])


def test_ties_are_broken_by_margins_and_caveats_are_told(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2, examples=40)
    tables = Tables.of(directory)
    recipe = str(tables.recipes.index[0])
    file = directory / f"results/examples/{recipe}.parquet"
    pd.read_parquet(file).assign(memorization=1.0, margin_gap=np.arange(40.0)).to_parquet(file)
    assert notable(tables, recipe, 3)["memorized"]["index"].tolist() == [39, 38, 37]
    path = directory / "results/recipes.parquet"
    pd.read_parquet(path).assign(caveat=["few replicas", None]).to_parquet(path)
    found = summary(Tables.of(directory))
    label = found["labels"][0]
    assert (found["caveats"], found["caveatLines"]) == (["few replicas", ""], [f"{label}: few replicas"])
