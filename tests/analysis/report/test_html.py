"""The page as it is written: whole, the same again, and its scripts joined in order."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import html
from analysis.report.html import write_report
from tests.helpers.pages import chunks_of, unpacked
from tests.helpers.simulated_results import simulate
from trainables.errors import UserError


def test_the_report_holds_every_recipe_and_plotly_once(sweep: Path) -> None:
    path = Path(write_report(sweep))
    text = path.read_text()
    found = chunks_of(text)
    summary = unpacked(found["summary"])
    table = pd.read_parquet(sweep / "results/recipes.parquet")
    assert path == sweep / "report.html"
    assert summary["ids"] == table["recipe_id"].tolist()
    assert summary["columns"]["test_accuracy"]["value"] == pytest.approx(
        table["test_accuracy"].tolist(), abs=1e-6
    )
    assert {f"recipe/{i}" for i in table["recipe_id"]} <= found.keys()
    assert {f"risk/{r['column']}" for r in summary["risks"]} <= found.keys()
    assert text.count('data-chunk="plotly"') == 1
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?(https?:)?//", text), (
        "something is fetched"
    )


def test_the_same_results_give_the_same_page(sweep: Path) -> None:
    first = Path(write_report(sweep)).read_bytes()
    assert Path(write_report(sweep)).read_bytes() == first


def test_nothing_in_a_sweep_can_leave_its_place_in_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    directory = simulate(tmp_path, 6, name=evil)
    table = pd.read_parquet(directory / "results/recipes.parquet")
    table.loc[0, "label"] = evil
    table.to_parquet(directory / "results/recipes.parquet")
    text = Path(write_report(directory)).read_text()
    assert "alert(1)" not in text.replace("&lt;script&gt;alert(1)", "")
    assert unpacked(chunks_of(text)["summary"])["labels"][0] == evil


def test_an_empty_directory_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="flatleak audit"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


# ---- the script ----

SCRIPTS = Path(html.__file__).parent / "page" / "scripts"


OPENING = {path.stem: path.read_text().splitlines()[0] for path in SCRIPTS.glob("*.js")}
ENTRIES = ("main", "several")


def joined(entry: str) -> set[str]:
    return {name for name, line in OPENING.items() if line in html.script(entry)}


def test_every_module_says_what_it_is_and_belongs_to_a_page() -> None:
    assert len(set(OPENING.values())) == len(OPENING)
    assert set().union(*map(joined, ENTRIES)) == OPENING.keys()


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_script_joins_each_module_once_after_those_that_it_imports(entry: str) -> None:
    text = html.script(entry)
    assert not re.search(r"^(import|export) ", text, re.MULTILINE)
    assert all(text.count(OPENING[name]) == 1 for name in joined(entry))
    for name in joined(entry):
        for other in re.findall(r'from "\./([\w-]+)\.js"', (SCRIPTS / f"{name}.js").read_text()):
            assert text.index(OPENING[other]) < text.index(OPENING[name])


def test_no_two_modules_declare_the_same_name() -> None:
    declared = re.findall(r"^(?:async )?(?:function|const|let) (\w+)", html.script(), re.MULTILINE)
    assert sorted(declared) == sorted(set(declared))


@pytest.mark.parametrize("entry", ["main", "several"])
def test_no_two_modules_of_a_page_use_one_name(entry: str) -> None:
    """Joined they share one scope, where a second ``const`` of a name is an error in the browser."""
    names = re.findall(r"^(?:async )?(?:const|let|function) (\w+)", html.script(entry), flags=re.MULTILINE)
    assert len(names) > 40
    assert len(names) == len(set(names))
