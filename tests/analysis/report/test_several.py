"""One page of several sweeps: what it is told, which mistakes it refuses, and nothing half-written."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.report.several import chunks, names_of, plain_pairs, write_joint_report
from analysis.results import Tables
from sweep.cli import main
from tests.helpers.simulated_results import simulate
from trainables.errors import UserError


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("several")
    return [str(simulate(folder / name, 8, seed=k, name=name)) for k, name in enumerate(("first", "second"))]


def test_the_page_holds_every_sweep_s_figures_and_paired_differences(
    sweeps: list[str], tmp_path: Path
) -> None:
    path = Path(write_joint_report(sweeps, tmp_path / "both"))
    text = path.read_text()
    assert path == tmp_path / "both/report.html"
    assert path.stat().st_size < 8e6
    assert "https://" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    (packed,) = re.findall(r'data-chunk="risk/lira_auc">([^<]+)<', text)
    found = json.loads(gzip.decompress(base64.b64decode(packed)))
    for directory, part in zip(sweeps, found, strict=True):
        table = pd.read_parquet(f"{directory}/results/comparisons.parquet").query("figure == 'lira_auc'")
        told = {recipe_id: row["difference"] for recipe_id, row in part["differences"].items()}
        assert told == pytest.approx(table.set_index("recipe_id")["difference"].to_dict(), rel=1e-4)


def test_only_recipes_without_defences_are_paired(sweeps: list[str]) -> None:
    pairs = plain_pairs(Tables.of(sweeps[0]))
    assert [pair["label"] for pair in pairs][:2] == ["sam rho=0.05", "asam rho=0.05"]
    assert {pair["reference"] for pair in pairs} == {"sgd"}
    assert not any("noise" in pair["label"] for pair in pairs)


def test_the_default_risk_is_one_that_all_sweeps_have(sweeps: list[str], tmp_path: Path) -> None:
    shutil.copytree(sweeps[1], tmp_path / "other")
    file = tmp_path / "other/results/recipes.parquet"
    table = pd.read_parquet(file)
    table.drop(columns=[c for c in table if c.startswith("lira_tpr")]).to_parquet(file)
    told: dict[str, Any] = dict(chunks([Tables.of(sweeps[0]), Tables.of(tmp_path / "other")]))
    assert told["summary"]["risk"] == "lira_auc"
    assert told["risk/lira_tpr_at_1pct"][1] is None


def test_sweeps_of_one_name_are_told_apart(sweeps: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(sweeps[0], tmp_path / name)
    assert names_of([Tables.of(s) for s in sweeps]) == ["first", "second"]
    assert names_of([Tables.of(tmp_path / name) for name in "ab"]) == ["a", "b"]


def test_mistakes_are_one_line_and_nothing_is_written(
    sweeps: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare, out, file = tmp_path / "bare", tmp_path / "out", tmp_path / "file"
    bare.mkdir()
    shutil.copy(f"{sweeps[0]}/manifest.json", bare)
    file.write_text("")
    for arguments, expected in (
        ([*sweeps, str(bare), "--out", str(out)], f"{bare}: no results/recipes.parquet"),
        ([*sweeps, str(tmp_path / "none"), "--out", str(out)], "is not a sweep directory"),
        (sweeps, "expected --out DIR"),
        ([sweeps[0], "--out", str(out)], "expected two sweeps or more"),
        ([sweeps[0], *sweeps, "--out", str(out)], "is named twice"),
        ([*sweeps, "--out", sweeps[0]], "expected another directory"),
        ([*sweeps, "--out", str(file)], "is a file"),
    ):
        monkeypatch.setattr(sys, "argv", ["flatleak", "report", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr().err.strip()
        assert (ended.value.code, told.count("\n")) == (2, 0)
        assert expected in told
    assert not out.exists()


def test_an_unaudited_sweep_is_named(sweeps: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `flatleak audit"):
        write_joint_report([sweeps[0], str(tmp_path)], tmp_path / "out")
