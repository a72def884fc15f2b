"""The tables of the findings say what the results say, and the prose says nothing that no table says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.ensemble import Ensemble
from analysis.studies import findings
from analysis.studies.findings import fill
from analysis.studies.pairs import Sweep
from tests.helpers.synthetic import make_ensemble
from trainables.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
PROSE = ("README.md", "docs/findings.md")
PAGES = ("README.md", "docs/reading-the-page.md", "docs/findings.md")
INTERVAL = re.compile(r"[+-]?\d+(?:\.\d+)? \[[+-]?\d+(?:\.\d+)?, [+-]?\d+(?:\.\d+)?\]")
TABLE = re.compile(r"<!-- table: (.+?) -->\n(.*?)<!-- end -->", re.DOTALL)


def page(*words: str) -> str:
    return f"Before.\n<!-- table: {' '.join(words)} -->\nold\n<!-- end -->\nAfter.\n"


def rows(text: str) -> list[list[str]]:
    """The cells of the table's body."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_recipes_are_those_of_the_results_and_the_front_is_bold(smoke_sweep: Path) -> None:
    text = fill(page("recipes", "smoke"), smoke_sweep.parent)
    table = pd.read_parquet(smoke_sweep / "results" / "recipes.parquet").set_index("label")
    points = table[["test_accuracy", "lira_advantage"]].to_numpy()
    front = [not any((a > x and b <= y) or (a >= x and b < y) for a, b in points) for x, y in points]
    shown = {row[0].strip("*"): row for row in rows(text)}
    assert set(shown) == set(table.index)
    assert {label for label, row in shown.items() if row[0].startswith("**")} == set(table.index[front])
    low, value, high = (100 * table.loc["sgd", f"test_accuracy{end}"] for end in ("_low", "", "_high"))
    assert shown["sgd"][1] == f"{value:.1f} [{low:.1f}, {high:.1f}]"
    assert text.startswith("Before.\n<!-- table: recipes smoke -->\n| recipe |")
    assert text.endswith("|\n<!-- end -->\nAfter.\n")


def test_claims_carry_their_verdicts(smoke_sweep: Path) -> None:
    claims = pd.read_parquet(smoke_sweep / "results" / "claims.parquet")
    text = fill(page("claims", "smoke"), smoke_sweep.parent)
    cells = [row[2] for row in rows(text) if row[2]]
    assert len(cells) == len(claims)
    marks = {"✓": "reproduced", "✗": "contradicted", "?": "cannot tell"}
    assert [marks[cell[0]] for cell in cells] == claims["verdict"].tolist()


def test_a_contrast_is_the_claims_of_sam_against_sgd(smoke_sweep: Path) -> None:
    (row,) = rows(fill(page("contrast", "smoke"), smoke_sweep.parent))
    claims = pd.read_parquet(smoke_sweep / "results" / "claims.parquet").set_index("figure")
    accuracy = claims.loc["test_accuracy"]
    assert row[0] == "smoke"
    assert row[4] == "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * accuracy[["estimate", "low", "high"]]))


def test_tuning_marks_the_most_accurate_setting(smoke_sweep: Path) -> None:
    table = pd.read_parquet(smoke_sweep / "results" / "recipes.parquet")
    sam = table[table["optimizer"] == "sam"]
    best = sam.loc[sam["test_accuracy"].idxmax(), "label"].removeprefix("sam ")
    found = {row[1]: row for row in rows(fill(page("tuning", "smoke"), smoke_sweep.parent))}
    assert found["sam"][2] == "2"
    assert found["sam"][3].startswith(f"**{best}: {100 * sam['test_accuracy'].max():.2f}**; ")


def test_a_mitigation_is_measured_against_the_best_plain_sam(smoke_sweep: Path) -> None:
    table = pd.read_parquet(smoke_sweep / "results" / "recipes.parquet").set_index("label")
    plain, noisy = table.loc["sam rho=0.1"], table.loc["sam rho=0.1 noise=3"]
    head, row, same, again = rows(fill(page("mitigation", "smoke"), smoke_sweep.parent))
    assert head[0] == "*smoke, against sam rho=0.1*"
    assert same[0] == "*smoke, against the same recipe without its defences*"
    assert again == row
    assert row[0].strip("* ✓") == "sam rho=0.1 noise=3"
    assert row[1].startswith(f"{100 * (plain['test_accuracy'] - noisy['test_accuracy']):+.2f} [")
    assert row[2].startswith(f"{100 * (1 - noisy['lira_advantage'] / plain['lira_advantage']):+.2f} [")


def test_a_defence_is_compared_with_sam_of_each_length_and_with_itself_undefended() -> None:
    def trained(accuracy: float, **knobs: Any) -> Ensemble:
        return make_ensemble({"optimizer": "sam", **knobs}, 2, 4, 2, test_accuracy=np.full(2, accuracy))

    made = [
        trained(0.80, rho=0.1, epochs=9),
        trained(0.79, rho=0.2, epochs=9),
        trained(0.82, rho=0.1, epochs=4),
        trained(0.81, rho=0.2, epochs=9, noise=3),
    ]
    long, _, short, noisy = (e.recipe_id for e in made)
    sweep = Sweep({e.recipe_id: e for e in made}, None, 0.95, 100, 0)  # type: ignore[arg-type]
    assert findings._comparisons(sweep) == {
        short: [(noisy, short), (long, short)],
        long: [(short, long), (noisy, long)],
        "the same recipe without its defences": [(noisy, made[1].recipe_id)],
    }


def test_agreement_with_published_scores_is_what_the_study_left(tmp_path: Path) -> None:
    results = tmp_path / "faces" / "results"
    results.mkdir(parents=True)
    (results / "recipes.parquet").touch()
    columns = ["replicas", "correlation", "low", "high", "reliability", "ceiling"]
    measured = [(4, -0.2, -0.3, -0.1, 0.25, 0.5), (8, -0.4, -0.5, -0.3, np.nan, np.nan)]
    study = pd.DataFrame(measured, columns=columns).assign(scores="cscore")
    study.to_parquet(results / "published_agreement.parquet")
    found = rows(fill(page("agreement", "faces"), tmp_path))
    assert found[0] == ["faces", "cscore", "4", "-0.200 [-0.300, -0.100]", "0.250", "0.500"]
    assert found[1] == ["faces", "cscore", "8", "-0.400 [-0.500, -0.300]", "–", "–"]
    edges = np.linspace(0, 1, 19)
    shares = np.arange(18) / np.arange(18).sum()
    beside = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "published": shares, "here": shares[::-1]})
    beside.to_parquet(results / "published_histogram.parquet")
    found = rows(fill(page("histogram", "faces"), tmp_path))
    assert [row[1] for row in found][:2] == ["0.00 to 0.17", "0.17 to 0.33"]
    assert float(found[0][2]) == pytest.approx(100 * shares[:3].sum(), abs=0.06)
    assert float(found[0][3]) == pytest.approx(100 * shares[-3:].sum(), abs=0.06)


def test_a_table_whose_sweep_is_missing_is_kept_and_one_that_is_unknown_refused(tmp_path: Path) -> None:
    assert fill(page("recipes", "absent"), tmp_path) == page("recipes", "absent")
    with pytest.raises(UserError, match="table 'recipe' is not known; did you mean 'recipes'"):
        fill(page("recipe", "absent"), tmp_path)


@pytest.mark.parametrize("name", PROSE)
def test_every_interval_in_the_prose_stands_in_a_table(name: str) -> None:
    """Prose is written by hand, its figures are not: each is one of a table's, digit by digit."""
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    measured = {found for _, body in TABLE.findall(pages) for found in INTERVAL.findall(body)}
    prose = TABLE.sub("", (ROOT / name).read_text(encoding="utf-8")).replace("−", "-")
    said = INTERVAL.findall(prose)
    assert said, f"{name} should lead with figures"
    assert [found for found in said if found not in measured] == []


def test_every_table_of_the_pages_is_known_and_filled() -> None:
    for name in PAGES:
        for words, body in TABLE.findall((ROOT / name).read_text(encoding="utf-8")):
            assert words.split()[0] in findings.TABLES
            assert rows(body), f"{name}: {words}"


def test_the_paper_stands_beside_what_was_measured(smoke_sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "cifar10-like").symlink_to(smoke_sweep)
    found = {row[0]: row[1:] for row in rows(fill(page("paper", "cifar10-like"), tmp_path))}
    table = pd.read_parquet(smoke_sweep / "results" / "recipes.parquet")
    plain = table[(table["noise"] == 0) & (table["grad_reg"] == 0)]
    best = {o: plain[plain["optimizer"] == o]["test_accuracy"].max() for o in ("sgd", "sam")}
    published, sgd, also_published, sam = found["CIFAR-10, test accuracy, %"]
    assert (published, also_published) == ("92.3", "93.1")
    assert [float(cell.split()[0]) for cell in (sgd, sam)] == [
        round(100 * best[o], 1) for o in ("sgd", "sam")
    ]
    assert found["CIFAR-100, RMIA, AUC"] == ["0.904", "not measured", "0.916", "not measured"]


def test_results_without_records_and_with_a_csv_alone_are_read(smoke_sweep: Path, tmp_path: Path) -> None:
    bare = tmp_path / smoke_sweep.name
    shutil.copytree(smoke_sweep, bare, ignore=shutil.ignore_patterns("records", "recipes.parquet"))
    words = page("recipes", bare.name)
    assert fill(words, tmp_path) == fill(words, smoke_sweep.parent)
