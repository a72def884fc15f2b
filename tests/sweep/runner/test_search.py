"""The search: seeded, content-addressed, resumable, and verified on subset seeds that it never saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.pareto import pareto_front
from sweep import SweepSpec, run
from sweep.runner.search import _suggest, require_optuna
from sweep.spec.reading import override, read
from sweep.spec.sections import SearchSpec
from trainables.errors import UserError

pytest.importorskip("optuna")

SETTINGS = [
    "training.epochs=4",
    "model.hidden=[16]",
    "grid=[{optimizer: sgd}]",
    "subsets.seeds=8",
    "search.space=[{optimizer: sam, rho: {low: 0.01, high: 0.5, log: true}, noise: [0, 2]},"
    " {optimizer: sgd, noise: 1}]",
    "search.recipes=6",
    "search.batch=3",
    "search.replicas=[4, 8]",
]


def spec(*more: str) -> SweepSpec:
    return SweepSpec.of(override(read("smoke"), [*SETTINGS, *more]))


@pytest.fixture(scope="module")
def searched(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    directory = tmp_path_factory.mktemp("search")
    outcome = run(spec(), directory)
    assert outcome.exit_code == 0
    recipes = len(json.loads((directory / "manifest.json").read_text())["recipes"])
    assert (outcome.trained.present, outcome.trained.trained) == (0, 8 * recipes)
    return directory


def test_stages_promote_the_non_dominated(searched: Path) -> None:
    history = pd.read_parquet(searched / "results" / "search.parquet")
    first, last = (history[history["stage"] == stage] for stage in (0, 1))
    assert 1 < len(first) <= 6
    assert len(last) == -(-len(first) // 2)
    assert set(last["recipe_id"]) <= set(first["recipe_id"])
    assert first["replicas"].eq(4).all()
    assert last["replicas"].eq(8).all()
    front = pareto_front(last[["test_accuracy", "lira_advantage"]].to_numpy())
    assert last["found"].tolist() == front.tolist()
    assert not first["found"].any()


def test_what_is_found_joins_the_grid_on_seeds_that_the_search_never_saw(searched: Path) -> None:
    history = pd.read_parquet(searched / "results" / "search.parquet")
    manifest = json.loads((searched / "manifest.json").read_text())
    found = set(history.loc[history["found"], "recipe_id"])
    assert found <= set(manifest["recipes"])
    assert manifest["recipes"][manifest["reference"]]["optimizer"] == "sgd"
    assert history["first_seed"].eq(8).all()
    table = pd.read_parquet(searched / "results" / "recipes.parquet")
    assert set(table["recipe_id"]) == set(manifest["recipes"])
    assert table["replicas"].eq(8).all()


def test_run_again_asks_the_same_and_trains_nothing(searched: Path) -> None:
    before = (searched / "results" / "search.parquet").read_bytes()
    outcome = run(spec(), searched)
    assert outcome.trained.trained == 0
    assert (searched / "results" / "search.parquet").read_bytes() == before


def test_spaces_are_checked_before_anything_runs() -> None:
    with pytest.raises(UserError, match=r"search\.space\[0\]\.rho: -1: expected greater than 0"):
        spec("search.space=[{optimizer: sam, rho: {low: -1, high: 1}}]")
    with pytest.raises(UserError, match=r"search\.space\[0\]\.rho\.hi: unknown key; did you mean 'high'"):
        spec("search.space=[{optimizer: sam, rho: {low: 1, high: 2, hi: 3}}]")
    with pytest.raises(UserError, match=r"search\.replicas: 5 is odd"):
        spec("search.replicas=[4, 5]")


class Asked:
    """An Optuna trial that takes the last choice and the upper end, and notes the questions."""

    def __init__(self) -> None:
        self.questions: list[str] = []

    def suggest_categorical(self, name: str, choices: list[int]) -> int:
        self.questions.append(name)
        return choices[-1]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:  # noqa: ARG002
        self.questions.append(name)
        return high


def test_options_of_an_optimizer_of_ones_own_are_searched_each_by_itself() -> None:
    space = {"rho": {"low": 0.1, "high": 0.5}, "k": [1, 2], "fixed": 3}
    trial = Asked()
    assert _suggest(trial, "0.options", space) == {"rho": 0.5, "k": 2, "fixed": 3}
    assert trial.questions == ["0.options.rho", "0.options.k"]
    plan = SearchSpec(space=[{"optimizer": "mine:rule", "options": space}])
    corners = [knobs["options"] for _, knobs in plan.corners()]
    assert corners == [{"rho": 0.1, "k": 1, "fixed": 3}, {"rho": 0.5, "k": 2, "fixed": 3}]


def test_what_cannot_be_trained_says_so_before_it_is_tried(ray_session: None, tmp_path: Path) -> None:  # noqa: ARG001
    private = "search.space=[{optimizer: dpsgd, clip: 1, target_epsilon: [%s]}]"
    with pytest.raises(UserError, match=r"target_epsilon 1e-09 cannot be had"):
        run(spec(private % "8, 1.0e-9"), tmp_path / "end")
    assert not (tmp_path / "end").exists()
    between = [private % "8, 1.0e-9, 8", "search.recipes=12", "search.batch=12", "training.epochs=1"]
    with pytest.raises(UserError, match=r"target_epsilon 1e-09 cannot be had"):
        run(spec(*between), tmp_path / "between")
    assert not (tmp_path / "between" / "results").exists()


def test_what_fails_only_in_the_search_is_told(ray_session: None, tmp_path: Path) -> None:  # noqa: ARG001
    space = "search.space=[{optimizer: sgd, noise: [0, 1], lr: [0.1, 1.0e+30]}]"
    outcome = run(spec(space, "training.epochs=1", "subsets.seeds=4", "search.replicas=[4]"), tmp_path)
    assert outcome.exit_code == 1
    assert {block.knobs["lr"] for block in outcome.trained.failed} == {1e30}
    assert outcome.trained.replicas_there == outcome.trained.replicas


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'flatleak\[search\]'"):
        require_optuna()
    with pytest.raises(UserError, match="Optuna"):
        run(spec(), tmp_path / "none")
    assert not (tmp_path / "none").exists()
