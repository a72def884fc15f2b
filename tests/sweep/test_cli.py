"""The command as a user types it: help, JSON, and mistakes: code 2, one line, nothing written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from sweep.cli import main
from sweep.commands import app
from sweep.spec.reading import shipped
from tests.helpers.servers import S3, environment

Flatleak = Callable[..., tuple[int, str, str]]
COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.fixture
def flatleak(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Flatleak:
    """Runs the command in an empty directory: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["flatleak", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(flatleak: Flatleak, command: str) -> None:
    code, out, _ = flatleak(command, "--help")
    assert code == 0
    example = re.search(rf"Example:\s+flatleak {command}", out)
    assert example


def test_the_command_lists_its_commands(flatleak: Flatleak) -> None:
    code, out, _ = flatleak("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


def test_specs_and_validate(flatleak: Flatleak) -> None:
    _, out, _ = flatleak("specs", "--json")
    assert sorted(json.loads(out)) == shipped()
    _, out, _ = flatleak("validate", "smoke")
    assert out.splitlines()[-1] == "3 recipes x 16 subset seeds = 48 replicas"
    _, out, _ = flatleak("validate", "smoke", "--set", "grid[1].rho=[0.1, 0.2]", "--json")
    assert len(json.loads(out)["recipes"]) == 5


def test_code_that_a_spec_names_is_shown_before_it_runs(flatleak: Flatleak) -> None:
    code, _, err = flatleak("validate", "smoke", "--set", "model=nets.small:make")
    assert code == 0
    assert "runs your code: model: nets.small:make" in err


MISTAKES = [
    (["run", "digit"], "spec 'digit' is neither a file nor shipped; did you mean 'digits'?"),
    (["run", "nowhere.yaml"], "spec 'nowhere.yaml': there is no such file"),
    (
        ["run", "smoke", "--set", "grid[0].optimizer=sdg"],
        "grid[0]: optimizer 'sdg' is not known; did you mean",
    ),
    (["run", "smoke", "--set", "model.name=mpl"], "model: 'mpl' is not known; did you mean 'mlp'?"),
    (["run", "smoke", "--set", "model.hiden=[8]"], "did you mean 'hidden'?"),
    (
        ["run", "smoke", "--set", "dataset.name=digit"],
        "dataset: 'digit' is not known; did you mean 'digits'?",
    ),
    (["run", "smoke", "--set", "dataset.train_sise=9"], "did you mean 'train_size'?"),
    (["run", "smoke", "--set", "trainig.epochs=9"], "trainig: unknown key; did you mean 'training'?"),
    (["run", "smoke", "--set", "grid[1].rho=-1"], "grid[1].rho: -1: expected greater than 0"),
    (["run", "smoke", "--set", "grid[0].rho=1"], "grid[0]: optimizer 'sgd' has no knob 'rho'"),
    (["run", "smoke", "--set", "grid=[{optimizer: sam}]"], "grid[0]: optimizer 'sam' needs rho"),
    (
        ["run", "smoke", "--set", "subsets={scheme: fraction, fraction: 2}"],
        "subsets.fraction: 2: expected less",
    ),
    (["run", "smoke", "--set", "subsets.seeds=5"], "subsets.seeds: 5 is odd; scheme 'half' pairs seeds"),
    (["run", "smoke", "--set", "grid=[]"], "grid: [] is empty"),
    (["run", "smoke", "--set", "audit.attacks=[]"], "audit.attacks: []: is empty; expected at least one"),
    (
        ["run", "smoke", "--set", "audit.resamples=1"],
        "audit.resamples: 1: expected greater than or equal to 10",
    ),
    (
        ["run", "smoke", "--set", "audit.attacks=[lira]", "--set", "subsets.seeds=2"],
        "audit.attacks: lira with subsets.seeds 2: each target needs other replicas, with and",
    ),
    (
        ["run", "smoke", "--set", "subsets={scheme: fraction, fraction: 0.999}"],
        "subsets.fraction: 0.999 of 300 training examples leaves no non-member",
    ),
    (["run", "smoke", "--set", "tune_dir=s3://"], "tune_dir 's3://': names no bucket"),
    (["run", "smoke", "--set", "tune_dir=~no-such-user/x"], "tune_dir '~no-such-user/x': "),
    (["run", "smoke", "--out", "s3://"], "storage 's3://': names no bucket; expected s3://BUCKET/NAME"),
    (["run", "smoke", "--out", "~no-such-user/x"], "storage '~no-such-user/x': "),
    (["run", "smoke", "--out", "file://host/x"], "'host' would be another host; expected file:///host/x"),
    (["run", "smoke", "--address", "http://head:8265"], "is a URL; expected auto or the host:port"),
    (["run", "smoke", "--address", "127.0.0.1:1"], "--address '127.0.0.1:1': nothing listens there"),
    (["run", "smoke", "--set", "queries=3"], "queries: 3: expected 1 or 2"),
    (
        ["run", "smoke", "--set", "training.augment=[flop]"],
        "augmentation 'flop' is not known; did you mean 'flip'",
    ),
    (
        ["run", "smoke", "--set", "audit.attacks=[lyra]"],
        "audit.attacks[0]: 'lyra' is not known; did you mean",
    ),
    (["run", "smoke", "--set", "search={space: [{optimizer: sgd}], attack: rmi}"], "did you mean 'rmia'?"),
    (["run", "smoke", "--set", "dataset.train_size=1"], "1 training example leaves none for a half"),
    (["run", "smoke", "--set", "grid[1].noise=[3, 3]"], "grid[1]: repeats recipe 'sam rho=0.1 noise=3'"),
    (["run", "smoke", "--address", "ray://head:10001"], "on the head with --address auto, or send it there"),
    (["run", "smoke", "--set", "resources.gpu=64"], "resources.gpu: 64 asked for a trial, this machine has"),
    (["run", "smoke", "--set", "resources.tpu=1"], "resources.tpu: 1 asked for a trial, this machine has 0"),
    (["run", "smoke", "--out", "full"], "is not a sweep directory: it holds files but no manifest.json"),
    (["run", "smoke", "--out", "full/thesis.txt"], "is a file, expected a directory"),
    (
        ["run", "smoke", "--set", "search={space: [{optimizer: sam, rho: {low: 1, high: 0}}]}"],
        "expected low < high",
    ),
    (
        ["run", "smoke", "--set", "search={space: [{optimizer: sam}]}"],
        "search.space[0]: optimizer 'sam' needs rho",
    ),
    (["status", "full"], "is not a sweep directory"),
    (["status", "runs[old]"], "runs[old] is not a sweep directory"),
    (["audit", "nowhere"], "is not a sweep directory"),
    (["audit", "nowhere.npz"], "nowhere.npz"),
    (["audit", "nowhere", "--attack", "lira"], "is not a sweep directory"),
    (["report", "nowhere"], "is not a sweep directory"),
    (["report", "nowhere", "elsewhere", "--out", "both"], "is not a sweep directory"),
    (["export", "nowhere"], "is not a sweep directory"),
    (["recommend", "nowhere", "--max-risk", "lira_auc=0.6"], "is not a sweep directory"),
]


@pytest.mark.parametrize(("arguments", "line"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    flatleak: Flatleak, tmp_path: Path, arguments: list[str], line: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = flatleak(*arguments)
    assert code == 2
    assert line in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dead_ray_address_is_blamed_by_its_own_name(
    flatleak: Flatleak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    for more in ([], ["--address", "auto"]):
        code, _, err = flatleak("run", "smoke", *more)
        assert code == 2
        assert "RAY_ADDRESS '127.0.0.1:1': nothing listens there" in err
    assert not list(tmp_path.iterdir())


def test_a_storage_that_fails_is_one_line_too(flatleak: Flatleak, s3: S3) -> None:
    assert s3.endpoint
    code, out, err = flatleak("run", "smoke", "--out", "s3://no-such-bucket/smoke")
    assert (code, out) == (1, "")
    assert "no-such-bucket" in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


FAILURES = [
    ("model=own_models:never", "trying model own_models:never: LookupError: no weights for", "in never"),
    ("dataset=own_models:data", "loading dataset own_models:data: LookupError: no data today;", "in data"),
    ("model=own_models:not_on_a_node", "timing a few steps of sam rho=0.1 noise=3: LookupError:", "in never"),
    ("model=own_models:killed", "timing a few steps of sam rho=0.1 noise=3: WorkerCrashedError:", "died"),
]


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(("assignment", "line", "trace"), FAILURES, ids=[f[0] for f in FAILURES])
def test_what_fails_before_the_first_trial_is_one_line_and_does_not_stay(
    flatleak: Flatleak, assignment: str, line: str, trace: str
) -> None:
    command = [sys.executable, "-m", "sweep.cli", "run", "smoke", "--set", assignment, "--out", "sweep"]
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(PYTHONPATH=paths)
    )
    assert (done.returncode, done.stdout) == (1, "")
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f"error: {line}")
    assert "Traceback" not in done.stderr
    place = Path(error.rpartition(" ")[2])
    assert trace in json.loads(place.read_text())["traceback"]
    code, _, _ = flatleak("run", "smoke", "--set", "subsets.seeds=4", "--out", "sweep")
    assert code == 0
    assert not place.exists()


def test_an_unknown_option_is_a_mistake_too(flatleak: Flatleak) -> None:
    code, _, err = flatleak("run", "smoke", "--outt", "x")
    assert code == 2
    assert "--out" in err


def test_a_port_that_cannot_be_is_refused(flatleak: Flatleak) -> None:
    code, _, err = flatleak("serve", "runs/digits", "--port", str(2**40))
    assert code == 2
    assert "65535" in err


def test_a_truncated_manifest_is_named(flatleak: Flatleak, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"recipes": ')
    code, _, err = flatleak("status", ".")
    assert code == 2
    assert "manifest.json: not valid JSON" in err


def test_a_finished_sweep_answers_every_command(
    flatleak: Flatleak, smoke_sweep: Path, tmp_path: Path
) -> None:
    sweep = shutil.copytree(smoke_sweep, tmp_path / "smoke")
    _, out, _ = flatleak("status", str(sweep), "--json")
    assert json.loads(out)["done"] == json.loads(out)["total"] == 48
    _, out, _ = flatleak("audit", str(sweep), "--json")
    rows = pd.DataFrame(json.loads(out))
    table = pd.read_parquet(sweep / "results" / "recipes.parquet")
    np.testing.assert_allclose(rows["lira_auc"], table["lira_auc"])
    (sweep / "report.html").unlink()
    _, out, _ = flatleak("audit", str(sweep))
    assert all(label in out for label in ["sgd", "sam rho=0.1", "noise=3"])
    assert Path(out.splitlines()[-1]) == sweep / "report.html"
    (sweep / "report.html").unlink()
    _, out, _ = flatleak("report", str(sweep))
    assert Path(out.strip()) == sweep / "report.html"
    assert (sweep / "report.html").stat().st_size > 1e5
    other = shutil.copytree(sweep, tmp_path / "other")
    _, out, _ = flatleak("report", str(sweep), str(other), "--out", str(tmp_path / "both"))
    assert Path(out.strip()) == tmp_path / "both/report.html"
    _, out, _ = flatleak("recommend", str(sweep), "--max-risk", "lira_auc=1", "--json")
    best = table.loc[table["test_accuracy"].idxmax()]
    advice = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert advice["choice"]["recipe_id"] == best["recipe_id"]
    following = table.drop(best.name).sort_values("test_accuracy", ascending=False)
    assert [choice["label"] for choice in advice["following"]] == following["label"].tolist()
    assert all(len(choice["accuracy"]) == len(choice["risk"]) == 3 for choice in advice["following"])
    code, _, err = flatleak("recommend", str(sweep))
    assert code == 2
    assert err.count("\n") == 1


ATTACKS = """
def shifted(signals, members):
    return signals.signal("train", "margin")[:, 0] - 1


number = 3
"""


def test_attacks_are_chosen_by_name_and_a_users_own_is_shown_first(
    flatleak: Flatleak, tmp_path: Path
) -> None:
    (tmp_path / "own_attacks.py").write_text(ATTACKS)  # in the current directory, which is on no path
    rng = np.random.default_rng(0)
    labels, half = rng.integers(0, 3, 40), rng.random((6, 40)) < 0.5
    members = np.stack([half, ~half], axis=1).reshape(12, 40)
    logits = rng.normal(size=(12, 40, 3))
    logits[:, np.arange(40), labels] += 1 + 2 * members
    np.savez("mine.npz", logits=logits, labels=labels, members=members)
    chosen = ["--attack", "correctness", "--attack", "own_attacks:shifted"]
    code, out, err = flatleak("audit", "mine.npz", *chosen, "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert "runs your code: --attack[1]: own_attacks:shifted" in err
    assert Path("runs/mine/report.html").stat().st_size > 1e5
    assert {key for key in row if key.endswith("_auc")} == {"correctness_auc", "shifted_auc"}
    margin = logits - logsumexp(logits, axis=-1, keepdims=True)
    margin = margin[:, np.arange(40), labels]
    margin -= np.log(-np.expm1(margin))
    assert row["shifted_auc"] == pytest.approx(roc_auc_score(members.ravel(), margin.ravel()))
    _, out, _ = flatleak(
        "audit", "mine.npz", "--attack", "default", "--attack", "own_attacks:shifted", "--json"
    )
    assert {"lira_auc", "shifted_auc"} <= set(json.loads(out)[0])
    for name, line in {
        "lyra": "attack 'lyra' is not known; did you mean 'lira'?",
        "own_attacks:nothing": "attack 'own_attacks:nothing' cannot be imported",
        "own_attacks:number": "attack 'own_attacks:number' is a int; expected a function",
    }.items():
        code, out, err = flatleak("audit", "mine.npz", "--attack", name)
        assert (code, out) == (2, "")
        assert line in err


def test_a_run_after_an_audit_with_other_attacks_audits_as_its_spec_says(
    flatleak: Flatleak, smoke_sweep: Path, tmp_path: Path
) -> None:
    sweep = shutil.copytree(smoke_sweep, tmp_path / "smoke")
    flatleak("audit", str(sweep), "--attack", "loss")
    table = pd.read_parquet(sweep / "results" / "recipes.parquet")
    assert [name for name in table if name.endswith("_auc")] == ["loss_auc"]
    code, _, _ = flatleak("run", "smoke", "--out", str(sweep))
    assert code == 0
    again = pd.read_parquet(sweep / "results" / "recipes.parquet")
    before = pd.read_parquet(smoke_sweep / "results" / "recipes.parquet")
    pd.testing.assert_frame_equal(again, before)


def test_every_command_is_named_as_its_function() -> None:
    assert typer.main.get_command(app).commands.keys() == set(COMMANDS)  # type: ignore[attr-defined]
