"""What the page is told and how it is packed; that pictures are kept only where the spec allows it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.audit.sweep_audit import Results
from analysis.report import html
from analysis.report.figures import FIGURES, Panel, draw
from analysis.report.html import write_report
from analysis.report.payload import chunks, failures, packed, snippet, summary
from analysis.report.pictures import Pictures, notable, save_pictures
from analysis.report.serve import Live, LiveServer, count
from analysis.results import Tables
from tests.helpers.simulated_results import simulate
from trainables.directory import require_manifest
from trainables.errors import UserError
from trainables.storage import Store


def unpacked(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def chunks_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<script type="text/plain" data-chunk="([^"]+)">([^<]*)</script>', page))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("report") / "sweep", 12)


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


def test_risk_chunks_carry_intervals_and_the_front(sweep: Path) -> None:
    told = dict(chunks(Tables.of(sweep)))
    table = pd.read_parquet(sweep / "results/recipes.parquet")
    risk = told["risk/lira_tpr_at_0.1pct"]
    assert risk["low"] == pytest.approx(table["lira_tpr_at_0.1pct_low"].tolist(), rel=1e-4)
    assert risk["front"] == np.flatnonzero(table["on_front"]).tolist()


def test_nothing_in_a_sweep_can_leave_its_place_in_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    directory = simulate(tmp_path, 6, name=evil)
    table = pd.read_parquet(directory / "results/recipes.parquet")
    table.loc[0, "label"] = evil
    table.to_parquet(directory / "results/recipes.parquet")
    text = Path(write_report(directory)).read_text()
    assert "alert(1)" not in text.replace("&lt;script&gt;alert(1)", "")
    assert unpacked(chunks_of(text)["summary"])["labels"][0] == evil


def test_packing_refuses_what_json_cannot_say() -> None:
    assert unpacked(packed({"a": [1, None, "é"]})) == {"a": [1, None, "é"]}
    with pytest.raises(ValueError, match="JSON"):
        packed([float("nan")])


def test_a_snippet_is_a_grid_block_of_a_spec() -> None:
    knobs = {"optimizer": "sam", "rho": 0.1, "augment": ["flip"]}
    assert yaml.safe_load(snippet(knobs)) == [knobs]


def test_notes_are_told_once_with_their_recipes(sweep: Path) -> None:
    left_out = dict(chunks(Tables.of(sweep)))["summary"]["leftOut"]
    assert len(left_out) == 1
    assert len(left_out[0]["recipes"]) == 12


def test_a_report_does_not_tell_of_the_machines_that_failed(tmp_path: Path) -> None:
    store = Store.at(simulate(tmp_path / "sweep", 2))
    failure = {"block": "sgd seeds 0-3", "error": "KeyError: 'x'", "attempts": 3}
    machine = {"host": "node-7", "log": "/logs/worker-1.out on node-7", "traceback": "File /home/me/x.py"}
    store.write("failures/block.json", json.dumps(failure | machine).encode())
    assert failures(Tables.of(store)) == [{"file": "failures/block.json", **failure}]


def test_an_empty_directory_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="flatleak audit"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


# ---- pictures ----


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


def test_who_names_the_most_memorized_and_whom_they_help(sweep: Path) -> None:
    tables = Tables.of(sweep)
    recipe = tables.recipes.index[0]
    told = dict(chunks(tables))[f"recipe/{recipe}"]["who"]["memorized"]
    examples = tables.examples(recipe).set_index("index")["memorization"]
    assert [e["index"] for e in told] == examples.sort_values(ascending=False).index[:12].tolist()
    pairs = tables.of_recipe("influence", recipe)
    for example in told:
        helped = set(pairs[(pairs["train"] == example["index"]) & (pairs["kind"] == "helper")]["test"])
        assert {p["test"] for p in example.get("helps", [])} <= helped


# ---- live ----


def add_records(directory: Path, first: int, last: int) -> None:
    for recipe_id in json.loads((directory / "manifest.json").read_text())["recipes"]:
        file = directory / "records" / recipe_id / f"{'0' * 10}-{first}-{last}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_progress_counts_each_wanted_seed_once(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 3)
    add_records(directory, 0, 15)
    add_records(directory, 8, 23)
    (directory / "records" / ("a" * 10)).mkdir()
    (directory / "records" / ("a" * 10) / f"{'0' * 10}-0-63.npz").write_bytes(b"")
    assert count(Store.at(directory)) == (3 * 24, 3 * 64)


def test_progress_counts_from_the_first_seed_of_the_sweep(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2)
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest | {"first_seed": 64, "seeds": 32}))
    add_records(directory, 0, 15)
    add_records(directory, 60, 79)
    assert count(Store.at(directory)) == (2 * 16, 2 * 32)


def _audited(store: Store) -> Results:
    """Results of an audit that found all but one recipe's artefacts."""
    audits: dict[str, Any] = {"a": None, "b": None}
    return Results({}, require_manifest(store), {}, audits=audits, audited=["sgd"])


def test_live_audits_only_when_records_landed(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 3)
    told: list[str] = []
    live = Live(Store.at(directory), told.append, _audited)
    live.refresh()
    first = live.version
    assert first
    assert told == []
    table = pd.read_parquet(directory / "results/recipes.parquet").assign(replicas=16)
    table.to_parquet(directory / "results/recipes.parquet")
    live = Live(Store.at(directory), told.append, _audited)
    add_records(directory, 0, 31)
    live.refresh()
    live.refresh()
    assert told == ["audited 1 recipe (sgd), 1 was there"]
    assert live.version != first


def test_live_tells_a_failing_audit_and_lives_on(tmp_path: Path) -> None:
    directory = simulate(tmp_path, 2)
    (directory / "results/recipes.parquet").unlink()
    add_records(directory, 0, 3)

    def fail(_: Store) -> Results:
        raise RuntimeError("too few replicas")

    live = Live(Store.at(directory), audit=fail)
    live.refresh()
    assert "too few replicas" in live.note
    assert live.version == ""


def test_a_port_that_is_taken_is_named(sweep: Path) -> None:
    with LiveServer(sweep, 0) as server:
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(UserError, match=f"port {port}"):
            LiveServer(sweep, port)


def test_only_this_machine_may_ask(sweep: Path) -> None:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    with LiveServer(sweep, 0) as server:
        assert json.load(urlopen(server.url + "version"))["total"] == 12 * 64
        with pytest.raises(HTTPError, match="403"):
            urlopen(Request(server.url + "payload", headers={"Host": "evil.example"}))
        with pytest.raises(HTTPError, match="404"):
            urlopen(server.url + "etc/passwd")


def test_a_directory_without_a_manifest_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a sweep"):
        LiveServer(tmp_path, 0)


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


def test_a_new_figure_is_one_line_of_the_registry(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dots = {"type": "scatter", "x": [1, 2], "y": [3, 4]}
    panel = Panel("mine", "Mine", "Two dots.", {}, section="how", backdrop=lambda *_: [dots])
    monkeypatch.setitem(FIGURES, "mine", panel)
    (told,) = (p for p in summary(Tables.of(sweep))["panels"] if p["name"] == "mine")
    assert told["backdrop"] == [dots]
    assert draw("mine", sweep).data[0].y == (3, 4)


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


@pytest.mark.parametrize("entry", ["main", "several"])
def test_no_two_modules_of_a_page_use_one_name(entry: str) -> None:
    """Joined they share one scope, where a second ``const`` of a name is an error in the browser."""
    names = re.findall(r"^(?:async )?(?:const|let|function) (\w+)", html.script(entry), flags=re.MULTILINE)
    assert len(names) > 40
    assert len(names) == len(set(names))
